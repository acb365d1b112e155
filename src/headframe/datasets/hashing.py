"""Cells as bytes: what makes two rows equal, and what a table's digest is computed from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.digests import canonical


@dataclass(frozen=True)
class CellBytes:
    """The cells of one column in a form in which equal bytes mean equal cells.

    Attributes:
        fixed: uint8 (rows, width): whether there is a value, then the value, or the length of the text.
        text: bytes of all texts one after the other; empty for columns of fixed width.
        ends: int64 (rows + 1,) where in `text` each row begins and ends; None for columns of fixed width.
    """

    fixed: np.ndarray
    text: bytes = b""
    ends: np.ndarray | None = None


def cell_bytes(column: pa.Array) -> CellBytes:
    """Convert a column. Minus zero counts as zero; what lies behind a null does not count."""
    valid = np.asarray(column.is_valid()).astype(np.uint8)[:, None]
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        width = int(np.prod(kind.shape))
        values = np.asarray(column.storage.flatten()).reshape(len(column), width)
        return CellBytes(np.concatenate([valid, _bytes(values)], axis=1))
    if pa.types.is_string(kind) or pa.types.is_list(kind):
        texts = column if pa.types.is_string(kind) else pa.array(map(canonical, column.to_pylist()), pa.string())
        texts = pc.fill_null(texts, "")
        _, offsets, data = texts.buffers()  # where each text ends, and all of them one after the other
        ends = np.zeros(len(texts) + 1, "<i8")
        if offsets is not None:
            ends += np.frombuffer(offsets, "<i4", len(texts) + 1, 4 * texts.offset)
        joined = b"" if data is None else data.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes()
        return CellBytes(np.concatenate([valid, _bytes(np.diff(ends)[:, None])], axis=1), joined, ends - ends[0])
    if pa.types.is_boolean(kind):
        values = np.asarray(pc.fill_null(column, False)).astype(np.uint8)
    elif pa.types.is_floating(kind):
        values = np.asarray(pc.fill_null(column, 0.0)).astype("<f8") + 0.0
    else:
        values = np.asarray(pc.fill_null(column.cast(pa.int64()), 0)).astype("<i8")
    return CellBytes(np.concatenate([valid, _bytes(values[:, None])], axis=1))


def content_hashes(rows: pa.Table, columns: Iterable[str]) -> list[str]:
    """Return the first 16 hex digits of the sha256 of each row's cells in `columns`, whose order does not matter."""
    converted = [cell_bytes(one_chunk(rows.column(name))) for name in sorted(columns)]
    fixed = np.ascontiguousarray(np.concatenate([column.fixed for column in converted], axis=1))
    texts = [(column.text, column.ends.tolist()) for column in converted if column.ends is not None]
    width, raw = fixed.shape[1], fixed.tobytes()
    found = []
    for row in range(rows.num_rows):
        state = hashlib.sha256(raw[row * width : (row + 1) * width])
        for text, ends in texts:
            state.update(text[ends[row] : ends[row + 1]])
        found.append(state.hexdigest()[:16])
    return found


def update_digest(state: Any, rows: pa.Table) -> None:
    """Update a hashlib state with a block of rows, column by column."""
    for column in rows.columns:
        converted = cell_bytes(one_chunk(column))
        state.update(np.ascontiguousarray(converted.fixed))
        state.update(converted.text)


def content_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Convert a column of contents to uint64 (rows,)."""
    joined = bytes.fromhex("".join(column.to_pylist()))
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _bytes(values: np.ndarray) -> np.ndarray:
    """View (rows, width) values as uint8 (rows, width in bytes)."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.shape[1] * values.itemsize)
