"""A project with made-up tables, in which plans are trained tiny by the training program."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from choices import LARGE, LARGE_ROWS, OWN, OWN_INPUTS, REPOSITORY, ROWS, SERIES_ROWS, tiny, tiny_features
from given_overrides import last_of_each
from made_up import made_up
from trainings import Run, TrainingProject

from headframe.config.compatibility import check_compatibility
from headframe.config.load import load_plan
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.plan import Plan
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.table import Table
from headframe.datasets.table_writer import write_table
from headframe.digests import digest
from headframe.prediction.bundle import load_predictor
from headframe.prediction.layout import BUNDLE, PREDICTIONS, PROBE, PROBE_PREDICTIONS
from headframe.prediction.predictor import EnsemblePredictor, Predictor
from headframe.tasks.base import Task


@dataclass(frozen=True)
class Trained:
    """What a training has left, and what it was of."""

    plan: Plan
    root: Path
    run: Run
    trusted: tuple[str, ...]

    @property
    def bundle(self) -> Path:
        return self.run.folder / BUNDLE

    @cached_property
    def predictor(self) -> Predictor:
        return self.load()

    def load(self) -> Predictor:
        return load_predictor(self.bundle, trusted=self.trusted)

    @property
    def task(self) -> Task:
        return self.predictor.task

    @cached_property
    def table(self) -> Table:
        return Table.open(self.root / "data" / self.plan.dataset.name)

    @cached_property
    def probe(self) -> pa.Table:
        return pq.read_table(self.run.folder / PROBE)

    @cached_property
    def probe_predictions(self) -> pa.Table:
        return pq.read_table(self.run.folder / PROBE_PREDICTIONS)

    @cached_property
    def predictions(self) -> pa.Table:
        """Of validation and test examples."""
        return pq.read_table(self.run.folder / PREDICTIONS)

    @property
    def tested(self) -> pa.Table:
        return self.predictions.filter(pc.equal(self.predictions["split"], "test"))

    @cached_property
    def history(self) -> pa.Table:
        """The rows that a few examples need; where a row is an example those of the probe."""
        framing = self.predictor.framing
        if framing.alone:
            return self.probe
        return self.table.read(self.predictor.schema.names).slice(0, framing.reach + 3)

    def single_predictors(self) -> list[tuple[Any, Path]]:
        """The models that an ensemble is made of, or the one that is none, with their bundles."""
        found, waiting = [], [(self.predictor, self.bundle)]
        while waiting:
            predictor, bundle = waiting.pop()
            if isinstance(predictor, EnsemblePredictor):
                waiting += [(each, bundle / "members" / name) for name, each in predictor.members.items()]
            else:
                found.append((predictor, bundle))
        return found


class TinyProject:
    """A project with the shipped `conf/` and made-up tables."""

    def __init__(self, root: Path) -> None:
        self.trainings = TrainingProject(root)
        shutil.copytree(REPOSITORY.conf, root / "conf")
        for package in REPOSITORY.packages:
            shutil.copytree(REPOSITORY.root / "src" / package.rstrip("."), root / "src" / package.rstrip("."))
        for name, inputs in OWN_INPUTS.items():
            (root / "conf" / "dataset" / f"{name}.yaml").write_text(OWN.format(name=name, inputs=inputs))
        self._trained: dict[str, Trained] = {}
        self._composed: dict[tuple[str, ...], Plan] = {}
        self.checked: set[Path] = set()
        self.measured: set[str] = set()

    @property
    def root(self) -> Path:
        return self.trainings.root

    def add(self, name: str, text: str) -> None:
        """Write a file of the project's own: YAML, or a module of the package `broken`."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if file.suffix == ".py":
            (file.parent / "__init__.py").touch()
        if str(self.root / "src") not in sys.path:
            sys.path.append(str(self.root / "src"))

    def plan(self, *overrides: str) -> Plan:
        """Compose a plan, tiny; models and methods are put into one that was composed before, since that takes long."""
        given = last_of_each(*overrides)
        chosen = dict(each.split("=") for each in given if each.startswith(("model=", "method=")))
        rest = [each for each in given if each.partition("=")[0] not in chosen]
        if any(each.lstrip("+").startswith(("model.", "method.", "experiment=", "baseline=")) for each in rest):
            plan = self._compose(*given)
        else:
            parts = {group: getattr(self._compose(f"{group}={name}"), group) for group, name in chosen.items()}
            plan = self._compose(*rest).model_copy(update=parts)
        check_compatibility(plan, self.trainings.project)
        return plan.model_copy(update={"model": tiny(plan.model), "features": tiny_features(plan.features)})

    def _compose(self, *overrides: str) -> Plan:
        """Compose a plan whose parts need not fit each other, once."""
        if overrides not in self._composed:
            self._composed[overrides] = load_plan(overrides, self.trainings.project, fitting=False)
        return self._composed[overrides]

    def make_table(self, dataset: DatasetConfig) -> None:
        """Make up the table of a data set, once."""
        folder = self.root / "data" / dataset.name
        if folder.is_dir():
            return
        folder.mkdir(parents=True)
        row_bytes = made_up(dataset, 2).nbytes / 2
        rows = SERIES_ROWS if dataset.time else LARGE_ROWS if row_bytes > LARGE else ROWS
        batches = [ReadBatch(batch, ()) for batch in made_up(dataset, rows).to_batches()]
        write_table(folder, dataset, dict(dataset.sources), batches)

    def trained(self, plan: Plan) -> Trained:
        """Train a plan, or return what an earlier test has trained for the same job."""
        self.make_table(plan.dataset)
        job = digest(self.trainings.job(plan))
        if job not in self._trained:
            run = self.trainings.train(plan, job, "serial")
            assert run.code == 0, run.stderr
            self._trained[job] = Trained(plan, self.root, run, self.trainings.project.packages)
        return self._trained[job]

    def killed_and_resumed(self, plan: Plan, kills: Sequence[str]) -> Run:
        """Train a plan in a process that is killed at each of some moments, one attempt after the other, to its end."""
        name = f"killed-{digest([plan.fingerprint, *kills])}"
        for kill in kills:
            killed = self.trainings.train(plan, name, kill)
            assert killed.code == -9, f"{kill}: {killed.code} {killed.stderr}"
        resumed = self.trainings.train(plan, name, "serial")
        assert resumed.code == 0, resumed.stderr
        return resumed


def manifest(bundle: Path) -> dict[str, Any]:
    """Return what a bundle says of itself."""
    content: dict[str, Any] = json.loads((bundle / "bundle.json").read_bytes())
    return content
