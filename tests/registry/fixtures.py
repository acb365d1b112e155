"""Small but real things to track, promote and serve: real bundles on fake data, no training worth the name."""

import base64
import gc
import importlib
import json
import os
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import fake_data
import importlib_metadata
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from mlflow.store.db import utils
from shared import made_once, scores_of
from sklearn.linear_model import LogisticRegression
from sqlalchemy import event
from sqlalchemy.engine import Engine

from headframe.config.build import build
from headframe.config.plan.data import ROW_ID
from headframe.config.plan.plan import Plan
from headframe.config.plan.promotion import TeamConfig
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.splits import assign, split
from headframe.datasets.table import Table
from headframe.digests import file_digest, folder_digest, write_record
from headframe.evaluation.evaluation import measure
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.slices import append_contents
from headframe.examples.encode import encode
from headframe.examples.framing import framing_of
from headframe.examples.prepare import prepare
from headframe.miners.base import estimator_model
from headframe.places import Places
from headframe.prediction.bundle import ModelManifest, load_predictor, save_model
from headframe.prediction.predictor import Predictor
from headframe.records import Evaluated, Ingested, Interval, Registered, Trained, Validated
from headframe.registry import loader, registrar
from headframe.registry.layout import CODE, SIGNATURE
from headframe.registry.register import Destination, register
from headframe.registry.signature import sign_package
from headframe.signing.keys import own_key
from headframe.signing.trust import Trust
from headframe.tracking.client import make_client
from headframe.validation.checks import ExpectationResult, ValidationReport

# The newest revision of MLflow's schema, which it finds by importing its 68 migrations again for each database.
utils._get_latest_schema_revision = lru_cache(maxsize=1)(utils._get_latest_schema_revision)

# MLflow holds a model's requirements against what is installed, and parses the metadata of each of them anew.
importlib_metadata.version = lru_cache(maxsize=512)(importlib_metadata.version)


def without_sync(connection: Any, _: object) -> None:
    """Let SQLite not wait for the disk, as the PostgreSQL of the tests does not: they kill programs, not machines."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


event.listen(Engine, "connect", without_sync)

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Made:
    """Everything that `register` takes."""

    root: Path
    uri: str
    plan: Plan
    data: Ingested
    trained: Trained
    evaluated: Evaluated

    @property
    def arguments(self) -> dict[str, Any]:
        folder = self.root / ".headframe" / "stages" / "register" / self.plan.fingerprint[:8]
        folder.mkdir(parents=True, exist_ok=True)
        promotion, tracking = self.plan.promotion, self.plan.tracking
        return {
            "plan": self.plan.version, "team": self.plan.team,
            "destination": Destination(model=promotion.model, experiment=tracking.experiment, registry="here"),
            "data": self.data, "trained": self.trained, "evaluated": self.evaluated,
            "places": self.places.of_step(folder),
        }  # fmt: skip

    @property
    def places(self) -> Places:
        return Places(self.root, tracking_uri=self.uri)

    def register(self) -> Registered:
        return register(**self.arguments)

    def register_unchecked(self) -> Registered:
        """Register as an author could whose Headframe signs what is not so."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registrar, "require_agreement", lambda request: None)
            return self.register()

    @property
    def probe(self) -> pa.Table:
        return pq.read_table(self.root / self.trained.folder / "probe.parquet")

    @property
    def predictor(self) -> Predictor:
        return load(self.root / self.trained.folder / "bundle", self.root)


def _settings(name: str) -> dict[str, Any]:
    kinds = {
        "digits": ("classification", "image", {"_target_": "headframe.features.images.Images"}),
        "sms_spam": (
            "classification",
            "sparse",
            {
                "_target_": "headframe.features.tfidf.Tfidf",
                "analyzer": "word",
                "ngrams": [1, 1],
                "max_features": 300,
            },
        ),
        "adult": ("classification", "tabular", {"_target_": "headframe.features.tabular.Tabular"}),
        "etth1": ("forecasting", "series", {"_target_": "headframe.features.windows.Windows", "lookback": 24}),
    }
    kind, gives, encoder = kinds[name]
    task = {"_target_": "headframe.tasks.classification.Classification", "kind": kind}
    if kind == "forecasting":
        task = {"_target_": "headframe.tasks.forecasting.Forecasting", "kind": kind, "horizon": 4}
    if gives in ("sparse", "tabular"):
        model = {"_target_": "sklearn.linear_model.LogisticRegression", "tol": 0.05, "max_iter": 1000}
    else:
        network = "forecast.ChannelLinear" if kind == "forecasting" else "linear.Linear"
        model = {"_target_": f"headframe.models.{network}"}
    return {"task": task, "features": {"gives": gives, "encoder": encoder}, "model": model}


