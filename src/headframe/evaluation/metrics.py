"""Metrics of a model, and of its baseline on the same rows: what differs, and whether that is more than chance."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.digests import Record
from headframe.errors import ConfigurationError, DataError, some
from headframe.evaluation.intervals import (
    Resampling,
    all_equal,
    confidence_interval,
    number_contents,
    percentile_limits,
    resample,
)
from headframe.evaluation.paired import PairedComparison
from headframe.records import BaselineComparison, Interval, ValidationTest, Verdict
from headframe.tasks.base import Task


class EvaluationMetrics(Record):
    """The content of `metrics.json`."""

    rows: int  # test rows that were measured; windows for a forecast
    different_rows: int  # how many of them are distinct
    primary_metric: str
    higher_is_better: bool  # the primary metric
    confidence: float  # of the intervals
    resamples: dict[str, int]  # how many the limits of each metric rest on
    block: int  # how many consecutive windows were resampled together; 1 for independent rows
    interval_note: str = ""  # of the task, as its caveats
    caveats: tuple[str, ...] = ()
    metrics: dict[str, Interval]
    baselines: dict[str, BaselineComparison] = {}  # by name

    @property
    def names(self) -> list[str]:
        """The metrics, the primary one first."""
        return [self.primary_metric, *(name for name in self.metrics if name != self.primary_metric)]

    @property
    def hardest(self) -> BaselineComparison | None:
        """The baseline with the best primary metric."""
        sign = 1 if self.higher_is_better else -1
        known = [each for each in self.baselines.values() if self.primary_metric in each.difference]
        return max(known, key=lambda each: sign * each.metrics[self.primary_metric].value, default=None)

    @property
    def primary(self) -> Interval:
        """The primary metric."""
        return self.metrics[self.primary_metric]


def align_rows(task: Task, predictions: pa.Table, other: pa.Table) -> pa.Table:
    """Return `other` in the row order of `predictions`.

    Raises:
        DataError: they are not of the same rows, or disagree on a target, so nothing may be compared.
    """
    ids, others = predictions["row_id"].combine_chunks(), other["row_id"].combine_chunks()
    positions = pc.index_in(ids, value_set=others)
    strange = pc.filter(ids, pc.is_null(positions))
    if len(ids) != len(others) or len(strange):
        example = f", for example not {strange[0].as_py()!r}" if len(strange) else ""
        raise DataError(
            f"the baseline was measured on other rows: it has {len(others)} where the model has {len(ids)}{example}; "
            "train both on the same table and split"
        )
    if pc.count_distinct(ids).as_py() != len(ids):
        msg = "a row_id occurs twice among the predictions, so rows cannot be paired; train again on a table without it"
        raise DataError(msg)
    ordered = other.take(positions)
    if not ordered.select(task.truth_columns).equals(predictions.select(task.truth_columns)):
        msg = "the baseline has other targets on the same row_ids; train both on the same version of the table"
        raise DataError(msg)
    return ordered


def compute_metrics(
    task: Task,
    predictions: pa.Table,
    baselines: Mapping[str, pa.Table],
    how: Resampling,
    titles: Mapping[str, str] | None = None,
) -> EvaluationMetrics:
    """Measure a model, its baselines and the differences; every resample draws the same rows of all.

    Args:
        task: fitted.
        predictions: the model's rows.
        baselines: rows of each baseline by its name, in any order.
        how: how rows are drawn.
        titles: of baselines whose name is not their title.

    Raises:
        DataError: the rows or their targets are not the same.
    """
    model = resample(task, predictions, how)
    if task.primary_metric not in model:
        raise ConfigurationError(
            f"the primary metric of task {task.kind} is {task.primary_metric}, but on these rows it measures "
            f"{some(model)} alone; let `statistics` return it, or choose another"
        )
    mine = {name: confidence_interval(each, how.confidence) for name, each in model.items()}
    compared = {}
    for key, baseline in baselines.items():
        aligned = align_rows(task, predictions, baseline)
        other = resample(task, aligned, how)
        theirs = {name: confidence_interval(each, how.confidence) for name, each in other.items()}
        same = aligned.equals(predictions)
        difference = {
            name: Interval(value=0.0, low=0.0, high=0.0)
            if same  # every prediction and every score: what makes one model of two
            else _difference(mine[name], theirs[name], model[name].values - other[name].values, how.confidence)
            for name in model
            if name in other
        }
        # Equal predictions are no better, however few the rows are.
        verdict: Verdict = "no significant difference" if same else "too few rows"
        p_better = p_worse = 1.0
        if task.primary_metric in difference:
            tests, alpha = PairedComparison(resamples=how.resamples), 1 - how.confidence
            tested = tests.compare(task, predictions, aligned, how, alpha)
            if tests.can_tell(tested):
                found = tests.verdict(tested, alpha)
                verdict = (
                    "better" if found == "better" else "worse" if found == "worse" else "no significant difference"
                )
                p_better, p_worse = tested.p_better, tested.p_worse
        compared[key] = BaselineComparison(
            title=(titles or {}).get(key, key.replace("_", " ")),
            metrics=theirs,
            difference=difference,
            verdict=verdict,
            p_better=p_better,
            p_worse=p_worse,
        )
    return EvaluationMetrics(
        rows=predictions.num_rows,
        different_rows=int(number_contents(predictions, how).max(initial=-1)) + 1,
        primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better,
        confidence=how.confidence,
        resamples={name: len(each.values) for name, each in model.items()},
        block=how.block,
        interval_note=task.interval_note,
        caveats=task.caveats,
        metrics=mine,
        baselines=compared,
    )


def validation_test(task: Task, predictions: pa.Table, baseline: pa.Table, how: Resampling) -> ValidationTest | None:
    """Test a model against a baseline on validation rows; None where these are too few or define no primary metric.

    Raises:
        DataError: the rows or their targets are not the same.
    """
    metric, aligned = task.primary_metric, align_rows(task, predictions, baseline)
    value = task.measure(aligned, [metric]).get(metric)
    if value is None or metric not in task.measure(predictions, [metric]):
        return None
    tests = PairedComparison(resamples=how.resamples)
    tested = tests.compare(task, predictions, aligned, how, 1 - how.confidence)
    if not tests.can_tell(tested):
        return None
    return ValidationTest(value=value, p_better=tested.p_better, p_worse=tested.p_worse)


def _difference(mine: Interval, theirs: Interval, changes: np.ndarray, confidence: float) -> Interval:
    """Return model minus baseline: percentiles of the resamples, or where these are all equal, square and add.

    Square and add (Zou and Donner 2008, doi:10.1002/sim.3095) takes the two models for independent. On the
    same rows they mostly err together, so the limits are rather too wide than too narrow.
    """
    change = mine.value - theirs.value
    if not all_equal(changes):
        low, high = percentile_limits(changes, confidence)
    elif mine.low is None or mine.high is None or theirs.low is None or theirs.high is None:
        return Interval(value=change, low=None, high=None)
    else:
        low = change - float(np.hypot(mine.value - mine.low, theirs.high - theirs.value))
        high = change + float(np.hypot(mine.high - mine.value, theirs.value - theirs.low))
    return Interval(value=change, low=float(np.round(min(low, change), 9)), high=float(np.round(max(high, change), 9)))
