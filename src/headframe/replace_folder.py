"""Atomic replacement of a folder by a finished one."""

import ctypes
import errno
import os
import shutil
from pathlib import Path

_CURRENT_FOLDER = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE


def replace_folder(fresh: Path, place: Path) -> None:
    """Move the folder `fresh` to `place`; a reader, also after a kill, finds either the old one or the new one.

    Linux swaps two folders in one step. Where the file system cannot, the old folder is set aside first
    and `recover_folder` brings it back after a kill between the two renames. What was replaced is removed.

    Args:
        fresh: a complete folder on the same file system.
        place: the destination; may hold an older one.
    """
    if place.exists() and not place.is_dir():  # Linux would swap a folder and a file, too
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    _flush(fresh)
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(place)
    elif _swapped(fresh, place):
        shutil.rmtree(fresh)
    else:
        aside = _aside(fresh, place)
        place.rename(aside)
        fresh.rename(place)
        shutil.rmtree(aside)
    _flush(place.parent)


def recover_folder(fresh: Path, place: Path) -> None:
    """Restore the old folder if a kill left none at `place`, and remove what the kill left behind."""
    aside = _aside(fresh, place)
    if aside.exists() and not place.exists():
        aside.rename(place)
    for leftover in (aside, fresh):
        if leftover.exists():
            shutil.rmtree(leftover)


def _aside(fresh: Path, place: Path) -> Path:
    return fresh.parent / f"{place.name}.replaced"


def _swapped(first: Path, second: Path) -> bool:
    """Swap two names in one step; False where this system does not know how."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_CURRENT_FOLDER, os.fsencode(first), _CURRENT_FOLDER, os.fsencode(second), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(number, os.strerror(number), str(second))


def _flush(folder: Path) -> None:
    """Write the folder's files and its list of names to the disk (fsync)."""
    for path in (*(file for file in folder.iterdir() if file.is_file()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
