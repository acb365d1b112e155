"""Checks of files that are made once and remembered until a file changes.

A file is known by device, inode, size and the times of its last changes. Its time of change (ctime) is set by the
system at every write and cannot be set by a program, so what passed a check passes it until the file is written to
again. A check that passed is remembered as an empty file beside the keys, outside of every project: nobody who may
write to a project can claim that a check was made.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from headframe.digests import digest
from headframe.environment import keys_folder

log = logging.getLogger("headframe")

FOLDER = "checked"
DAYS = 30  # after which a file is read again: a disk may lose bits without any write
TICK = 0.02  # seconds; of two changes closer than that a file system may give both the same time


def holds(facts: Any, files: Iterable[os.stat_result], check: Callable[[], bool]) -> bool:
    """Return whether a check holds, without making it where it held before and nothing has changed since.

    Args:
        facts: what is checked, as JSON: the digests that the files are compared with.
        files: the state of the files that are read, taken before they are.
        check: returns whether it holds, or raises; only what holds is remembered.
    """
    known = [(each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in files]
    marker = keys_folder() / FOLDER / digest([facts, known])
    if _is_remembered(marker):
        return True
    youngest = max((ctime for *_, ctime in known), default=0) / 1e9
    # A change from now on must be seen in the time of change.
    time.sleep(min(TICK, max(0.0, youngest + TICK - time.time())))
    if not check():
        return False
    _remember(marker)
    return True


def _is_remembered(marker: Path) -> bool:
    try:
        folder, about = marker.parent.stat(), marker.stat()
    except OSError:
        return False
    own = folder.st_uid == os.getuid() and not folder.st_mode & 0o022
    return own and time.time() - about.st_mtime < DAYS * 86_400


def _remember(marker: Path) -> None:
    """Remember that a check held, and forget what is remembered for too long."""
    try:
        marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in os.scandir(marker.parent):
            if time.time() - each.stat().st_mtime > DAYS * 86_400:
                Path(each).unlink(missing_ok=True)
        marker.touch(mode=0o600)
    except OSError as error:  # as where the folder of keys is read-only: checks are then made each time
        log.debug("that files were checked cannot be remembered in %s: %s", marker.parent, error)
