"""What a machine, or a limit on a process, ran out of, in one sentence whatever a library makes of it."""

import errno
import os
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headframe.errors import DataError, HeadframeError

_FREE = "; the same command continues where this one stopped"
_FULL = r"No space left on device|disk is full|[Qq]uota exceeded"
_CAUSES = {
    r"CUDA out of memory": "the GPU ran out of memory; lower trainer.batch_size, or free it",
    r"can't start new thread": "no further thread can be started; raise the limits (ulimit -u, ulimit -v)",
    # As said by Python, libc, the dynamic linker, NumPy, Arrow, torch, C++ and, after one of these, CPython.
    r"[Cc]an(no|')t allocate|failed to map segment|unable to (allocate|mmap)|malloc of size|bad_alloc|[Oo]ut of memory"
    r"|not enough memory|error return without exception set|without setting an exception": "memory ran out{memory}",
    _FULL: "the disk is full, or has no room for another file{file}; free some space",
    r"File too large|[Ff]ile size limit": "a file grew beyond the limit on files{size}{file}; raise it (ulimit -f)",
    r"Too many open files": "too many files are open{open}; raise the limit (ulimit -n)",
}
"""What to say, by what the text of an error holds."""

MOST_MEMORY, TIMES_SIZE = 2**31, 50
"""Bytes that reading a part of a file may take: so many, and so many times its size."""

LEAST_MEMORY, LEAST_FILES = 2**31, 256
"""Bytes that a process must be able to map, and files that a server must be able to open.

A whole run of digits on two cores maps 3.1 GiB, and its libraries end in one sentence where they get less; but below
about 1 GiB OpenBLAS may wait for ever, and C++ abort. Prefect's server has 24 files open when nothing is done.
"""

_one_bound = threading.RLock()


def exhausted(error: BaseException) -> HeadframeError | None:
    """Return the sentence for an error that comes from a lack of memory, space, files or threads; None for another."""
    chain = [*_chain(error)]
    for each in chain:
        if isinstance(each, MemoryError):
            return _sentence("memory ran out{memory}", chain)
        text = f"{each} {_of_sqlite(each)}"
        for pattern, cause in _CAUSES.items():
            if re.search(pattern, text):
                return _sentence(cause, chain)
    return None


def full_disk(place: Path) -> HeadframeError | None:
    """Return the sentence for a folder whose disk has no room left for a file; None where it has."""
    disk = os.statvfs(place)
    if disk.f_bavail and (disk.f_favail or not disk.f_files):
        return None
    return _sentence(_CAUSES[_FULL], [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))])


@contextmanager
def bounded_memory(file: Path, size: int | None = None) -> Iterator[None]:
    """Bound what this process allocates meanwhile: a header, a page or a dictionary may ask for any amount.

    The system refuses what is more, so it takes no memory first. Meanwhile other threads share the bound.

    Args:
        file: what is read.
        size: its bytes, where that is no path of theirs.

    Raises:
        DataError: the file asked for more.
    """
    with _one_bound:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = MOST_MEMORY + TIMES_SIZE * (file.stat().st_size if size is None else size)
        bound = _allocated() + allowed
        limits = [bound, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
        try:
            yield
        except MemoryError as error:
            if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY or min(limits) < bound:
                raise  # this is a limit of the user's
            most = f"more than {allowed / 2**30:.0f} GiB of memory"
            raise DataError(f"reading {file} takes {most}, as no file of its size should; it is not read") from error
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _allocated() -> int:
    """Return the bytes that count for the limit on data; 0 where the system does not tell, and does not bound them."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    except FileNotFoundError:
        return 0


def require_memory() -> None:
    """Check that this process may map as much as numerical libraries need, which do not all end where they get less.

    Raises:
        HeadframeError: its limit is lower.
    """
    if 0 <= resource.getrlimit(resource.RLIMIT_AS)[0] < LEAST_MEMORY:
        most = _limit(resource.RLIMIT_AS, 2**20, "MiB, ulimit -v")
        least = f"{LEAST_MEMORY // 2**20:,} MiB"
        raise HeadframeError(f"this process may use too little memory{most}: {least} are the least; raise the limit")


def require_files() -> None:
    """Check that a server that this process starts may open as many files as it needs.

    Raises:
        HeadframeError: its limit is lower.
    """
    if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < LEAST_FILES:
        most = _limit(resource.RLIMIT_NOFILE, 1, "at once, ulimit -n")
        raise HeadframeError(f"servers may open too few files{most}: {LEAST_FILES} are the least; raise the limit")


def quiet_when_exhausted() -> None:
    """Keep quiet about what cannot be raised, as in destructors, where memory or the disk has run out."""

    def unraisable(found: "sys.UnraisableHookArgs") -> None:
        if found.exc_value is None or exhausted(found.exc_value) is None:
            sys.__unraisablehook__(found)

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is None or exhausted(found.exc_value) is None:
            threading.__excepthook__(found)

    sys.unraisablehook, threading.excepthook = unraisable, in_thread


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it comes from, in this order."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _of_sqlite(error: BaseException) -> str:
    """Return what the system said where SQLite says less: it names neither limit."""
    name = getattr(error, "sqlite_errorname", "")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)[0], resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if name == "SQLITE_NOMEM":
        return "out of memory"
    if name.startswith(("SQLITE_IOERR", "SQLITE_FULL")):
        return "disk is full" if limits[0] == resource.RLIM_INFINITY else "File too large"
    if name.startswith("SQLITE_CANTOPEN") and _files_open() + 8 > limits[1] > 0:
        return "Too many open files"
    return ""


def _files_open() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:  # none is left to list them, or there is no such folder
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _sentence(cause: str, chain: list[BaseException]) -> HeadframeError:
    files = (str(each.filename) for each in chain if isinstance(each, OSError) and each.filename)
    parts = {
        "memory": _limit(resource.RLIMIT_AS, 2**20, "MiB, ulimit -v"),
        "size": _limit(resource.RLIMIT_FSIZE, 2**10, "KiB"),
        "open": _limit(resource.RLIMIT_NOFILE, 1, "at once"),
        "file": next((f" ({file})" for file in files), ""),
    }
    return HeadframeError(cause.format(**parts) + _FREE)


def _limit(number: int, unit: int, name: str) -> str:
    most = resource.getrlimit(number)[0]
    return "" if most == resource.RLIM_INFINITY else f" (at most {most // unit:,} {name})"
