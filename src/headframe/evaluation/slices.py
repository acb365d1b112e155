"""Metrics of parts of the test rows: where a good average hides a bad corner."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.plan.data import ROW_ID
from headframe.datasets.groups import group_numbers
from headframe.datasets.hashing import content_hashes, content_numbers
from headframe.datasets.table import Table
from headframe.digests import Record
from headframe.errors import ConfigurationError, DataError
from headframe.evaluation.intervals import CONTENT, GROUP, Resampling, metric_intervals
from headframe.records import Interval
from headframe.tasks.base import Task

_MOST_VALUES = 20  # of more the rarest are put together; long texts are cut by their length instead
_FEWEST_ROWS = 10  # smaller slices are counted but not measured: any interval of theirs would be meaningless
_LONG_TEXT = 40  # characters of a mean value from which a column holds sentences rather than categories


_MISSING, _OTHERS = "missing", "all others"


class Slice(Record):
    """The test rows with one value, or one range of values, of a column."""

    value: str  # what it is called, which no other slice of the column is
    what: str = "value"  # value, range, others (the rare values together) or missing (rows whose cell is empty)
    rows: int
    metrics: dict[str, Interval]  # empty where there are too few rows


def slice_metrics(
    task: Task, predictions: pa.Table, inputs: pa.Table, columns: Sequence[str], how: Resampling
) -> dict[str, list[Slice]]:
    """Measure each slice of each named column.

    Args:
        task: fitted.
        predictions: one row an example, in table order.
        inputs: `ROW_ID` and the raw columns, of these rows at least.
        columns: names in `inputs`.
        how: how rows are drawn; blocks are shortened for slices of few rows.

    Raises:
        ConfigurationError: a column cannot be cut into slices, e.g. images.
        DataError: the inputs lack a predicted row.
    """
    positions = row_positions(predictions, inputs)
    return {
        name: [_measured(task, predictions, part, how) for part in slice_parts(name, inputs[name].take(positions))]
        for name in columns
    }


def row_positions(predictions: pa.Table, inputs: pa.Table) -> pa.Array:
    """Return the position in `inputs` of each predicted row, by its name.

    Raises:
        DataError: the inputs lack a predicted row.
    """
    positions = pc.index_in(predictions["row_id"].combine_chunks(), value_set=inputs[ROW_ID].combine_chunks())
    if positions.null_count:
        raise DataError(
            f"{positions.null_count} predicted rows are not in the table, so nothing more is known of them; "
            "the predictions belong to another version of the data"
        )
    return positions


def append_contents(
    predictions: pa.Table, table: Table, repeated: Sequence[str], groups: Sequence[str] = ()
) -> pa.Table:
    """Append the column `content`: equal where rows are drawn together, since one is no new evidence beside the other.

    Args:
        predictions: name the rows.
        table: their version of the data.
        repeated: columns by whose equal values rows are repetitions; none where all rows are cases of their own.
        groups: columns of which any equal value makes rows one group; see `group_numbers`.

    Returns:
        The predictions as they are, where there are no such columns.

    Raises:
        DataError: the table lacks a predicted row or a column.
    """
    if not (repeated or groups):
        return predictions
    names = table.read([ROW_ID, *groups])
    positions = row_positions(predictions, names)
    if repeated:
        contents = pa.array(_content_hashes(table, repeated, positions.to_numpy().astype(np.int64)))
    else:
        contents = pa.array(map("{:016x}".format, range(predictions.num_rows)))
    if groups:
        numbers = group_numbers(names.take(positions), groups, content_numbers(pa.chunked_array([contents])))
        contents = pa.array([f"{GROUP}{number:016x}" for number in numbers.tolist()], pa.string())
    return predictions.append_column(CONTENT, contents)


def _content_hashes(table: Table, columns: Sequence[str], positions: np.ndarray) -> np.ndarray:
    """Return `content_hashes` of the rows at these positions, without holding all others in memory."""
    order = np.argsort(positions, kind="stable")
    ascending = positions[order]
    found, start = np.empty(len(positions), dtype="<U16"), 0
    for batch in table.batches(columns):
        first, last = np.searchsorted(ascending, [start, start + batch.num_rows])
        if first < last:
            rows = pa.table(batch).take(pa.array(ascending[first:last] - start))
            found[order[first:last]] = content_hashes(rows, columns)
        start += batch.num_rows
    return found


@dataclass(frozen=True)
class SlicePart:
    """The rows of a slice: what it is, what it is called, and a mask, bool (rows,)."""

    what: str
    value: str
    mask: np.ndarray


def _measured(task: Task, predictions: pa.Table, part: SlicePart, how: Resampling) -> Slice:
    own = predictions.filter(pa.array(part.mask))
    metrics = {}
    if own.num_rows >= _FEWEST_ROWS:
        how = replace(how, block=max(1, min(how.block, own.num_rows // 4)))
        metrics = metric_intervals(task, own, how)
    return Slice(value=part.value, what=part.what, rows=own.num_rows, metrics=metrics)


def slice_parts(name: str, column: pa.ChunkedArray) -> list[SlicePart]:
    """Return the slices of a column: its values, or quarters of its numbers or of the lengths of long texts.

    Each row is in one of them. A text that reads like the name of another kind of slice is called by its JSON.

    Raises:
        ConfigurationError: the column is neither numbers, text, truth values nor time.
    """
    kind = column.type
    if pa.types.is_boolean(kind):
        found = _frequent(pc.cast(column, pa.string()))
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        found = _frequent(pc.strftime(column, format="%Y-%m"))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found = _quarters(column, "")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        lengths = pc.utf8_length(column)
        many = pc.count_distinct(column).as_py() > _MOST_VALUES
        prose = many and (pc.mean(lengths).as_py() or 0) >= _LONG_TEXT
        found = _quarters(lengths, " characters") if prose else _frequent(column)
    else:
        msg = f"evaluation.slices: {name} holds {kind}, which has no values to cut by; name a number or text column"
        raise ConfigurationError(msg)
    missing = ~np.logical_or.reduce([np.zeros(len(column), dtype=bool), *(part.mask for part in found)])
    return [*found, SlicePart("missing", _MISSING, missing)] if missing.any() else found


def quoted(text: str) -> str:
    """Return a text as slices are called by it: itself, or its JSON where it could be taken for something else."""
    special = text in ("", _MISSING, _OTHERS) or text.strip() != text or text.startswith('"') or "=" in text
    return json.dumps(text, ensure_ascii=False) if special else text


def _quarters(column: pa.ChunkedArray, unit: str) -> list[SlicePart]:
    present = (
        pc.is_valid(column) if pa.types.is_integer(column.type) else pc.invert(pc.is_null(column, nan_is_null=True))
    )
    known = present.to_numpy()
    numbers = column.filter(present).to_numpy()  # integers stay integers: floats tell few of them apart beyond 2^53
    if not len(numbers):
        return []
    places = [max(0, -(-len(numbers) * quarter // 4) - 1) for quarter in range(5)]
    edges = np.unique(np.sort(numbers)[places])
    low, *inner, high = edges if len(edges) > 1 else (edges[0], edges[0])
    quarter = np.searchsorted(np.array(inner, dtype=numbers.dtype), numbers, side="left")
    named = _distinct([low, *inner, high])
    found = []
    for place, (start, end) in enumerate(pairwise(named)):
        mask = np.zeros(len(column), dtype=bool)
        mask[known] = quarter == place
        if mask.any():
            found.append(SlicePart("range", f"{'over ' if place else ''}{start} to {end}{unit}", mask))
    return found


def _distinct(edges: Sequence[Any]) -> list[str]:
    """Return numbers as texts: integers in full, others in six digits, or in all where six make two of them equal."""
    short = [str(edge) if isinstance(edge, np.integer) else f"{edge:g}" for edge in edges]
    return short if len(set(short)) == len(set(edges)) else [repr(edge.item()) for edge in edges]


def _frequent(column: pa.ChunkedArray) -> list[SlicePart]:
    codes = column.combine_chunks().dictionary_encode()
    numbers = pc.fill_null(codes.indices, -1).to_numpy()
    texts, counts = codes.dictionary.to_pylist(), np.bincount(numbers[numbers >= 0], minlength=len(codes.dictionary))
    order = sorted(range(len(texts)), key=lambda place: (-counts[place], texts[place]))
    shown = order if len(order) <= _MOST_VALUES else order[: _MOST_VALUES - 1]
    found = [SlicePart("value", quoted(texts[place]), numbers == place) for place in shown]
    if len(shown) < len(order):
        found.append(SlicePart("others", _OTHERS, (numbers >= 0) & ~np.isin(numbers, shown)))
    return found
