"""Permissions of a project's files: private where Headframe keeps its own, and written by nobody but their owner."""

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from headframe.errors import HeadframeError

_OTHERS = 0o077
_CHECKED_OBJECT = 0o444
"""DVC reads this mode as `this object was hashed`; below a private folder it lets nobody in."""

_DECIDING = ("conf", "flows", "src", ".dvc")
"""Folders of a project whose files decide what runs."""


def keep_private() -> None:
    """Make private whatever this process, its libraries and its children create from now on."""
    os.umask(_OTHERS)


def make_private(folder: Path) -> int:
    """Make a folder and all that is in it private; return how many paths others could read or write.

    A private folder is left as it is: nobody else gets at what lies in it.

    Raises:
        HeadframeError: the folder belongs to somebody else.
    """
    if folder.is_symlink() or not folder.is_dir() or not _mode(folder) & _OTHERS:
        return 0
    count = 0
    try:
        for path, status in _existing(folder, *_below(folder)):
            mode = stat.S_IMODE(status.st_mode)
            if mode & _OTHERS and mode != _CHECKED_OBJECT:
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(mode & ~_OTHERS)
                    count += 1
    except PermissionError as error:
        msg = f"{error.filename} belongs to another user, who can read and change it; have its owner give it to you"
        raise HeadframeError(msg) from error
    return count


def open_to_others(folder: Path) -> list[Path]:
    """Return the paths at and below a folder that others can reach and read or write."""
    if not folder.is_dir() or not _mode(folder) & 0o011:
        return [folder] if folder.is_dir() and _mode(folder) & _OTHERS else []
    return [path for path, status in _existing(folder, *_below(folder)) if status.st_mode & _OTHERS]


def written_by_others(root: Path) -> list[Path]:
    """Return what of a project, or above it, others can replace or change."""
    inside = [root, *root.iterdir(), *(path for name in _DECIDING for path in _below(root / name))]
    found = [path for path, status in _existing(*root.resolve().parents) if _lets_others_write(status, sticky=True)]
    return found + [path for path, status in _existing(*inside) if not path.is_symlink() and _lets_others_write(status)]


def require_own(root: Path) -> None:
    """Check that nobody else can write to a project before something is signed in it.

    Raises:
        HeadframeError: somebody can, so that the signature would vouch for what they put there.
    """
    found = written_by_others(root)
    if found:
        more = f" and {len(found) - 1} more" if found[1:] else ""
        raise HeadframeError(
            f"others can write to {found[0]}{more}, so nothing is signed in this project; look at what is there, then "
            f"run: {fix_of(found, root)}"
        )


def fix_of(found: list[Path], root: Path) -> str:
    """Return the command that takes the right to write from others."""
    outside = [str(path) for path in found if not path.is_relative_to(root)]
    return f"chmod go-w {' '.join(outside)}" if outside else f"chmod -R go-w {root}"


def _below(folder: Path) -> Iterator[Path]:
    """Yield files and folders below a folder; links are left out, which have no permissions of their own."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                yield path


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _existing(*paths: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the state of paths, without those that another command has removed since they were listed."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            yield path, path.stat()


def _lets_others_write(status: os.stat_result, *, sticky: bool = False) -> bool:
    """Return whether others can write to a path; where the sticky bit counts, they cannot replace what is in it."""
    if sticky and status.st_mode & stat.S_ISVTX:
        return False
    user = os.geteuid()
    if status.st_mode & stat.S_IWOTH or (user != 0 and status.st_uid not in (0, user)):
        return True  # root may work in anybody's project, as in a container
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid, user)


def _is_own_group(group: int, user: int) -> bool:
    """Return whether a group is the one that many systems create for each user alone."""
    try:
        name, found = pwd.getpwuid(user).pw_name, grp.getgrgid(group)
    except KeyError:  # a container's user or group may have no name
        return False
    return found.gr_name == name and set(found.gr_mem) <= {name}
