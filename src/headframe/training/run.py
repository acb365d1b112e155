"""Train a plan out of process and say what came of it."""

from __future__ import annotations

from pathlib import Path

from headframe.config.build import build
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.digests import file_digest, folder_digest, write_record
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.records import TableRecord, Trained
from headframe.training.launchers import Launcher

PLAN = "plan.json"


def train(plan: Plan, table: TableRecord, root: Path, folder: Path) -> Trained:
    """Train the plan's learner through the plan's launcher.

    Args:
        plan: `seed`, `dataset`, `features`, `task`, `model`, `optimizer`, `scheduler` and `trainer` decide the
            outcome, `launcher` where it comes about.
        table: the version of the data that must lie in the project.
        root: the project's folder.
        folder: an absolute path below `root`; an unfinished training in it is gone on with.

    Raises:
        DataError: the table is not, or is no longer, the version that is asked for.
        HeadframeError: or one of its kinds, as the program ended with; or something else was trained than was asked
            for, since code or libraries were changed meanwhile.
    """
    from headframe.prediction.layout import RESULT  # noqa: PLC0415 - flows are composed without pyarrow
    from headframe.training.result import Result, TrainingJob  # noqa: PLC0415 - flows are composed without pyarrow

    relevant = plan.without_declared
    work = TrainingJob(relevant.dataset, relevant.task, root, Project(root).packages, table.digest)
    work.table()
    identity = work.identity(relevant.learner)
    file = folder / PLAN
    write_record(file, plan)
    launcher: Launcher = build(plan.launcher)
    launcher.launch(file, folder, root, table.digest, plan.trainer.threads)
    result = Result.model_validate_json((folder / RESULT).read_bytes())
    if result.table != table.digest:
        msg = (
            f"version {result.table[:12]} of {table.dataset} was trained on, but {table.digest[:12]} is asked for; "
            "let the launcher hand its `table` to the program, and run again"
        )
        raise DataError(msg)
    if result.identity != identity:
        msg = (
            "the training program found other code, libraries or another kind of device than this run began with, so "
            "what it trained is not kept; run again, and change nothing meanwhile"
        )
        raise HeadframeError(msg)
    return Trained(
        folder=folder.relative_to(root).as_posix(),
        bundle=result.bundle,
        predictions=result.predictions,
        epochs=result.epochs,
        parameters=result.parameters,
        members=result.members,
    )


def is_whole(trained: Trained, root: Path) -> bool:
    """Say whether what a training left is still there, byte for byte."""
    from headframe.prediction.layout import BUNDLE, PREDICTIONS  # noqa: PLC0415 - see `train`

    folder = root / trained.folder
    return (
        folder_digest(folder / BUNDLE) == trained.bundle
        and (folder / PREDICTIONS).is_file()
        and file_digest(folder / PREDICTIONS) == trained.predictions
    )


def train_baseline(plan: Plan, table: TableRecord, root: Path, folder: Path) -> Trained:
    """Train what the plan's model is compared with; see `train`.

    Raises:
        ConfigurationError: the plan names no baseline.
    """
    if plan.baseline is None:
        msg = "the plan names no baseline; take one as in baseline=logistic"
        raise ConfigurationError(msg)
    learner = plan.learner.with_member(plan.baseline)
    parts = ("model", "features", "optimizer", "scheduler", "trainer")
    changed = {name: getattr(learner, name) for name in parts}
    return train(plan.model_copy(update={**changed, "baseline": None}), table, root, folder)
