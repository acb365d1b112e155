"""Trains small plans in forked processes, so that Lightning is imported once for all of them; see `driver.py`."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from given_overrides import last_of_each
from shared import connect_to_warm

from headframe.code_dependencies import device_of
from headframe.config.load import load_plan
from headframe.config.plan.learner import TrainingJob
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.datasets.table import Table
from headframe.digests import write_record
from headframe.places import Places
from headframe.records import TableRecord, Trained
from headframe.training.fit import fit

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
