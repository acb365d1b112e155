"""Cells as bytes: what makes two rows equal, and what a table's digest is computed from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

AT_ONCE = 65_536
"""Contents converted at once: as Python's text they take ten times the memory of a number."""


@dataclass(frozen=True)
class CellBytes:
    """The cells of one column in a form in which equal bytes mean equal cells.

    Attributes:
        fixed: uint8 (rows, width): whether there is a value, then the value, or how many bytes of `text` it has.
        text: bytes of all texts, images or lists one after the other; empty for columns of fixed width.
        ends: int64 (rows + 1,) where in `text` each row begins and ends; None for columns of fixed width.
    """

    fixed: np.ndarray
    text: bytes = b""
    ends: np.ndarray | None = None

    def joined(self) -> tuple[bytes, np.ndarray]:
        """Return the bytes of each row behind each other, and int64 (rows + 1,) where each begins and ends."""
        rows, width = self.fixed.shape
        raw, places = np.ascontiguousarray(self.fixed).tobytes(), np.arange(rows + 1) * width
        if self.ends is None:
            return raw, places
        ends = self.ends.tolist()
        parts = (raw[row * width : (row + 1) * width] + self.text[ends[row] : ends[row + 1]] for row in range(rows))
        return b"".join(parts), places + self.ends


def cell_bytes(column: pa.Array) -> CellBytes:
    """Convert a column. Minus zero counts as zero, and NaN as NaN; what lies behind a null does not count."""
    valid = np.asarray(column.is_valid()).astype(np.uint8)[:, None]
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        values = _canonical(np.asarray(column.storage.flatten())).reshape(len(column), int(np.prod(kind.shape)))
        return CellBytes(np.concatenate([valid, _bytes(values)], axis=1))
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        texts = pc.fill_null(column, "" if pa.types.is_string(kind) else b"")
        _, offsets, data = texts.buffers()  # where each text ends, and all of them one after the other
        ends = np.zeros(len(texts) + 1, "<i8")
        if offsets is not None:
            ends += np.frombuffer(offsets, "<i4", len(texts) + 1, 4 * texts.offset)
        joined = b"" if data is None else data.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes()
        return _of_length(valid, joined, ends - ends[0])
    if pa.types.is_list(kind):
        joined, places = cell_bytes(column.flatten()).joined()
        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
        return _of_length(valid, joined, places[np.append(0, np.cumsum(lengths, dtype="<i8"))])
    if pa.types.is_struct(kind):
        return _struct_bytes(valid, column)
    if pa.types.is_boolean(kind):
        values = np.asarray(pc.fill_null(column, False)).astype(np.uint8)
    elif pa.types.is_floating(kind):
        values = _canonical(np.asarray(pc.fill_null(column, 0.0)).astype("<f8"))
    else:
        values = np.asarray(pc.fill_null(column.cast(pa.int64()), 0)).astype("<i8")
    return CellBytes(np.concatenate([valid, _bytes(values[:, None])], axis=1))


def _of_length(valid: np.ndarray, joined: bytes, ends: np.ndarray) -> CellBytes:
    return CellBytes(np.concatenate([valid, _bytes(np.diff(ends)[:, None])], axis=1), joined, ends)


def _struct_bytes(valid: np.ndarray, column: pa.Array) -> CellBytes:
    """Convert structs: their fields in the order of their names, all fixed parts first."""
    names = sorted(field.name for field in column.type)
    parts = [cell_bytes(pc.struct_field(column, name)) for name in names]
    fixed = np.concatenate([valid, *(part.fixed for part in parts)], axis=1)
    texts = [(part.text, part.ends) for part in parts if part.ends is not None]
    if not texts:
        return CellBytes(fixed)
    ends = np.sum([each for _, each in texts], axis=0)
    if len(texts) == 1:
        return CellBytes(fixed, texts[0][0], ends)
    pieces = (text[each[row] : each[row + 1]] for row in range(len(column)) for text, each in texts)
    return CellBytes(fixed, b"".join(pieces), ends)


def _canonical(values: np.ndarray) -> np.ndarray:
    """Return numbers among which equal ones have equal bytes."""
    if values.dtype.kind != "f":
        return values
    values = values + values.dtype.type(0)
    values[np.isnan(values)] = np.nan
    return values


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
    numbers = np.empty(len(column), dtype=np.uint64)
    for start in range(0, len(column), AT_ONCE):
        joined = bytes.fromhex("".join(column.slice(start, AT_ONCE).to_pylist()))
        numbers[start : start + AT_ONCE] = np.frombuffer(joined, dtype=">u8")
    return numbers


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _bytes(values: np.ndarray) -> np.ndarray:
    """View (rows, width) values as uint8 (rows, width in bytes)."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.shape[1] * values.itemsize)
