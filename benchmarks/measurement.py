"""One row of the table."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measurement:
    """A measured figure beside its goal."""

    what: str
    figure: str
    against: str
    goal: str
    met: bool


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(work: Callable[[], float], times: int) -> float:
    """The median of several measurements."""
    return statistics.median(work() for _ in range(times))


@dataclass(frozen=True)
class Finished:
    """What a process cost."""

    wall: float  # seconds
    cpu: float  # seconds, user and system, children included
    output: str  # on stdout
    progress: str  # on stderr


def process(command: Sequence[str], folder: Path, **environment: str) -> Finished:
    """Run a process to its end; it must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        list(command), cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Finished(wall, cpu, done.stdout, done.stderr)
