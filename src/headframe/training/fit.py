"""The step that fits a learner, in a process of its own."""

from __future__ import annotations

from headframe.config.build import build
from headframe.config.plan.data import TrainingDataConfig
from headframe.config.plan.learner import Learner, TrainingPlan
from headframe.config.plan.task import TaskConfig
from headframe.config.project import Project
from headframe.digests import file_digest, folder_digest, write_record
from headframe.errors import DataError, HeadframeError
from headframe.places import Places
from headframe.records import TableRecord, Trained
from headframe.training.launchers.base import Launcher

PLAN = "plan.json"


def fit(  # noqa: PLR0917 - a step takes what its key is made of
    learner: Learner, task: TaskConfig, dataset: TrainingDataConfig, table: TableRecord, device: str, places: Places
) -> Trained:
    """Fit a learner through the launcher of the places.

    Args:
        learner: what to fit.
        task: what is predicted.
        dataset: which columns of the table, and its split.
        table: the version of the data that must be in the project.
        device: kind of device that it is trained on, see `headframe.code_dependencies.device_of`.
        places: an unfinished training in the step's folder is continued.

    Raises:
        DataError: the table is not, or is no longer, the version that is expected.
        HeadframeError: or one of its kinds: what ended the program; or code, libraries or device changed while it ran.
    """
    from headframe.prediction.layout import RESULT  # noqa: PLC0415 - flows compose without pyarrow
    from headframe.training.result import Result, TrainingJob  # noqa: PLC0415

    job = TrainingJob(dataset, task, places.root, Project(places.root).packages, table.digest)
    job.table()
    identity = job.identity(learner, device)
    file = places.folder / PLAN
    parts = {name: getattr(learner, name) for name in Learner.model_fields}
    write_record(file, TrainingPlan.model_construct(**parts, dataset=dataset, task=task))
    if places.launcher is None:
        msg = "the places name no launcher, so nothing can be trained"
        raise ValueError(msg)
    launcher: Launcher = build(places.launcher)
    launcher.launch(file, places.folder, places.root, table.digest, learner.trainer.threads)
    result = Result.model_validate_json((places.folder / RESULT).read_bytes())
    if result.table != table.digest:
        msg = (
            f"the launcher trained on version {result.table[:12]} of {table.dataset}, but {table.digest[:12]} was "
            "expected; make it pass its `table` to the program, and run again"
        )
        raise DataError(msg)
    if result.identity != identity:
        msg = (
            "the training program found other code, libraries or another device than this run started with, so its "
            "result is not used; run again without changing them meanwhile"
        )
        raise HeadframeError(msg)
    return Trained(
        folder=places.folder.relative_to(places.root).as_posix(),
        bundle=result.bundle,
        predictions=result.predictions,
        epochs=result.epochs,
        parameters=result.parameters,
        members=result.members,
    )


def is_complete(trained: Trained, places: Places) -> bool:
    """Return whether what a training wrote is still there, byte for byte."""
    from headframe.prediction.layout import BUNDLE, PREDICTIONS  # noqa: PLC0415 - see `fit`

    folder = places.root / trained.folder
    return (
        folder_digest(folder / BUNDLE) == trained.bundle
        and (folder / PREDICTIONS).is_file()
        and file_digest(folder / PREDICTIONS) == trained.predictions
    )
