"""Predictions of made-up models, and trained folders that hold them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import write_version

from headframe.config.plan.data import CONTENT, ROW_ID
from headframe.config.plan.evaluation import NaturalBaselineConfig
from headframe.config.plan.plan import Plan
from headframe.digests import file_digest
from headframe.evaluation.step import evaluate
from headframe.places import Places
from headframe.records import Evaluated, TableRecord, Trained
from headframe.tasks.classification import Classification
from headframe.tasks.forecasting import Forecasting

NATURAL = tuple(NaturalBaselineConfig.model_construct(target=target) for target in Classification.natural_baselines)
COLOURS = ["amber", "blau", "红色"]


def _classified(rows: int, classes: int, *, skill: float = 2.0, seed: int = 0, primary_metric: str = "accuracy"):
    """A fitted classification, and the predictions of a model whose logits are right by `skill`."""
    draw = np.random.default_rng(seed)
    target = draw.integers(0, classes, rows)
    task = Classification(primary_metric=primary_metric)  # type: ignore[arg-type]
    task.fit(pa.table({"label": pa.array(np.arange(classes))}))
    logits = draw.normal(size=(rows, classes))
    logits[np.arange(rows), target] += skill
    predictions = task.predictions(task.scores(logits), target)
    return task, predictions.add_column(0, "row_id", pa.array([f"row-{number}" for number in range(rows)]))


def _forecasted(windows: int, horizon: int, variables: int, seed: int = 0):
    """A fitted forecasting, and the predictions of overlapping windows of noise by a model that predicts 0."""
    draw = np.random.default_rng(seed)
    series = draw.normal(size=(windows + horizon - 1, variables))
    task = Forecasting(horizon)
    task.fit(pa.table({f"v{place}": series[:, place] * (place + 1) for place in range(variables)}))
    target = np.stack([series[start : start + horizon] for start in range(windows)]).astype(np.float32)
    predictions = task.predictions(task.scores(np.zeros_like(target)), target)
    return task, predictions.add_column(0, "row_id", pa.array([f"row-{number}" for number in range(windows)]))


def component(target: str, **settings: object) -> dict[str, object]:
    return {"_target_": target, **settings}


def _plan(**evaluation: object) -> Plan:
    """A plan that is whole enough to be evaluated."""
    return Plan.model_validate(
        {
            "name": "colours",
            "dataset": {
                "name": "colours",
                "title": "Colours <of 1994>",
                "licence": "CC0",
                "citation": "A. Nobody & B. Nobody, 红色, 1994",
                "sources": {"all": {"uri": "file:colours/all.csv"}},
                "reader": component("headframe.datasets.readers.delimited.Delimited"),
                "inputs": ["width", "shop"],
                "target": "colour",
                "tasks": ["classification"],
                "split": component("headframe.datasets.splits.HashSplitter", validation=0.1, test=0.2),
                "contract": {
                    "columns": {
                        "width": {"dtype": "float"},
                        "shop": {"dtype": "string", "nullable": True},
                        "colour": {"dtype": "string"},
                    }
                },
            },
            "features": {"gives": "tabular", "encoder": component("headframe.features.tabular.Tabular")},
            "task": component("headframe.tasks.classification.Classification", kind="classification"),
            "model": component("headframe.models.mlp.MLP", tasks=["classification"], inputs=["tabular"]),
            "method": component("headframe.methods.supervised.Supervised"),
            "optimizer": component("torch.optim.adamw.AdamW", lr=0.001),
            "scheduler": component("headframe.training.schedules.Constant"),
            "trainer": {"max_epochs": 3, "batch_size": 32},
            "baseline": {
                "model": component(
                    "sklearn.linear_model.LogisticRegression", tasks=["classification"], inputs=["tabular"]
                )
            },
            "launcher": component("headframe.training.launchers.local.Local"),
            "evaluation": {"resamples": 200, **evaluation},
            "promotion": {
                "model": "colours",
                "policy": "solo",
                "gates": {"minimum": {"_target_": "headframe.gates.minimum.Minimum"}},
            },
            "serving": {},
            "tracking": {"experiment": "colours"},
        }
    )


@pytest.fixture
def classified():
    return _classified


@pytest.fixture
def forecasted():
    return _forecasted


@pytest.fixture
def plan():
    return _plan


Training = Callable[..., Trained]


def training(root: Path) -> Training:
    """Write what training would leave: validation and test rows of a model of some skill."""

    def write(name: str, *, skill: float, rows: int = 240, first: int = 0) -> Trained:
        folder = root / ".headframe" / "stages" / name
        (folder / "bundle").mkdir(parents=True)
        draw = np.random.default_rng(5)
        target = draw.integers(0, len(COLOURS), rows)
        task = Classification()
        task.fit(pa.table({"colour": COLOURS}))
        logits = np.random.default_rng(len(name)).normal(size=(rows, len(COLOURS)))
        logits[np.arange(rows), target] += skill
        predictions = task.predictions(task.scores(logits), target)
        predictions = predictions.add_column(0, "row_id", pa.array([f"{first + number:04}" for number in range(rows)]))
        split = ["validation" if number % 3 == 0 else "test" for number in range(rows)]
        pq.write_table(predictions.add_column(1, "split", pa.array(split)), folder / "predictions.parquet")
        (folder / "bundle" / "bundle.json").write_text(json.dumps({"copies": [], "task": {"state": task.state()}}))
        history = [
            {"epoch": epoch, "train_loss": 1 / epoch, "val_loss": 1.1 / epoch, "primary_metric": 1 - 0.4 / epoch}
            for epoch in (1, 2, 3)
        ]
        (folder / "history.json").write_text(json.dumps(history))
        return Trained(
            folder=folder.relative_to(root).as_posix(),
            bundle="b" * 64,
            predictions=file_digest(folder / "predictions.parquet"),
            epochs=3,
            parameters=1234,
        )

    return write


def collected(root: Path) -> TableRecord:
    """Write a table of 300 rows whose raw inputs are a number and a category."""
    rows = 300
    shops: list[str | None] = ["north", "south", "东边", None]
    columns = {
        ROW_ID: [f"{number:04}" for number in range(rows)],
        CONTENT: [f"{number:016x}" for number in range(rows)],
        "width": pa.array(np.linspace(-3.0, 3.0, rows)),
        "shop": pa.array([shops[number % 4] for number in range(rows)]),
        "colour": [COLOURS[number % 3] for number in range(rows)],
    }
    return write_version(root / "data" / "colours", pa.table(columns), rejected=2)


@pytest.fixture
def train(tmp_path: Path) -> Training:
    return training(tmp_path)


@pytest.fixture
def table(tmp_path: Path) -> TableRecord:
    return collected(tmp_path)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluated, Trained, Path]:
    """An evaluation with a baseline and slices, for reading only: its record, the model, the project's folder."""
    root = tmp_path_factory.mktemp("evaluated")
    model, other = training(root)("model", skill=3.0), training(root)("other", skill=1.0)
    folder = root / ".headframe" / "evaluated"
    return (
        evaluate(_plan(slices=["width", "shop"]), collected(root), model, other, NATURAL, Places(root).of_step(folder)),
        model,
        root,
    )
