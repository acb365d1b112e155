"""Where the training program runs: each launcher starts it as a process and waits for its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headframe.config.ranges import Positive
from headframe.errors import HeadframeError
from headframe.training.environment import settings_of
from headframe.training.lifeline import heard

GRACE = 5.0
"""Seconds between asking a process to end and ending it."""


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

    Output and terminal are this process's own. It ends with this process: when that is interrupted or ends in
    whatever way, the kernel closes the socket between the two and the program exits (see `lifeline`).

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
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "headframe.training", str(plan), str(folder)),
                        *("--root", str(root), "--table", table, "--lifeline", str(theirs.fileno())),
                    ],
                    cwd=root,
                    env={**os.environ, **settings_of(threads), "PYTHONPATH": _search_path(root)},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            try:
                code = process.wait(None if self.minutes is None else 60 * self.minutes)
            except subprocess.TimeoutExpired as error:
                msg = (
                    f"training was ended after launcher.minutes={self.minutes:g}; "
                    "start again to go on from its last checkpoint, or allow it more"
                )
                raise HeadframeError(msg) from error
            finally:
                _end(process)
            if code:
                raise heard(ours) or HeadframeError(_unexplained(code))


def _search_path(root: Path) -> str:
    """Let the program import the project's own code."""
    return os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH", "")]))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its members, if they have not ended by themselves."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _unexplained(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"training was ended by {name}; start again, and it goes on from its last checkpoint"
    return f"the training program failed with code {code}; its traceback stands above"
