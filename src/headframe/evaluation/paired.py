"""Two models on the same rows: what differs, and whether the difference is more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import DataError
from headframe.evaluation.intervals import Resampling, Sampled, interval, percentiles, sample
from headframe.records import Interval
from headframe.tasks.base import Task


@dataclass(frozen=True)
class Comparison:
    """Metrics of a model and of its baseline, and model minus baseline on the same draws of rows."""

    model: dict[str, Interval]
    baseline: dict[str, Interval]
    difference: dict[str, Interval]


def align(predictions: pa.Table, other: pa.Table) -> pa.Table:
    """Put `other` into the row order of `predictions`.

    Raises:
        DataError: they are not of the same rows, or disagree on a target, so nothing may be compared.
    """
    ids, others = predictions["row_id"].combine_chunks(), other["row_id"].combine_chunks()
    positions = pc.index_in(ids, value_set=others)
    strange = pc.filter(ids, pc.is_null(positions))
    if len(ids) != len(others) or len(strange):
        example = f", for example not {strange[0].as_py()!r}" if len(strange) else ""
        msg = (
            f"the baseline was measured on other rows: it has {len(others)} where the model has {len(ids)}{example}; "
            "train both on the same table and split"
        )
        raise DataError(msg)
    if pc.count_distinct(ids).as_py() != len(ids):
        msg = "a row_id occurs twice among the predictions, so rows cannot be paired; train again on a table without it"
        raise DataError(msg)
    ordered = other.take(positions)
    if not ordered["target"].combine_chunks().equals(predictions["target"].combine_chunks()):
        msg = "the baseline has other targets on the same row_ids; train both on the same version of the table"
        raise DataError(msg)
    return ordered


def compare(task: Task, predictions: pa.Table, baseline: pa.Table, how: Resampling) -> Comparison:
    """Measure both and their difference; every resample draws the same rows of both.

    Args:
        task: fitted.
        predictions: the model's rows.
        baseline: the baseline's, in any order.
        how: how rows are drawn.

    Raises:
        DataError: the rows or their targets are not the same.
    """
    model = sample(task, predictions, how)
    other = sample(task, align(predictions, baseline), how)
    return Comparison(
        model={name: interval(each, how.confidence) for name, each in model.items()},
        baseline={name: interval(each, how.confidence) for name, each in other.items()},
        difference=_difference(model, other, how.confidence),
    )


def _difference(model: Mapping[str, Sampled], other: Mapping[str, Sampled], confidence: float) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    for name in model.keys() & other.keys():
        mine, theirs = model[name], other[name]
        # A metric that only one side could resample fast has fewer values there; the draws begin alike.
        many = min(len(mine.values), len(theirs.values))
        change = mine.value - theirs.value
        low, high = percentiles(mine.values[:many] - theirs.values[:many], confidence)
        found[name] = Interval(
            value=change, low=float(np.round(min(low, change), 9)), high=float(np.round(max(high, change), 9))
        )
    return {name: found[name] for name in model if name in found}
