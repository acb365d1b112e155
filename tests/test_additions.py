"""Adding a network, a data set or a task is one Python file (or none) and one YAML, in a project of one's own."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sklearn.metrics as reference
from runs import ForkedRuns, forking_project, fresh_project

from headframe.config.project import Project
from headframe.digests import file_digest
from headframe.telemetry import OFF

LIBRARY = Path(__file__).resolve().parents[1] / "src" / "headframe"

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
EXAMPLES = dict(re.findall(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
"""The files that the document shows, by path."""

QUANTILES = '''
"""A task of the project's own, from the promise up: what a number is not below or above, nine times of ten."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from headframe.tasks.dense import DenseTask
from headframe.metrics.statistics import accuracy, mean

LEVELS = (0.1, 0.5, 0.9)
PLACE = Path(__file__).parents[2] / "seen"
PLACE.mkdir(exist_ok=True)
(PLACE / f"{os.getpid()}.json").write_text(json.dumps({"program": sys.orig_argv, "environment": dict(os.environ)}))


def pinball(level, target, prediction):
    """Weigh what is too low by the level, what is too high by the rest."""
    wrong = target - prediction
    return np.maximum(level * wrong, (level - 1) * wrong)


class Quantiles(DenseTask):
    """Three quantiles of one number, thousandths of the target's unit while training."""

    kind = "regression"
    estimators = "headframe.miners.regressor.RegressorModel"
    primary_metric = "pinball"
    higher_is_better = False

    def __init__(self, *, scale: float = 1000.0) -> None:
        self.scale = scale
        self.column_ = ""
        self.middle_ = 0.0

    def fit(self, target):
        [self.column_] = target.column_names
        self.middle_ = float(np.median(target.column(0).to_numpy()))

    def encode(self, target):
        values = (target.column(self.column_).to_numpy() - self.middle_) / self.scale
        return np.repeat(values[:, np.newaxis], len(LEVELS), axis=1).astype(np.float32)

    @property
    def outputs(self):
        return (len(LEVELS),)

    def scores(self, outputs):
        return outputs.astype(np.float64) * self.scale + self.middle_

    def columns(self, scores):
        low, middle, high = scores.T
        return pa.table({"prediction": middle, "low": low, "high": high})

    def scores_in(self, predictions):
        return np.stack([predictions[name].to_numpy() for name in ("low", "prediction", "high")], axis=1)

    def truth(self, targets):
        return pa.table({"target": self.scores(targets["target"])[:, 0]})

    def statistics(self, predictions):
        columns = {name: predictions.column(name).to_numpy() for name in ("target", "low", "prediction", "high")}
        target, low, middle, high = columns.values()
        lost = [pinball(level, target, found) for level, found in zip(LEVELS, (low, middle, high), strict=True)]
        inside = (low <= target) & (target <= high)
        return {"pinball": mean(np.stack(lost, axis=1)), "coverage": accuracy(inside)}

    def plots(self, predictions, validation=None):
        figure = Figure()
        figure.subplots().plot(predictions.column("target").to_numpy(), predictions.column("high").to_numpy(), ".")
        return {"quantiles": figure}

    def state(self):
        return {"column": self.column_, "middle": self.middle_}

    def restore(self, state):
        self.column_, self.middle_ = state["column"], state["middle"]
'''
QUANTILES_YAML = """
# Three quantiles of a number.
_target_: mine.quantiles.Quantiles
kind: regression
scale: 100.0 # of the target while training
"""


PINBALL = '''
"""How a network learns quantiles."""

import torch

from headframe.methods.supervised import Supervised
from mine.quantiles import LEVELS


class Pinball(Supervised):
    """Lowers the pinball loss of all levels."""

    def loss(self, outputs, target):
        """Compute the mean over a batch."""
        levels = torch.tensor(LEVELS, device=outputs.device)
        wrong = target - outputs.float()
        return torch.maximum(levels * wrong, (levels - 1) * wrong).mean()
