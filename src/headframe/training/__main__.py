"""`python -m headframe.training PLAN.json OUT_DIR`: train a plan in this process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from headframe.config.project import Project
from headframe.errors import INTERRUPTED, ConfigurationError, HeadframeError
from headframe.processes import exit_code
from headframe.training.environment import settings_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0, or that of the exception that ended it."""
    given = _parser().parse_args(arguments)
    try:
        return exit_code(lambda: _run(given.plan, given.folder, given.root, given.table), given.parent_socket)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)  # noqa: T201
        return INTERRUPTED


def _run(plan_file: Path, folder: Path, root: Path | None, version: str | None) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - `--help` needs no schema

    from headframe.config.plan.learner import TrainingPlan  # noqa: PLC0415

    project = Project(root.resolve()) if root is not None else Project.find(Path.cwd())
    try:
        plan = TrainingPlan.read(plan_file, project.packages)
    except FileNotFoundError as error:
        msg = f"there is no plan {plan_file}"
        raise HeadframeError(msg) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"{plan_file} is no plan: {where}: {first['msg']}" if where else f"{plan_file}: {first['msg']}"
        raise ConfigurationError(msg) from error
    # Before NumPy and torch are imported, which read them once.
    os.environ.update(settings_of(plan.trainer.threads))
    if (project.root / "src").is_dir():
        sys.path.insert(0, str(project.root / "src"))
    from headframe.training.program import train  # noqa: PLC0415 - imports torch

    try:
        train(plan, project.root, folder.resolve(), project.packages, version)
    except OSError as error:
        msg = f"{error.filename or folder}: {error.strerror or error}"
        raise HeadframeError(msg) from error


def _end(number: int, _: object) -> NoReturn:
    """End at once: what is not in the last checkpoint is computed again."""
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headframe.training",
        description="Train a plan. Killed at any moment and started again, it ends with the same weights.",
    )
    parser.add_argument(
        "plan", type=Path, metavar="PLAN.json", help="the plan, as `headframe run --cfg --json` prints it"
    )
    parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="where the model and its predictions are written")
    parser.add_argument("--root", type=Path, metavar="PROJECT", help="the project's folder; found upwards without it")
    parser.add_argument("--table", metavar="SHA256", help="the version of the data; without it the one that lies there")
    parser.add_argument("--parent-socket", type=int, help=argparse.SUPPRESS)  # see `headframe.processes`
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
