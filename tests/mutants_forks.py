"""Programs that `mutants.py` lets tests fork from their own process, not from `warm.py`, so that they run its code.

What they run is noted while nothing is changed yet, and asserted by the same tests when something is.
"""

import functools
import importlib
import json
import multiprocessing
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import shared
from coverage import Coverage

_WARM = shared.warm_socket
UNKNOWN_TO_TRAININGS = ("prefect", "hydra", "omegaconf", "mlflow")
"""What the process of the tests has imported and a training must not; it says so where it does."""


class Forks:
    """Notes which lines the forks of this process run, as long as it measures coverage."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp())
        self._owner = os.getpid()
        self._leave = os._exit
        os._exit = self._write_and_leave  # type: ignore[assignment]
        shared.warm_socket, shared.connect_to_warm = fork_here, ForkingStream

    def _write_and_leave(self, code: int) -> None:
        measuring = Coverage.current()
        if measuring is not None and os.getpid() != self._owner:
            measuring.stop()
            data = measuring.get_data()
            lines = [(file, line) for file in data.measured_files() for line in data.lines(file) or ()]
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as file:
                json.dump(lines, file)
            Path(file.name).rename(f"{file.name}.json")
        self._leave(code)

    def collect(self) -> Iterator[tuple[str, int]]:
        """Yield each file and line that forks have run which have ended since the last time."""
        for file in self._folder.glob("*.json"):
            yield from map(tuple, json.loads(file.read_text()))
            file.unlink()


class ForkingStream:
    """Stands for `shared.connect_to_warm`: each request is a fork of the process as it is then."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._line = ""

    def write(self, text: str) -> None:
        self._line += text

    def flush(self) -> None:
        pass

    def readline(self) -> str:
        line, self._line = self._line, ""
        with fork_here(self._service) as connection, connection.makefile("rw") as stream:
            stream.write(line)
            stream.flush()
            return stream.readline()


def fork_here(service: str) -> socket.socket:
    """Return a socket to a fork of this process that serves it as `warm.py` does."""
    if service != "trainings":
        return _WARM(service)
    driver, warm = _imported()
    mine, other = socket.socketpair(socket.AF_UNIX)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.fork() == 0:
        try:
            mine.close()
            os.chdir(shared.REPOSITORY)
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # not what pytest reads
            for name in UNKNOWN_TO_TRAININGS:
                sys.modules.pop(name, None)
            _fork_members()
            warm.answer(other, warm.program_or(driver.respond))
        finally:  # a fork that goes on would run the tests, and fork in its turn
            os._exit(1)
    other.close()
    return mine


@functools.cache
def _imported() -> tuple[Any, Any]:
    """Return `driver.py` and `warm.py`, with all that trainings need; they import headframe, as pytest is to first."""
    before = list(sys.path)
    warm = importlib.import_module("warm")
    sys.path[:] = before
    driver = importlib.import_module("driver")
    driver.import_everything()
    return driver, warm


def _fork_members() -> None:
    """Let members of ensembles be forks, too, and not begin in a process that has not got the change."""
    ensembles = importlib.import_module("headframe.training.ensembles")
    context = multiprocessing.get_context("fork")
    ensembles.multiprocessing = SimpleNamespace(  # type: ignore[attr-defined]
        get_context=lambda _: context, parent_process=multiprocessing.parent_process
    )