'''
PINBALL_YAML = """
# Pinball loss of quantiles.
_target_: mine.pinball.Pinball
tasks: [regression]
"""


def files(root: Path, *folders: str) -> dict[str, str]:
    """The digest of every file that somebody wrote in some folders; byte code is Python's own."""
    found = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): file_digest(path) for path in found if path.suffix != ".pyc"}


def test_a_network_a_data_set_and_a_task_are_files_and_nothing_else(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    project = forking_project(tmp_path / "project")
    root = project.root
    before, library = files(root, "conf", "flows", "src"), files(LIBRARY, ".")
    assert library
    added = {
        "src/mine/__init__.py": "",  # once for all that is in the package
        **EXAMPLES,
    }
    for name, text in added.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    rows = [f"{i % 7 + 0.25 + i / 1000},{'red' if i % 2 else 'blue'},{'rose' if i % 2 else 'iris'}" for i in range(400)]
    machines = random.Random(0)
    loads = [[machines.choice([0.0, 1.0]) + machines.random() / 5 for _ in range(12)] for _ in range(60)]
    (root / "machines.csv").write_text(
        "machine,hour,load,state\n"
        + "".join(
            f"m{number},{hour},{load},{'fails' if sum(each[max(0, hour - 2) : hour + 1]) > 2 else 'works'}\n"
            for number, each in enumerate(loads)
            for hour, load in enumerate(each)
        )
    )
    (root / "flowers.csv").write_text("length,colour,kind\n" + "\n".join(rows) + "\n")

    _, listed, _ = forked_runs.printed(project, "list", "--json")
    assert all(f'"{name}"' in listed for name in ("wide", "flowers", "worst_class", "margin"))
    document, _ = forked_runs.headframe(
        project, "train", "dataset=flowers", "features=tabular", "model=wide", "task=worst_class", "method=margin",
        "trainer.max_epochs=12", "trainer.batch_size=16",
    )  # fmt: skip
    several, _ = forked_runs.headframe(
        project, "train", "dataset=flowers", "dataset.tasks=[labels]", "features=tabular", "model=wide_labels",
        "task=labels", "method=bernoulli", "trainer.max_epochs=12", "trainer.batch_size=16",
    )  # fmt: skip
    assert several["evaluated"]["metrics"]["micro_f1"]["value"] > 0.9
    assert several["evaluated"]["baselines"]["shares"]["verdict"] == "better"
    evaluated = document["evaluated"]
    assert evaluated["primary_metric"] == "worst_recall"
    assert evaluated["metrics"]["worst_recall"]["value"] > 0.9

    history, _ = forked_runs.headframe(
        project, "run", "dataset=machines", "features=histories", "model=gru", "model.hidden=16", "optimizer.lr=0.02",
        "trainer.max_epochs=25", "trainer.batch_size=32", "evaluation.resamples=100",
    )  # fmt: skip
    assert history["decision"]["state"] == "champion", history["decision"]
    assert history["result"]["evaluated"]["metrics"]["accuracy"]["value"] > 0.95
    forked_runs.headframe(project, "predict", "machines", "machines", "out.parquet")
    answers = pq.read_table(root / "out.parquet").to_pandas().set_index("row_id")
    measured = pq.read_table(root / history["result"]["trained"]["folder"] / "predictions.parquet").to_pandas()
    assert len(answers) == 720
    assert (answers.loc[measured["row_id"], "prediction"].to_numpy() == measured["prediction"].to_numpy()).all()

    after = files(root, "conf", "flows", "src")
    assert after.keys() - before.keys() == added.keys()
    assert {name: digest for name, digest in after.items() if name not in added} == before
    assert files(LIBRARY, ".") == library


@pytest.fixture(scope="module")
def quantiles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A life of a task that shares nothing with those that are shipped, begun in an environment without switches."""
    project = fresh_project(tmp_path_factory.mktemp("quantiles") / "project")
    added = {
        "src/mine/__init__.py": "",
        "src/mine/quantiles.py": QUANTILES,
        "conf/task/quantiles.yaml": QUANTILES_YAML,
        "src/mine/pinball.py": PINBALL,
        "conf/method/pinball.yaml": PINBALL_YAML,
    }
    for name, text in added.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)
    wanted = ("PATH", "HOME", "PYTHONPATH", "OMP_NUM_THREADS", "HEADFRAME_KEYS")
    kept = {name: os.environ[name] for name in wanted if name in os.environ}
    done = subprocess.run(
        [
            sys.executable, "-m", "headframe", "run", "--json", "dataset=diabetes",
            "features=tabular", "task=quantiles", "method=pinball", "model=mlp", "baseline=ridge", "model.hidden=[16]",
            "optimizer.lr=0.01", "trainer.max_epochs=4", "evaluation.resamples=100",
            "~promotion.gates.validation",  # 58 rows do not tell four epochs from Ridge
        ],
        cwd=project.root, capture_output=True, text=True, check=False, env=kept,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return project, json.loads(done.stdout)


def test_a_task_of_its_own_kind_lives_a_whole_life(quantiles: tuple[Project, dict[str, Any]]) -> None:
    project, outcome = quantiles
    result = outcome["result"]
    assert outcome["decision"]["state"] == "champion"
    rows = pq.read_table(project.root / result["trained"]["folder"] / "predictions.parquet").to_pandas()
    rows = rows[rows["split"] == "test"]
    lost = [
        reference.mean_pinball_loss(rows["target"], rows[name], alpha=level)
        for name, level in {"low": 0.1, "prediction": 0.5, "high": 0.9}.items()
    ]
    metrics = result["evaluated"]["metrics"]
    assert metrics["pinball"]["value"] == pytest.approx(sum(lost) / 3)
    assert metrics["pinball"]["low"] < metrics["pinball"]["value"] < metrics["pinball"]["high"]
    assert metrics["coverage"]["value"] == ((rows["low"] <= rows["target"]) & (rows["target"] <= rows["high"])).mean()
    assert 0.5 < metrics["coverage"]["value"] < 1  # of 0.8
    assert result["evaluated"]["baselines"]["baseline"]["metrics"].keys() == metrics.keys()
    [prediction] = json.loads(outcome["smoke_test"]["response"])["predictions"]
    assert prediction.keys() == {"prediction", "low", "high"}
    assert (project.root / result["evaluated"]["folder"] / "plots" / "quantiles.png").is_file()


def test_telemetry_is_off_in_every_process_of_a_run(quantiles: tuple[Project, dict[str, Any]]) -> None:
    seen = [json.loads(path.read_text()) for path in (quantiles[0].root / "seen").iterdir()]
    programs = {each["program"][2] for each in seen}
    assert {"headframe", "headframe.training"} <= programs
    for each in seen:
        assert {name: each["environment"].get(name) for name in OFF} == OFF, each["program"]
