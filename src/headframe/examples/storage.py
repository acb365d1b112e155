"""Where prepared rows and encoded arrays lie: in memory while they are small, else in files that are mapped into it."""

import ctypes
import math
import mmap
import os
import resource
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from scipy import sparse

from headframe.errors import HeadframeError, RowError

AT_ONCE, BLOCK_BYTES = 4096, 2**24
"""Rows that are encoded at once, and bytes that these may take."""

MMAP_THRESHOLD, LARGE_BLOCK = -3, 2**20
"""A parameter of `mallopt`, and from how many bytes on a block is large."""

FIRST = 64
"""Rows that are encoded first, by which the size of the others is known."""

SHARE = 1 / 8
"""Share of the memory that a process may take above which rows, or an array, are mapped.

Besides rows and their encoded form there are targets, copies of columns while something is fitted to them, and what the
model itself needs.
"""


class Storage:
    """Keeps rows and arrays, each in memory up to a share of it and beyond that in a file that is mapped.

    The values are the same wherever they lie. The system keeps of a mapped file what memory has room for, and reads the
    rest again when it is used. Files have no name: nothing finds them half-written, and they are gone when the process
    is, however it ends.

    Attributes:
        memory: bytes that this process could take when this was made.

    Args:
        folder: on the disk that files lie on; that of temporary files unless given.
        processes: among which this one takes its part of the memory.
    """

    def __init__(self, folder: Path | None = None, processes: int = 1) -> None:
        self.folder = folder
        self.memory = available_memory() // processes

    def fits(self, size: float) -> bool:
        """Return whether so many bytes stay in memory."""
        return size <= SHARE * self.memory

    def rows(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        """Return batches of a schema as one table."""
        waiting: list[pa.RecordBatch] = []
        remaining, size = iter(batches), 0
        for batch in remaining:
            waiting.append(batch)
            size += batch.nbytes
            if not self.fits(size):
                waiting.reverse()
                written = (waiting.pop() for _ in range(len(waiting)))  # so that none stays in memory
                return self._mapped_rows(schema, chain(written, remaining))
        release_unused()
        return pa.Table.from_batches(waiting, schema)

    def encoded(
        self, encode: Callable[[pa.Table], Any], rows: pa.Table, padding: Mapping[str, float] = MappingProxyType({})
    ) -> Any:
        """Return what a function makes of rows: an array (rows, ...), several by name, or a CSR matrix.

        The function is called for some rows after others, and encodes each as if it were alone.

        Args:
            encode: the function.
            rows: at least one.
            padding: what fills up arrays that are as large as the largest of the given rows, by name; a single array's
                name is empty.

        Raises:
            RowError: as the function raises, with the number of the row among all.
            HeadframeError: rows are encoded to different shapes, or a CSR matrix is larger than memory.
        """
        first = _encoded_part(encode, rows, 0, FIRST)
        if rows.num_rows <= FIRST:
            return first
        arrays = _by_name(first)
        size = sum(each.data.nbytes for each in arrays.values()) // FIRST
        step = max(1, min(AT_ONCE, BLOCK_BYTES // max(1, size)))
        starts = range(FIRST, rows.num_rows, step)
        if sparse.issparse(first):
            return self._stacked(first, (_encoded_part(encode, rows, start, step) for start in starts), rows.num_rows)
        shapes = {name: each.shape[1:] for name, each in arrays.items()}
        for start in starts if padding else ():
            part = _by_name(_encoded_part(encode, rows, start, step))
            shapes |= {name: tuple(map(max, shapes[name], part[name].shape[1:])) for name in padding}
        whole = {name: self._empty((rows.num_rows, *shapes[name]), each.dtype) for name, each in arrays.items()}
        for name, fill in padding.items():
            whole[name].fill(fill)
        _put(whole, arrays, 0, padding)
        for start in starts:
            _put(whole, _by_name(_encoded_part(encode, rows, start, step)), start, padding)
        return whole if isinstance(first, dict) else whole[""]

    def _stacked(self, first: sparse.csr_matrix, others: Iterable[sparse.csr_matrix], rows: int) -> sparse.csr_matrix:
        found, size, count = [], 0, 0
        for part in chain([first], others):
            found.append(part)
            size += part.data.nbytes + part.indices.nbytes + part.indptr.nbytes
            count += part.shape[0]
            what = f"{count:,} of {rows:,} rows as a sparse matrix, which cannot be streamed,"
            self.require(size, what, "choose features that are not sparse, or fewer of them")
        return sparse.csr_matrix(sparse.vstack(found, format="csr"))

    def require(self, size: float, what: str, advice: str) -> None:
        """Check that bytes which cannot be mapped, and a copy of them, fit into memory.

        Raises:
            HeadframeError: they do not.
        """
        if 2 * size > self.memory:
            came = f"{what} take {_gib(size)}, and as much again to compute with"
            raise HeadframeError(f"{came}, but this process may take {_gib(self.memory)}; {advice}")

    def _mapped_rows(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        with self._file() as file:
            with pa.ipc.new_file(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            release_unused()
            return pa.ipc.open_file(pa.memory_map(f"/dev/fd/{file.fileno()}")).read_all()

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        size = math.prod(shape) * dtype.itemsize
        if self.fits(size) or dtype.hasobject:
            return np.empty(shape, dtype)
        with self._file() as file:
            if hasattr(os, "posix_fallocate"):  # a disk that is full later would end the process by a signal
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.ndarray(shape, dtype, buffer=mmap.mmap(file.fileno(), size))

    def _file(self) -> Any:
        _free_at_once()
        return tempfile.TemporaryFile(dir=self.folder)


def release_unused() -> None:
    """Give the system what Arrow keeps of freed memory."""
    pa.default_memory_pool().release_unused()


@cache
def _free_at_once() -> None:
    """Let the C library give large blocks back as soon as they are freed.

    By default it keeps those of a batch, and small blocks that end up in them let it take more for the next batch: the
    inputs of all validation rows were kept so.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # of glibc
        library.mallopt(MMAP_THRESHOLD, LARGE_BLOCK)


def is_mapped(values: np.ndarray) -> bool:
    """Return whether an array lies in a file."""
    return isinstance(values.base, mmap.mmap)


def expect_any_order(values: np.ndarray) -> None:
    """Let the system read nothing around what is used of a mapped array."""
    _file(values).madvise(mmap.MADV_RANDOM)


def read_ahead(values: np.ndarray, index: np.ndarray) -> None:
    """Let the system read rows of a mapped array all at once, instead of one after the other when they are used.

    Args:
        values: mapped, (rows, ...).
        index: of the rows of each example, int64 (examples,) or (examples, rows); below 0 is none.
    """
    file, size = _file(values), values.strides[0]
    rows = np.maximum(index.reshape(len(index), -1), 0)
    starts, ends = rows.min(axis=1) * size, (rows.max(axis=1) + 1) * size
    near = ends - starts <= 2 * rows.shape[1] * size  # else most of what lies between is not used
    starts -= starts % mmap.PAGESIZE
    for start, length in zip(starts[near].tolist(), (ends - starts)[near].tolist(), strict=True):
        file.madvise(mmap.MADV_WILLNEED, start, length)


def _file(mapped: np.ndarray) -> mmap.mmap:
    assert isinstance(mapped.base, mmap.mmap)  # noqa: S101 - as `is_mapped` has found
    return mapped.base


def _by_name(encoded: Any) -> dict[str, Any]:
    return encoded if isinstance(encoded, dict) else {"": encoded}


def _encoded_part(encode: Callable[[pa.Table], Any], rows: pa.Table, start: int, size: int) -> Any:
    try:
        return encode(rows.slice(start, size))
    except RowError as error:
        raise error.behind(start) from error


def _put(whole: Mapping[str, np.ndarray], part: Mapping[str, np.ndarray], start: int, padded: Collection[str]) -> None:
    """Put some rows of arrays in their place among all rows."""
    for name, values in whole.items():
        given = part[name]
        if given.dtype != values.dtype or (given.shape[1:] != values.shape[1:] and name not in padded):
            raise HeadframeError(
                f"rows from {start + 1:,} on are encoded as {given.dtype} {given.shape[1:]}, but those before as "
                f"{values.dtype} {values.shape[1:]}; an encoding may not depend on the rows that one comes with"
            )
        values[(slice(start, start + len(given)), *map(slice, given.shape[1:]))] = given


def available_memory() -> int:
    """Return the bytes that this process may take: what is free, within its own limits and those of its groups."""
    limits = [resource.getrlimit(each)[0] for each in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    own = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min([psutil.virtual_memory().available, *own, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Yield the limits of the control groups that this process is in, of both versions; none where there are none."""
    groups = Path("/proc/self/cgroup")
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        top = Path("/sys/fs/cgroup") / root
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):  # within a container the path may be one of outside
            file = folder / name
            if file.is_file() and (limit := file.read_text(encoding="ascii").strip()).isdigit():
                yield int(limit)
            if folder == top:
                break


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