def load(bundle: Path, root: Path) -> Predictor:
    """Load what was trained in a project, which may be a network of the project's own."""
    return load_predictor(bundle, trusted=Project(root).packages)


def plan_for(name: str, seed: int = 17, **changes: Any) -> Plan:
    """A whole plan for a shipped data set; `changes` replace top-level groups."""
    chosen = _settings(name)
    kind, gives = chosen["task"]["kind"], chosen["features"]["gives"]
    content = {
        "name": name,
        "seed": seed,
        "dataset": fake_data.settings(name),
        "features": chosen["features"],
        "task": chosen["task"],
        "model": {**chosen["model"], "tasks": [kind], "takes": [gives]},
        "method": {"_target_": "headframe.methods.supervised.Supervised"},
        "optimizer": {"_target_": "torch.optim.adamw.AdamW", "lr": 0.01},
        "scheduler": {"_target_": "headframe.training.schedules.Constant"},
        "trainer": {"max_epochs": 1, "batch_size": 64},
        "launcher": {"_target_": "headframe.training.launchers.local.Local"},
        "evaluation": {},
        "promotion": {
            "model": name,
            "policy": "solo",
            "gates": {
                "minimum": {"_target_": "headframe.gates.minimum.Minimum"},
                "better": {"_target_": "headframe.gates.better.Better"},
            },
        },
        "serving": {},
        "tracking": {"experiment": name},
        **changes,
    }
    return Plan.model_validate(content, context={"trusted": ("mine.",)})


def ingested(plan: Plan, root: Path) -> Ingested:
    """Collect the data set from fake files, or from the package that brings it."""
    table = ingest(plan.dataset, Places(root, fake_data.mirror(plan.dataset.name)))
    report = ValidationReport(
        dataset=table.dataset, digest=table.digest, rows=table.rows,
        results=(
            ExpectationResult(column=None, constraint="x", expectation="x", settings={}, passed=True, unexpected=0),
        ),
    )  # fmt: skip
    file = f".headframe/validated/{table.dataset}/validated.json"
    write_record(root / file, report)
    validated = Validated(table=table, expectations=1, report=file)
    return Ingested(validated=validated, split=split(plan.dataset, table, Places(root)))


def train(plan: Plan, data: Ingested, root: Path, name: str = "trained", steps: int = 60) -> Trained:
    """Fit what the plan names in about a second and write what the training program writes."""
    folder = root / ".headframe" / "made" / name
    folder.mkdir(parents=True)
    table = Table.open(root / data.split.table.folder)
    rows, parts = table.read(), assign(plan.dataset, table)
    prepared = prepare(plan.dataset, plan.task, table)
    task, encoder = prepared.task, build(plan.features.encoder)
    target = [plan.dataset.target] if plan.dataset.target else list(plan.dataset.inputs)
    training, copies = prepared.training_rows(), ()
    if encoder.lookback:
        encoder.fit(training, plan.dataset.inputs)
    else:
        examples = encode(prepared, plan.learner)
        encoder, copies = examples.encoder, tuple(examples.copies.tolist())
        training = prepared.rows.take(pa.array(np.unique(examples.train)))
    series = prepared.series
    schema = prepared.schema(framing_of(plan.features, encoder, task.horizon, series))
    manifest = ModelManifest(
        plan.dataset.name,
        schema,
        plan.dataset.reader,
        plan.dataset.contract.columns,
        plan.learner,
        plan.task,
        copies,
        series,
    )
    bundle = folder / "bundle"
    if plan.model.target.startswith("sklearn"):
        model = estimator_model(LogisticRegression(tol=0.05, max_iter=1000), task)
        some = training.slice(0, 4000)
        model.fit(encoder.encode(some), task.targets(some.select(target)))
        save_model(bundle, manifest, encoder, task, model)
    else:
        torch.manual_seed(plan.seed)
        network = build(plan.model, encoder.spec(), task.outputs)
        method = build(plan.method, network, task)
        if not encoder.lookback:
            inputs = torch.from_numpy(encoder.encode(training))
            expected = torch.from_numpy(task.encode(training.select(target)))
            optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
            for _ in range(steps):
                optimizer.zero_grad()
                method.loss(network(inputs), expected).backward()
                optimizer.step()
        save_model(bundle, manifest, encoder, task, method)
    predictor = load(bundle, root)
    _write_predictions(folder, plan, predictor, rows, parts)
    history = [{"epoch": n, "train_loss": 1 / (n + 1), "val_loss": 1 / (n + 2)} for n in range(3)]
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    if name != "adult":  # whose training was killed between its end and its account of what it took
        cost = {"wall_seconds": 3.5, "cpu_seconds": 5.25, "peak_memory_mib": 321.0, "resumed": name == "etth1"}
        (folder / ".cost.json").write_text(json.dumps(cost), encoding="utf-8")
    trained = Trained(
        folder=folder.relative_to(root).as_posix(),
        bundle=folder_digest(bundle),
        predictions=file_digest(folder / "predictions.parquet"),
        epochs=3,
        parameters=0,
    )
    write_record(folder / "result.json", trained)
    return trained


