"""Processes that outlive the one that started them, each the leader of a session of its own."""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from headframe.digests import Record

_SAME_PROCESS_SECONDS = 1.0
"""A process that began at the recorded time is the one that was started; the kernel's clock may be corrected a bit."""


class Daemon(Record):
    """A process that outlives the one that started it."""

    pid: int  # another process may have it once this one is gone
    created: float  # seconds since 1970, as the kernel has it

    def process(self) -> psutil.Process | None:
        """Return the process; None where it is gone, even if another has its number now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if self._is(process) and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def orphans(self) -> Iterator[psutil.Process]:
        """Yield what a daemon that is gone has left: its children stay in its session.

        No other process gets the number of a session that still has members: where one has it, there are none.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)
            if not self._is(leader) or leader.status() != psutil.STATUS_ZOMBIE:
                return
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(process.pid) == self.pid and process.create_time() >= self.created:
                    yield process

    def _is(self, process: psutil.Process) -> bool:
        return abs(float(process.create_time()) - self.created) < _SAME_PROCESS_SECONDS


def start_daemon(command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: IO[bytes]) -> Daemon:
    """Start a command with nothing but the given variables; what it prints goes to `log`."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # closing the terminal must not stop it
    )
    process.returncode = 0  # it is never waited for: it outlives this process
    return Daemon(pid=process.pid, created=psutil.Process(process.pid).create_time())


def terminate(daemons: Iterable[Daemon], grace: float) -> None:
    """End daemons and their children: with SIGTERM, and after `grace` seconds with SIGKILL."""
    daemons = list(daemons)
    leaders = [process for daemon in daemons if (process := daemon.process()) is not None]
    orphans = [process for daemon in daemons for process in daemon.orphans()]
    children: list[psutil.Process] = []
    for leader in leaders:
        with contextlib.suppress(psutil.NoSuchProcess):
            children += leader.children(recursive=True)
    for process in (*leaders, *orphans):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(list(dict.fromkeys([*leaders, *children, *orphans])), timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace)
