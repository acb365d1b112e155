"""The folder of a training: its result, and the identity of what is trained; light to import."""

import shutil
from pathlib import Path

from headframe.code_dependencies import code_dependencies, device_of
from headframe.config.plan.component import targets
from headframe.config.plan.learner import TrainingJob
from headframe.config.targets.find_definition import class_constant
from headframe.digests import (
    Record,
    canonical,
    digest,
    digest_content,
    file_digest,
    file_digests,
    folder_digest,
    write_record,
)
from headframe.prediction.layout import BUNDLE, JOB, PREDICTIONS, RESULT
from headframe.seals import require_seal, seal
from headframe.training import PROGRAM

CHECKPOINT, LOCK = ".checkpoint/last.ckpt", ".lock"  # hidden, as they differ between equal trainings


class Result(Record):
    """The last file that a training writes; without it the folder holds an unfinished one."""

    identity: str  # sha256 of everything that decides the outcome
    table: str  # sha256 of the table that was read
    bundle: str  # sha256 of the folder
    predictions: str  # sha256 of the file
    epochs: int  # 0 for estimators; of an ensemble the most of any member
    parameters: int  # trainable parameters of all networks
    members: tuple[str, ...] = ()
    copies: int = 0  # rows that were left out as copies of measured ones; of an ensemble the most of any member
    files: dict[str, str]  # sha256 of each file of the folder, those of members included
    seal: str = ""  # of all of this, see `headframe.seals`

    @property
    def sealed(self) -> bytes:
        """What the seal is about."""
        return canonical(self.model_dump(mode="json", exclude={"seal"})).encode()


def identity_of(job: TrainingJob, root: Path, device: str = "") -> str:
    """Compute the digest of everything that decides the result of a job, the code of the project included.

    The device is the kind that it is trained on; that of this machine unless given.
    """
    content = digest_content(job)
    adapter = class_constant(job.task.target, "estimators", root / "src") or ""
    modules = [PROGRAM, *(target.rpartition(".")[0] for target in (*targets(content), adapter) if target)]
    code = code_dependencies(modules, root / "src").model_dump()
    return digest({**content, "device": device or device_of(job.learner), "code": code})


def finished(folder: Path, identity: str) -> Result | None:
    """Return the result in a folder if it has this identity and its files are unchanged; else None."""
    try:
        result = Result.model_validate_json((folder / RESULT).read_bytes())
        require_seal(result.sealed, result.seal)
    except (FileNotFoundError, ValueError):
        return None
    return result if result.identity == identity and result.files == _digests(folder) else None


def begin(folder: Path) -> None:
    """Mark a training as unfinished and remove what a kill left half-written."""
    (folder / RESULT).unlink(missing_ok=True)
    checkpoints = folder / Path(CHECKPOINT).parent
    for leftover in (*folder.glob(".*"), *checkpoints.glob(".*")):
        if leftover.name in (LOCK, checkpoints.name):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def conclude(
    folder: Path,
    identity: str,
    table: str,
    *,
    epochs: int,
    parameters: int,
    members: tuple[str, ...] = (),
    copies: int = 0,
) -> Result:
    """Write `result.json`, after which the training counts as finished."""
    result = Result(
        identity=identity,
        table=table,
        bundle=folder_digest(folder / BUNDLE),
        predictions=file_digest(folder / PREDICTIONS),
        epochs=epochs,
        parameters=parameters,
        members=members,
        copies=copies,
        files=_digests(folder),
    )
    result = result.model_copy(update={"seal": seal(result.sealed)})
    write_record(folder / RESULT, result)
    return result


def _digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of the files of a training but its job, which is written before each start, and its result."""
    return {name: sha256 for name, sha256 in file_digests(folder).items() if name not in (JOB, RESULT)}
