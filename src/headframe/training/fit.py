"""The step that fits a learner, in a process of its own."""

from headframe.config.build import build
from headframe.config.plan.learner import TrainingJob
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError
from headframe.places import Places
from headframe.prediction.layout import JOB, RESULT
from headframe.processes import raising_error_in
from headframe.records import Trained
from headframe.training.launchers.base import Launcher
from headframe.training.result import Result, identity_of


def fit(job: TrainingJob, device: str, places: Places) -> Trained:
    """Fit a learner through the launcher of the places.

    Args:
        job: the learner, and the version of the data that must be in the project.
        device: kind of device that it is trained on, see `headframe.code_dependencies.device_of`.
        places: an unfinished training in the step's folder is continued.

    Raises:
        DataError: the table is not, or is no longer, the version that is expected.
        HeadframeError: or one of its kinds: what ended the program; or code, libraries or device changed while it ran.
    """
    from headframe.datasets.table import open_version  # noqa: PLC0415 - flows compose without pyarrow

    open_version(places.root, job.dataset.name, job.table)
    identity = identity_of(job, places.root, device)
    write_record(places.folder / JOB, job)
    if places.launcher is None:
        raise ValueError("the places name no launcher, so nothing can be trained")
    launcher: Launcher = build(places.launcher)
    with raising_error_in(places.folder):
        launcher.launch(places.folder / JOB, places.folder, places.root, job.learner.trainer.threads)
    result = Result.model_validate_json((places.folder / RESULT).read_bytes())
    if result.table != job.table:
        raise DataError(
            f"the launcher trained on version {result.table[:12]} of {job.dataset.name}, but {job.table[:12]} was "
            "expected; make it pass its `job` to the program, and run again"
        )
    if result.identity != identity:
        raise HeadframeError(
            "the training program found other code, libraries or another device than this run started with, so its "
            "result is not used; run again without changing them meanwhile"
        )
    return Trained(
        folder=places.folder.relative_to(places.root).as_posix(),
        **result.model_dump(include=set(Trained.model_fields)),
    )
