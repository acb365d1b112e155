"""The training program as a process on this machine."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from headframe.config.ranges import Positive
from headframe.errors import HeadframeError
from headframe.processes import describe_exit, run_program, search_path
from headframe.training import environment_of
from headframe.training.launchers.base import Launcher


@dataclass(frozen=True)
class Local(Launcher):
    """Starts a process on this machine, in its own session.

    It shares this process's output and terminal, and ends with this process (see `headframe.processes`).

    Attributes:
        minutes: wall time after which it is ended; None: never.
    """

    minutes: Positive | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes={self.minutes} leaves no time to train; use a positive number or null")

    def launch(self, job: Path, folder: Path, root: Path, threads: int) -> None:
        """Run the program; see `Launcher.launch`."""
        try:
            code = run_program(
                ["-m", "headframe.training", str(job), str(folder), "--root", str(root)],
                environment={**environment_of(threads), "PYTHONPATH": search_path([root / "src"])},
                cwd=root,
                timeout=None if self.minutes is None else 60 * self.minutes,
            )
        except subprocess.TimeoutExpired as error:
            raise HeadframeError(
                f"training was ended after launcher.minutes={self.minutes:g}; "
                "run again to continue from its last checkpoint, or allow more time"
            ) from error
        if code:
            msg = f"training {describe_exit(code)}"
            raise HeadframeError(msg + ("; run again to continue from its last checkpoint" if code < 0 else ""))
