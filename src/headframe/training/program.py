"""The training program: a plan in, a folder with a trained model out."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from headframe.config.members import member_learners
from headframe.config.plan.learner import TrainingPlan
from headframe.datasets.table import Table
from headframe.digests import write_record
from headframe.errors import HeadframeError
from headframe.prediction.layout import COST, RESULT
from headframe.training.cost import ResourceUsage
from headframe.training.progress import Display
from headframe.training.result import CHECKPOINT, LOCK, Result, TrainingJob, finished

PATIENCE = 10.0
"""Seconds to wait for a training of the same folder to end; one that was killed needs a moment for it."""


def train(plan: TrainingPlan, root: Path, folder: Path, trusted: tuple[str, ...], version: str | None = None) -> Result:
    """Train a plan, continue an unfinished training of it, or return its finished result.

    Args:
        plan: what to train.
        root: the project's folder, with `data/`.
        folder: where everything is written.
        trusted: import prefixes of the project's own code.
        version: sha256 of the data set's table; None: of the present one.

    Raises:
        DataError: another version is there.
        HeadframeError: or one of its kinds, for what a user can fix, such as two runs in one folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learner = plan.learner
    try:
        with FileLock(folder / LOCK, timeout=PATIENCE), Display() as display:
            found = version or Table.open(root / "data" / plan.dataset.name).digest
            job = TrainingJob(plan.dataset, plan.task, root, trusted, found)
            identity = job.identity(learner)
            done = finished(folder, identity)
            if done is not None:
                display.line("", "finished earlier; nothing to do")
                return done
            usage = ResourceUsage(resumed=_has_begun(folder))
            if member_learners(learner):
                from headframe.training.ensembles import train_ensemble  # noqa: PLC0415 - only ensembles need it

                result = train_ensemble(learner, job, folder, display, usage)
            else:
                from headframe.examples.prepare import prepare  # noqa: PLC0415 - imports torch
                from headframe.training.learner import train_learner  # noqa: PLC0415

                prepared = prepare(job.dataset, job.task, job.table())
                result = train_learner(learner, prepared, identity, folder, display.reporter(""))
            write_record(folder / COST, usage.read())
            return result
    except Timeout as error:
        msg = f"another training is running in {folder}; wait for it to end, or stop it"
        raise HeadframeError(msg) from error


def _has_begun(folder: Path) -> bool:
    """Return whether there is something to continue: a checkpoint, or a finished member."""
    return any(folder.rglob(Path(CHECKPOINT).name)) or any(folder.rglob(RESULT))