def _write_predictions(folder: Path, plan: Plan, predictor: Predictor, rows: pa.Table, parts: np.ndarray) -> None:
    horizon = predictor.horizon
    lookback = predictor.framing.reach if horizon else 0
    measured = [np.flatnonzero(parts == part) for part in ("test", "validation")]
    if lookback:
        measured = [where[:50] for where in measured]  # first target rows
    where, splits = np.concatenate(measured), np.repeat(["test", "validation"], [len(each) for each in measured])
    if lookback:
        probe = rows.slice(int(where[0]) - lookback, lookback)
        scores = scores_of(predictor, rows, where)
        encoded = predictor.task.encode(rows.select(list(plan.dataset.inputs)))
        target = encoded[where[:, None] + np.arange(horizon)]
    else:
        tested = rows.take(where)
        probe = tested.slice(0, 32)
        scores = scores_of(predictor, tested)
        target = predictor.task.encode(tested.select([plan.dataset.target]))
    found = predictor.task.predictions(scores, target)
    found = found.add_column(0, "split", pa.array(splits, pa.string()))
    found = found.add_column(0, "row_id", rows.column(ROW_ID).take(where))
    pq.write_table(found, folder / "predictions.parquet")
    probe = probe.select(list(predictor.schema.names))
    pq.write_table(probe, folder / "probe.parquet")
    pq.write_table(predictor.predictions(probe), folder / "probe_predictions.parquet")


def evaluate(plan: Plan, trained: Trained, root: Path) -> Evaluated:
    """Measure the test rows and write the pages that a run keeps, as short as can be."""
    folder = root / f"{trained.folder}-evaluated"
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    task = load(root / trained.folder / "bundle", root).task
    found = pq.read_table(root / trained.folder / "predictions.parquet", filters=[("split", "=", "test")])
    metrics = {k: Interval(value=v, low=v - 0.01, high=v + 0.01) for k, v in task.measure(found).items()}
    measured = EvaluationMetrics(
        rows=found.num_rows, different_rows=found.num_rows, primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better, confidence=0.95, resamples={}, block=1, metrics=metrics,
    )  # fmt: skip
    write_record(folder / "metrics.json", measured)
    (folder / "slices.json").write_text("{}", encoding="utf-8")
    (folder / "job.json").write_text("{}", encoding="utf-8")
    (folder / "card.md").write_text(f"# {plan.name}\n", encoding="utf-8")
    (folder / "report.html").write_text("<html></html>", encoding="utf-8")
    (folder / "plots" / "confusion.png").write_bytes(b"png")
    return Evaluated(
        folder=folder.relative_to(root).as_posix(),
        rows=found.num_rows,
        primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better,
        metrics=metrics,
        digest=file_digest(folder / "metrics.json"),
    )


def measure_truly(plan: Plan, evaluated: Evaluated, trained: Trained, root: Path) -> Evaluated:
    """Measure with true intervals, which `evaluate` makes up, as where somebody computes them again."""
    table, folder = Table.open(root / "data" / plan.dataset.name), root / evaluated.folder
    task = load(root / trained.folder / "bundle", root).task
    found = pq.read_table(root / trained.folder / "predictions.parquet", filters=[("split", "=", "test")])
    rows = append_contents(found, table, plan.dataset.inputs)
    measured, _ = measure(plan.version, task, table, rows, {}, (), [])
    write_record(folder / "metrics.json", measured)
    return evaluated.model_copy(
        update={"metrics": measured.metrics, "rows": measured.rows, "digest": file_digest(folder / "metrics.json")}
    )


