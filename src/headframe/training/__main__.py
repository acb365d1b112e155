"""`python -m headframe.training JOB.json OUT_DIR`: train a job in this process."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from headframe.config.project import Project
from headframe.digests import validation_message
from headframe.errors import ConfigurationError, HeadframeError
from headframe.exhaustion import exhausted, quiet_when_exhausted
from headframe.garbage import collect_rarely
from headframe.library_warnings import shorten_warnings
from headframe.own_source import compile_own_sources
from headframe.permissions import keep_private
from headframe.processes import end, exit_code
from headframe.training import environment_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0, or that of the exception that ended it."""
    given = _parser().parse_args(arguments)
    collect_rarely()
    shorten_warnings()
    quiet_when_exhausted()
    return exit_code(lambda: _run(given.job, given.folder, given.root), given.folder, given.parent_socket)


def _run(file: Path, folder: Path, root: Path | None) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - `--help` needs no schema

    from headframe.config.plan.learner import TrainingJob  # noqa: PLC0415 - `--help` needs no schema

    project = Project(root.resolve()) if root is not None else Project.find(Path.cwd())
    try:
        job = TrainingJob.model_validate_json(file.read_bytes(), context={"trusted": project.packages})
    except FileNotFoundError as error:
        raise HeadframeError(f"there is no training job {file}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{file} is no training job: {validation_message(error)}") from error
    # Before NumPy and torch are imported, which read them once.
    os.environ.update(environment_of(job.learner.trainer.threads))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(project.state / "torchinductor"))
    compile_own_sources()
    if (project.root / "src").is_dir():
        sys.path.insert(0, str(project.root / "src"))
    from headframe.training.program import train  # noqa: PLC0415 - imports torch

    try:
        train(job, project, folder.resolve())
    except OSError as error:
        raise exhausted(error) or HeadframeError(f"{error.filename or folder}: {error.strerror or error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headframe.training",
        description="Train a job. Killed at any moment and started again, it ends with the same weights.",
    )
    parser.add_argument(
        "job",
        type=Path,
        metavar="JOB.json",
        help="learner, task, data set and version of its table: `job.json` of a run",
    )
    parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="where the model and its predictions are written")
    parser.add_argument("--root", type=Path, metavar="PROJECT", help="the project's folder; found upwards without it")
    parser.add_argument("--parent-socket", type=int, help=argparse.SUPPRESS)  # see `headframe.processes`
    return parser


if __name__ == "__main__":
    keep_private()  # a launcher may start this on another machine
    end(main())
