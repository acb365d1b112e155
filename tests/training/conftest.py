"""Trains small plans in forked processes, so that Lightning is imported once for all of them."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import pytest
from given_overrides import last_of_each
from shared import connect_to_warm

from headframe.code_dependencies import device_of
from headframe.config.load import load_plan
from headframe.config.plan.learner import TrainingJob
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.digests import write_record
from headframe.places import Places
from headframe.records import TableRecord, Trained
from headframe.training.fit import fit

REPOSITORY = Path(__file__).resolve().parents[2]

SMALL = [
    "model=cnn",
    "features=image_augmented",
    "model.widths=[[4],[8]]",
    "model.dropout=0.2",
    "trainer.max_epochs=3",
    "trainer.batch_size=128",
    "trainer.checkpoint_steps=4",
    "trainer.accelerator=cpu",
    "optimizer.lr=0.01",
]
"""A network with everything that has a state: batch normalisation, dropout, augmentation, momentum, a schedule."""


@cache
def forking_driver() -> TextIO:
    """Connect to the program that trains in forked processes; see `driver.py`."""
    return connect_to_warm("trainings")


def run_forked(arguments: list[str], log: Path, kill: str | None) -> int | None:
    """Run the training program in a forked process; return its exit code, or None where it hangs."""
    stream = forking_driver()
    stream.write(json.dumps({"arguments": arguments, "kill": kill, "log": str(log)}) + "\n")
    stream.flush()
    code: int | None = json.loads(stream.readline())
    return code


@dataclass
class Run:
    """What came of a process: exit code (minus the signal that killed it) and what it printed."""

    code: int
    stderr: str
    folder: Path

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def files(self) -> dict[str, bytes]:
        """The bytes of everything but the checkpoint, the lock and the cost."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in found
            if path.name not in {"last.ckpt", ".lock", ".cost.json"}
        }


@dataclass
class TrainingProject:
    """A project with data, in which plans are trained."""

    root: Path
    composed: dict[tuple[str, ...], Plan] = field(default_factory=dict)
    finished: dict[str, Run] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        return Project(self.root)

    def plan(self, *overrides: str) -> Plan:
        return self._compose(*SMALL, *overrides)

    def simple(self, *overrides: str) -> Plan:
        """Compose a short training of digits on any model."""
        given = ["features=image", "trainer.max_epochs=2", "trainer.batch_size=256", "trainer.accelerator=cpu"]
        return self._compose(*given, *overrides)

    def _compose(self, *overrides: str) -> Plan:
        """Compose a plan once, since it is frozen and no test changes a file of `conf/` that another one uses."""
        if overrides not in self.composed:
            self.composed[overrides] = load_plan(last_of_each(*overrides), self.project)
        return self.composed[overrides]

    def train(self, plan: Plan, name: str, kill: str | None = None) -> Run:
        """Train into the folder `name`, continuing what is in it."""
        folder = self.root / "out" / name
        file = self.root / "jobs" / f"{name}.json"
        write_record(file, self.job(plan))
        log = self.root / "out" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        before = len(log.read_text()) if log.exists() else 0
        code = run_forked([str(file), str(folder), "--root", str(self.root)], log, kill)
        assert code is not None, f"the training of {name} hangs"
        assert "the program imported" not in log.read_text()
        return Run(code, log.read_text()[before:], folder)

    def job(self, plan: Plan) -> TrainingJob:
        """What the training program takes to train a plan on the data that is there."""
        return plan.version.training_job(Table.open(self.root / "data" / plan.dataset.name).digest)

    def fit(self, plan: Plan, table: TableRecord, folder: Path) -> Trained:
        """Run the step that fits a plan's learner."""
        places = Places(self.root, launcher=plan.launcher).of_step(folder)
        job = plan.version.training_job(table.digest)
        return fit(job, device_of(job.learner), places)

    def train_once(self, plan: Plan, how: str | None = None) -> Run:
        """Train a plan, or take what an earlier test trained for the same plan."""
        if plan.fingerprint not in self.finished:
            run = self.train(plan, f"once-{plan.fingerprint[:12]}", how)
            assert run.code == 0, run.stderr
            self.finished[plan.fingerprint] = run
        return self.finished[plan.fingerprint]


@pytest.fixture(scope="session")
def training_project(tmp_path_factory: pytest.TempPathFactory) -> TrainingProject:
    """A project that holds the digits."""
    root = tmp_path_factory.mktemp("training") / "project"
    shutil.copytree(REPOSITORY / "conf", root / "conf")
    made = TrainingProject(root)
    ingest(made.plan().dataset, Places(root))
    return made


@pytest.fixture
def table_of(training_project: TrainingProject, tmp_path: Path) -> Iterator[Callable[[Sequence[str]], list[str]]]:
    """Make a data set `made` of lines `number,label`; gives the overrides that ask for it."""

    def make(lines: Sequence[str]) -> list[str]:
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "made" / "rows.csv").write_text("number,other,label,part\n" + "\n".join(lines) + "\n")
        yaml = {
            "name": "made",
            "title": "made",
            "licence": "none",
            "citation": "none",
            "sources": {"rows": {"uri": "file:made/rows.csv"}},
            "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
            "inputs": ["number", "other"],
            "target": "label",
            "tasks": ["classification"],
            "split": {"_target_": "headframe.datasets.splits.PredefinedSplitter", "column": "part"},
            "contract": {
                "columns": {
                    "number": {"dtype": "float", "nullable": True},
                    "other": {"dtype": "float", "nullable": True},
                    "label": {"dtype": "string"},
                    "part": {"dtype": "string"},
                }
            },
        }
        (training_project.root / "conf" / "dataset" / "made.yaml").write_text(json.dumps(yaml))
        overrides = ["dataset=made", "features=tabular", "model=mlp", "trainer.max_epochs=2"]
        ingest(load_plan(overrides, training_project.project).dataset, Places(training_project.root, tmp_path))
        return overrides

    yield make
    shutil.rmtree(training_project.root / "data" / "made", ignore_errors=True)
    (training_project.root / "conf" / "dataset" / "made.yaml").unlink(missing_ok=True)
