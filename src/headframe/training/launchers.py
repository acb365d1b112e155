"""Where the training program runs: each launcher starts it as a process and waits for its end."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headframe.config.ranges import Positive
from headframe.errors import HeadframeError
from headframe.processes import describe_exit, run_program, search_path
from headframe.training.environment import settings_of


class Launcher(Protocol):
    """Starts the training program somewhere."""

    def launch(self, plan: Path, folder: Path, root: Path, table: str, threads: int) -> None:
        """Run `python -m headframe.training` to its end.

        Args:
            plan: the plan's file.
            folder: where the program writes.
            root: the project's folder.
            table: sha256 of the table to train on; the program takes no other.
            threads: of the program.

        Raises:
            HeadframeError: or the one of its kinds that ended the program.
        """


@dataclass(frozen=True)
class Local:
    """A process on this machine, in a session of its own.

    Output and terminal are this process's own, and it ends with this process (see `headframe.processes`).

    Attributes:
        minutes: wall time after which it is ended; None: never.
    """

    minutes: Positive | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.minutes <= 0:
            msg = f"minutes={self.minutes} is no time to train in; take a positive number or null"
            raise ValueError(msg)

    def launch(self, plan: Path, folder: Path, root: Path, table: str, threads: int) -> None:
        """See `Launcher.launch`."""
        try:
            code = run_program(
                ["-m", "headframe.training", str(plan), str(folder), "--root", str(root), "--table", table],
                environment={**settings_of(threads), "PYTHONPATH": search_path([root / "src"])},
                cwd=root,
                timeout=None if self.minutes is None else 60 * self.minutes,
            )
        except subprocess.TimeoutExpired as error:
            msg = (
                f"training was ended after launcher.minutes={self.minutes:g}; "
                "start again to go on from its last checkpoint, or allow it more"
            )
            raise HeadframeError(msg) from error
        if code:
            msg = f"training {describe_exit(code)}"
            raise HeadframeError(msg + ("; start again, and it goes on from its last checkpoint" if code < 0 else ""))
