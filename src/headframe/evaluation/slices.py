"""Metrics of parts of the test rows: where a good average hides a bad corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import ConfigurationError, DataError
from headframe.evaluation.intervals import Resampling, metric_intervals
from headframe.records import Interval
from headframe.tasks.base import Task

_MOST_VALUES = 20
"""Beyond this many values of a column the rarest are put together; texts are cut by their length instead."""

_FEWEST_ROWS = 10
"""Smaller slices are counted but not measured: any interval of theirs would say nothing."""

_LONG_TEXT = 40
"""Characters of a text column's mean value from which it holds sentences rather than categories."""


@dataclass(frozen=True)
class SliceLabels:
    """The slice of each row, and all slices in the order in which they are read."""

    of_rows: pa.Array
    values: list[str]


MISSING = "missing"
OTHER = "all others"


@dataclass(frozen=True)
class Slice:
    """The test rows with one value, or one range of values, of a column.

    Attributes:
        value: what the rows have in common.
        rows: how many there are.
        metrics: empty where there are too few rows to say anything.
    """

    value: str
    rows: int
    metrics: dict[str, Interval]


def slice_metrics(
    task: Task, predictions: pa.Table, inputs: pa.Table, columns: Sequence[str], how: Resampling
) -> dict[str, list[Slice]]:
    """Measure each slice of each named column.

    Args:
        task: fitted.
        predictions: one row an example, in table order.
        inputs: `row_id` and the raw columns, of these rows at least.
        columns: names in `inputs`.
        how: how rows are drawn; blocks are shortened for slices of few rows.

    Raises:
        ConfigurationError: a column cannot be cut into slices, e.g. images.
        DataError: the inputs lack a predicted row.
    """
    positions = row_positions(predictions, inputs)
    found: dict[str, list[Slice]] = {}
    for name in columns:
        labels = slice_labels(name, inputs[name].take(positions))
        found[name] = [
            _measured(task, predictions.filter(pc.equal(labels.of_rows, value)), value, how) for value in labels.values
        ]
    return found


def row_positions(predictions: pa.Table, inputs: pa.Table) -> pa.Array:
    """Give the position in `inputs` of each predicted row, by `row_id`.

    Raises:
        DataError: the inputs lack a predicted row.
    """
    positions = pc.index_in(predictions["row_id"].combine_chunks(), value_set=inputs["row_id"].combine_chunks())
    if positions.null_count:
        msg = (
            f"{positions.null_count} predicted rows are not in the table, so nothing more is known of them; "
            "the predictions belong to another version of the data"
        )
        raise DataError(msg)
    return positions


def _measured(task: Task, part: pa.Table, value: str, how: Resampling) -> Slice:
    if part.num_rows < _FEWEST_ROWS:
        return Slice(value, part.num_rows, {})
    block = max(1, min(how.block, part.num_rows // 4))
    return Slice(value, part.num_rows, metric_intervals(task, part, replace(how, block=block)))


def slice_labels(name: str, column: pa.ChunkedArray) -> SliceLabels:
    """Give the slice of each row: a value, a quarter of the numbers, or a quarter of the lengths of long texts.

    Raises:
        ConfigurationError: the column is neither numbers, text, truth values nor time.
    """
    kind = column.type
    if pa.types.is_boolean(kind):
        found = _frequent(pc.cast(column, pa.string()))
    elif pa.types.is_timestamp(kind):
        found = _frequent(pc.strftime(column, format="%Y-%m"))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found = _quarters(column, "")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        lengths = pc.utf8_length(column)
        many = pc.count_distinct(column).as_py() > _MOST_VALUES
        prose = many and (pc.mean(lengths).as_py() or 0) >= _LONG_TEXT
        found = _quarters(lengths, " characters") if prose else _frequent(column.cast(pa.string()))
    else:
        msg = f"evaluation.slices: {name} holds {kind}, which has no values to cut by; name a number or text column"
        raise ConfigurationError(msg)
    if not found.of_rows.null_count:
        return found
    return SliceLabels(pc.fill_null(found.of_rows, MISSING), [*found.values, MISSING])


def _quarters(column: pa.ChunkedArray, unit: str) -> SliceLabels:
    numbers = pc.cast(column, pa.float64()).to_numpy()
    finite = np.isfinite(numbers)
    if not finite.any():
        return SliceLabels(pa.nulls(len(numbers), pa.string()), [])
    edges = np.unique(np.quantile(numbers[finite], [0.0, 0.25, 0.5, 0.75, 1.0], method="inverted_cdf"))
    low, *inner, high = edges if len(edges) > 1 else (edges[0], edges[0])
    ends = [*inner, high]
    names = [
        f"{start:g} to {end:g}{unit}" if place == 0 else f"over {start:g} to {end:g}{unit}"
        for place, (start, end) in enumerate(zip([low, *inner], ends, strict=True))
    ]
    number = np.searchsorted(inner, numbers, side="left")
    of_rows = pa.array(number).take(pa.array(np.where(finite, np.arange(len(numbers)), -1), mask=~finite))
    return SliceLabels(pa.array(names).take(of_rows), [names[place] for place in np.unique(number[finite])])


def _frequent(column: pa.ChunkedArray) -> SliceLabels:
    counts = pc.value_counts(pc.drop_null(column)).to_pylist()
    values = [each["values"] for each in sorted(counts, key=lambda each: (-each["counts"], each["values"]))]
    of_rows = column.combine_chunks()
    if len(values) <= _MOST_VALUES:
        return SliceLabels(of_rows, values)
    kept = values[: _MOST_VALUES - 1]
    rare = pc.and_(pc.is_valid(of_rows), pc.invert(pc.is_in(of_rows, value_set=pa.array(kept))))
    return SliceLabels(pc.if_else(rare, OTHER, of_rows), [*kept, OTHER])
