"""A temporary folder outside of every project; one that a killed process left is removed by the next."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "headframe-reproduce-"
LOCK = "lock"
YOUNG = 60.0  # seconds in which a folder that has no lock yet may be about to get one


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, removed at the end; those that killed processes left are removed first."""
    base = Path(tempfile.gettempdir())
    remove_leftovers(base)
    own = Path(tempfile.mkdtemp(dir=base, prefix=PREFIX)).resolve()
    try:
        # Held as long as this process lives, however it ends.
        with FileLock(own / LOCK):
            inside = own / "work"
            inside.mkdir()
            yield inside
    finally:
        _remove(own)


def remove_leftovers(base: Path) -> None:
    """Remove what killed reproductions left in `base`."""
    for left in base.glob(f"{PREFIX}*"):
        try:
            about = left.lstat()
            if left.is_symlink() or not left.is_dir() or about.st_uid != os.getuid():
                continue
            if not (left / LOCK).exists() and time.time() - about.st_mtime < YOUNG:
                continue
            with FileLock(left / LOCK, timeout=0):
                _remove(left)
        except (FileNotFoundError, Timeout):  # another process removed it, or works in it
            continue


def _remove(folder: Path) -> None:
    """Remove a folder with read-only files in it, as objects of git and DVC are."""
    for inner, _, _ in os.walk(folder):
        Path(inner).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
