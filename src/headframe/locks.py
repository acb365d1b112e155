"""Locks between processes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger("headframe")


@contextmanager
def file_lock(file: Path, waiting: str) -> Iterator[None]:
    """Hold a lock; if another process has it, log the line `waiting` and wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("%s", waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
