"""The training program: a job in, a folder with a trained model out."""

from pathlib import Path

from filelock import FileLock, Timeout

from headframe.config.members import member_learners
from headframe.config.plan.learner import TrainingJob
from headframe.config.project import Project
from headframe.digests import write_record
from headframe.errors import HeadframeError
from headframe.prediction.layout import COST, RESULT
from headframe.training.cost import ResourceUsage
from headframe.training.progress import Display
from headframe.training.result import CHECKPOINT, LOCK, Result, finished, identity_of

LOCK_SECONDS = 10.0
"""How long to wait for a training of the same folder to end; one that was killed needs a moment for it."""


def train(job: TrainingJob, project: Project, folder: Path) -> Result:
    """Train a job into a folder, continue an unfinished training of it there, or return its finished result.

    Raises:
        DataError: the project holds another version of the data.
        HeadframeError: or one of its kinds, for what a user can fix, such as two runs in one folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=LOCK_SECONDS), Display() as display:
            identity = identity_of(job, project.root)
            done = finished(folder, identity)
            if done is not None:
                display.line("", "finished earlier; nothing to do")
                return done
            # A checkpoint, or a finished member.
            resumed = any(folder.rglob(Path(CHECKPOINT).name)) or any(folder.rglob(RESULT))
            usage = ResourceUsage(resumed=resumed)
            if member_learners(job.learner):
                from headframe.training.ensembles import train_ensemble  # noqa: PLC0415 - only ensembles need it

                result = train_ensemble(job, project, folder, display, usage)
            else:
                from headframe.training.single import prepare_job, train_learner  # noqa: PLC0415 - imports torch

                prepared = prepare_job(job, project, folder)
                result = train_learner(job, prepared, identity, folder, display.reporter(""))
            write_record(folder / COST, usage.read())
            return result
    except Timeout as error:
        raise HeadframeError(f"another training is running in {folder}; wait for it to end, or stop it") from error
