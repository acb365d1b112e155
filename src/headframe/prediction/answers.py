"""Comparison of two answers of a model to the same rows: every column, whatever its type."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.prediction.schema import type_name


@dataclass(frozen=True)
class AnswerDifference:
    """How two answers to the same rows differ.

    Attributes:
        largest: largest absolute difference of two floating point numbers; infinite where only one of them is NaN.
        scale: largest absolute value of such a number, at least 1; what is allowed is relative to it.
        changed: in how many rows a column of any other type differs, by the column's name; only those that do.
        first: where the first of these changes is, and which.
    """

    largest: float
    scale: float
    changed: dict[str, int]
    first: str = ""

    def within(self, tolerance: float) -> bool:
        """Return whether numbers differ by at most `tolerance` times `scale`, and nothing else does."""
        return not self.changed and self.largest <= tolerance * self.scale

    def __str__(self) -> str:
        parts = [f"by {self.largest:.2g} at most" if self.largest or not self.changed else ""]
        parts += [f"in {name!r} of {rows:,} row{'' if rows == 1 else 's'}" for name, rows in self.changed.items()]
        return " and ".join(filter(None, parts)) + self.first


def compare_answers(expected: pa.Table, found: pa.Table) -> AnswerDifference:
    """Compare two answers column by column: floating point numbers by their distance, all else exactly.

    Numbers are compared wherever they are, also in tensors, lists and structs; a list of another length, a null in
    the place of a value, an integer or a text that differs is a change. A column that only one of both has, or has in
    another type, differs in every row.
    """
    largest, scale, first = 0.0, 1.0, ""
    changed: dict[str, int] = {}
    for name in dict.fromkeys((*expected.column_names, *found.column_names)):
        one, other = (each[name] if name in each.column_names else None for each in (expected, found))
        if one is None or other is None or one.type != other.type or len(one) != len(other):
            kinds = [type_name(each.type) if each is not None else "nothing" for each in (one, other)]
            changed[name] = max(expected.num_rows, found.num_rows)
            first = first or f", where {kinds[1]} came in the place of {kinds[0]}"
            continue
        mine, theirs, equal = _compared(one.combine_chunks(), other.combine_chunks())
        if mine.size:
            with np.errstate(invalid="ignore"):  # of two infinities, which are equal
                distance = np.where((mine == theirs) | (np.isnan(mine) & np.isnan(theirs)), 0.0, np.abs(mine - theirs))
            largest = max(largest, float(np.where(np.isnan(distance), np.inf, distance).max()))
            finite = np.abs(mine[np.isfinite(mine)])
            scale = max(scale, float(finite.max(initial=0.0)))
        if not equal.all():
            changed[name] = int((~equal).sum())
            row = int(np.argmin(equal))
            first = first or f", first in row {row}: {_short(other[row].as_py())}, not {_short(one[row].as_py())}"
    return AnswerDifference(largest, scale, changed, first)


def differing_rows(expected: pa.ChunkedArray, found: pa.ChunkedArray, tolerance: float = 0.0) -> np.ndarray:
    """Return the positions, ascending, at which two columns of any type differ.

    Args:
        expected: one of them.
        found: the other; all rows differ where it is of another type or length.
        tolerance: by how much floating point numbers may differ, relative to the largest of `expected`.
    """
    if found.type != expected.type or len(found) != len(expected):
        return np.arange(len(expected))
    one, other = expected.combine_chunks(), found.combine_chunks()
    mine, theirs, equal = _compared(one, other)
    if not mine.size:
        return np.flatnonzero(~equal)
    allowed = tolerance * float(np.abs(mine[np.isfinite(mine)]).max(initial=0.0))
    if mine.size % len(expected) == 0 and not pa.types.is_nested(one.type):
        with np.errstate(invalid="ignore"):  # of two infinities, which are equal
            near = ((mine == theirs) | (np.abs(mine - theirs) <= allowed)).reshape(len(expected), -1).all(axis=1)
        return np.flatnonzero(~(equal & near))
    cells = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return np.array([row for row, (a, b) in enumerate(cells) if not _near(a, b, allowed)], dtype=np.int64)


def _near(one: Any, other: Any, allowed: float) -> bool:
    pairs: list[tuple[float, float]] = []
    return _same(one, other, pairs) and all(a == b or abs(a - b) <= allowed for a, b in pairs)


def _compared(one: Any, other: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of two columns of one type, float64, and which rows are equal in all else, bool (rows,)."""
    equal = np.asarray(one.is_valid().to_numpy(zero_copy_only=False) == other.is_valid().to_numpy(zero_copy_only=False))
    if isinstance(one.type, pa.FixedShapeTensorType):
        one, other = one.storage, other.storage
    flat = [
        each.flatten() if pa.types.is_fixed_size_list(each.type) and not each.null_count else each
        for each in (one, other)
    ]
    if all(pa.types.is_floating(each.type) and not each.null_count for each in flat):
        mine, theirs = (each.to_numpy(zero_copy_only=False).astype(np.float64) for each in flat)
        return mine, theirs, equal
    if not pa.types.is_nested(one.type) and not pa.types.is_floating(one.type):
        equal &= pc.fill_null(pc.equal(one, other), True).to_numpy(zero_copy_only=False)  # both are null, or one is
        return np.empty(0), np.empty(0), equal
    pairs: list[tuple[float, float]] = []
    equal &= [_same(a, b, pairs) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)]
    numbers = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return numbers[:, 0], numbers[:, 1], equal


def _same(one: Any, other: Any, pairs: list[tuple[float, float]]) -> bool:
    """Return whether two cells are equal but for their floating point numbers, which are added to `pairs`."""
    if isinstance(one, float) and isinstance(other, float):
        pairs.append((one, other))
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key], pairs) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str | bytes):
        return len(one) == len(other) and all(_same(a, b, pairs) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - half a terminal line
