"""Metrics of parts of the test rows: where a good average hides a bad corner."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.digests import Record
from headframe.errors import ConfigurationError, DataError
from headframe.evaluation.intervals import Resampling, metric_intervals
from headframe.records import Interval
from headframe.tasks.base import Task

_MOST_VALUES = 20  # of more the rarest are put together; long texts are cut by their length instead
_FEWEST_ROWS = 10  # smaller slices are counted but not measured: any interval of theirs would be meaningless
_LONG_TEXT = 40  # characters of a mean value from which a column holds sentences rather than categories


class Slice(Record):
    """The test rows with one value, or one range of values, of a column."""

    value: str
    rows: int
    metrics: dict[str, Interval]  # empty where there are too few rows


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
    return {
        name: [
            _measured(task, predictions.filter(pa.array(mask)), value, how)
            for value, mask in slice_masks(name, inputs[name].take(positions))
        ]
        for name in columns
    }


def row_positions(predictions: pa.Table, inputs: pa.Table) -> pa.Array:
    """Return the position in `inputs` of each predicted row, by `row_id`.

    Raises:
        DataError: the inputs lack a predicted row.
    """
    positions = pc.index_in(predictions["row_id"].combine_chunks(), value_set=inputs["row_id"].combine_chunks())
    if positions.null_count:
        raise DataError(
            f"{positions.null_count} predicted rows are not in the table, so nothing more is known of them; "
            "the predictions belong to another version of the data"
        )
    return positions


def _measured(task: Task, part: pa.Table, value: str, how: Resampling) -> Slice:
    if part.num_rows < _FEWEST_ROWS:
        return Slice(value=value, rows=part.num_rows, metrics={})
    how = replace(how, block=max(1, min(how.block, part.num_rows // 4)))
    return Slice(value=value, rows=part.num_rows, metrics=metric_intervals(task, part, how))


def slice_masks(name: str, column: pa.ChunkedArray) -> list[tuple[str, np.ndarray]]:
    """Return each slice with its rows, bool (rows,): a value, or a quarter of the numbers or lengths of long texts.

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
        found = _quarters(lengths, " characters") if prose else _frequent(column)
    else:
        msg = f"evaluation.slices: {name} holds {kind}, which has no values to cut by; name a number or text column"
        raise ConfigurationError(msg)
    missing = ~np.logical_or.reduce([np.zeros(len(column), dtype=bool), *(mask for _, mask in found)])
    return [*found, ("missing", missing)] if missing.any() else found


def _quarters(column: pa.ChunkedArray, unit: str) -> list[tuple[str, np.ndarray]]:
    numbers = pc.cast(column, pa.float64()).to_numpy()
    finite = np.isfinite(numbers)
    if not finite.any():
        return []
    edges = np.unique(np.quantile(numbers[finite], [0.0, 0.25, 0.5, 0.75, 1.0], method="inverted_cdf"))
    low, *inner, high = edges if len(edges) > 1 else (edges[0], edges[0])
    quarter = np.searchsorted(inner, numbers, side="left")
    found = []
    for place, (start, end) in enumerate(pairwise([low, *inner, high])):
        mask = finite & (quarter == place)
        if mask.any():
            found.append((f"{'over ' if place else ''}{start:g} to {end:g}{unit}", mask))
    return found


def _frequent(column: pa.ChunkedArray) -> list[tuple[str, np.ndarray]]:
    codes = column.combine_chunks().dictionary_encode()
    numbers = pc.fill_null(codes.indices, -1).to_numpy()
    texts, counts = codes.dictionary.to_pylist(), np.bincount(numbers[numbers >= 0], minlength=len(codes.dictionary))
    order = sorted(range(len(texts)), key=lambda place: (-counts[place], texts[place]))
    shown = order if len(order) <= _MOST_VALUES else order[: _MOST_VALUES - 1]
    found = [(texts[place], numbers == place) for place in shown]
    if len(shown) < len(order):
        found.append(("all others", (numbers >= 0) & ~np.isin(numbers, shown)))
    return found