def make(root: Path, name: str, uri: str | None = None, folder: str = "trained", steps: int = 60, **plan: Any) -> Made:
    """Everything up to registration, in a project folder."""
    root.mkdir(parents=True, exist_ok=True)
    chosen = plan_for(name, **plan)
    data = ingested(chosen, root)
    trained = train(chosen, data, root, folder, steps)
    address = uri or f"sqlite:///{root / '.headframe' / 'mlflow.db'}"
    return Made(root, address, chosen, data, trained, evaluate(chosen, trained, root))


@dataclass(frozen=True)
class World:
    """One project in which four models are registered; tests read it and never write to it."""

    root: Path
    uri: str
    made: dict[str, Made]
    registered: dict[str, Registered]


def world(folder: Path) -> World:
    """Register an image network, a tabular and a text estimator and a forecast."""
    uri = f"sqlite:///{empty_registry(folder)}"
    made = {name: make(folder, name, uri, folder=name) for name in ("digits", "adult", "sms_spam", "etth1")}
    return World(folder, uri, made, {name: each.register() for name, each in made.items()})


def _template(folder: Path) -> Path:
    make_client(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


def package_of(name: str, uri: str) -> Path:
    """Give the folder where the registry keeps the files of a model's first version."""
    kept = MlflowClient(uri, uri).get_model_version_download_uri(name, "1")
    return Path(kept.removeprefix("file://"))


def sign_again(package: Path) -> None:
    """Sign changed files of a model, as its author could."""
    envelope = json.loads((package / SIGNATURE).read_bytes())
    sign_package(package, own_key(), json.loads(base64.b64decode(envelope["payload"]))["predicate"])


def trust() -> Trust:
    """Trust the keys on this machine, which tests have for themselves."""
    return Trust.of(TeamConfig())


def empty_registry(root: Path) -> Path:
    """Give a registry without anything in it; MLflow's migrations run once for a test session."""
    database = root / ".headframe" / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(made_once("registry", _template), database)
    return database


def moved(made: Made, root: Path) -> Made:
    """Copy what `register` takes into a project of its own, with an empty registry."""
    for name in (made.data.split.table.folder, ".headframe/made"):
        shutil.copytree(made.root / name, root / name)
    (root / made.data.validated.report).parent.mkdir(parents=True)
    shutil.copy(made.root / made.data.validated.report, root / made.data.validated.report)
    return replace(made, root=root, uri=f"sqlite:///{empty_registry(root)}")


NETWORK = '''
from torch import nn


class Net(nn.Module):
    """One hidden layer."""

    def __init__(self, inputs, outputs, *, width=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, outputs[0]))

    def forward(self, x):
        return self.layers(x)
'''


def write_network(root: Path, source: str = NETWORK) -> None:
    """Put a network into the project's own package `mine`, as if a new process began that has not imported it yet."""
    package = root / "src" / "mine"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "net.py").write_text(source, encoding="utf-8")
    forget_network()


def forget_network() -> None:
    """Be as a process that has neither imported the project's own package nor opened a model that brings one."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if Path(path).name != CODE]
    loader._IMPORTED.clear()
    importlib.invalidate_caches()


def changed_plan(plan: Plan, **changed: Any) -> Plan:
    """Return a plan with other parts; a mapping replaces fields of a part."""
    parts = {
        name: getattr(plan, name).model_copy(update=value) if isinstance(value, dict) else value
        for name, value in changed.items()
    }
    return plan.model_copy(update=parts)


def retrained(made: Made, **changed: Any) -> Made:
    """Train another plan on the same data; see `changed_plan`."""
    plan = changed_plan(made.plan, **changed)
    trained = train(plan, made.data, made.root, f"trained-{plan.fingerprint[:8]}")
    return replace(made, plan=plan, trained=trained, evaluated=evaluate(plan, trained, made.root))


def twin(made: Made) -> Made:
    """Give another version of the same weights: trained for more epochs, which `train` does not look at."""
    return retrained(made, trainer={"max_epochs": 2})


def with_own_network(made: Made, name: str, steps: int) -> Made:
    """Train the network that `write_network` wrote in the same project."""
    model = {"_target_": "mine.net.Net", "tasks": ["classification"], "takes": ["image"]}
    plan = plan_for("digits", seed=steps, model=model)
    trained = train(plan, made.data, made.root, name, steps)
    return replace(made, plan=plan, trained=trained, evaluated=evaluate(plan, trained, made.root))


def in_child(work: Callable[[], Any]) -> int:
    """Do something in a forked process and give its exit code: 0, or what it left with.

    A fork has everything imported that takes a fresh process ten seconds.
    """
    child = os.fork()
    if child == 0:
        gc.freeze()  # what the parent has is not gone through, which would copy its memory
        code = 70
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()  # pytest shows what went wrong in there
            raise
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
