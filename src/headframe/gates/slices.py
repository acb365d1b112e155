"""No slice of the test rows is predicted worse than before, which a good average might hide."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from headframe.config.ranges import Column, Count, NotNegative
from headframe.evaluation.intervals import holds_groups, metric_intervals, number_contents
from headframe.evaluation.paired import count
from headframe.evaluation.significance import GainEstimate, holm, mcnemar, paired_bootstrap
from headframe.evaluation.slices import quoted, slice_parts
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import SLICES, GateResult, Numbers


@dataclass(frozen=True)
class RowSlice:
    """One slice.

    Attributes:
        name: column and value.
        rows: positions among the test rows.
    """

    name: str
    rows: pa.Array


@dataclass(frozen=True)
class Slices(Gate):
    """Refuse a version that is provably worse than the champion on a slice, by more than allowed.

    Slices are tested together at `alpha` (Holm 1979). Smaller slices than `rows` are counted, not tested.

    Attributes:
        columns: by whose values the test rows are sliced; none: those of `evaluation.slices`, else the classes.
        loss: how much worse than the champion a slice may be, in units of the primary metric.
        rows: fewest rows of a slice.
        bound: what each slice must not provably miss, with and without a champion; None sets no bound.
        alpha: how often a version whose slices are all as allowed may be refused.
        resamples: of the bootstrap.
    """

    topic: ClassVar[str] = SLICES
    columns: tuple[Column, ...] = ()
    loss: NotNegative = 0.02
    rows: Count = 30
    bound: float | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    resamples: Annotated[int, Field(ge=200, le=100_000)] = 1000

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version.

        Raises:
            DataError: a column is not in the table.
            ConfigurationError: a column cannot be sliced by, e.g. images.
        """
        columns, champion = self._columns(context), context.request.champion
        if not columns:
            reason = "no columns are named, here or in evaluation.slices, and there are no classes to slice by"
            return GateResult.accept("no slices", reason)
        if champion is not None and context.comparison.champion.table is None:
            return GateResult.refuse("not comparable", context.comparison.champion.source)
        slices = list(self._slices(context, columns))
        large = [each for each in slices if len(each.rows) >= self.rows]
        numbers: Numbers = {
            "columns": ", ".join(columns),
            "slices": len(slices),
            "tested": len(large),
            "too_small": len(slices) - len(large),
        }
        worse = [*self._below_bound(context, large, numbers), *self._worse(context, large, numbers)]
        if worse:
            return GateResult.refuse("worse", "; ".join(worse), numbers)
        tested = f"of {len(large)} slices by {', '.join(columns)}"
        if champion is None:
            missed = "" if self.bound is None else f", and none provably misses {self.bound:g}"
            reason = f"{tested} there was no champion to compare with{missed}"
            return GateResult.accept("no champion", reason, numbers)
        reason = f"{tested} none is provably worse than the champion's by more than {self.loss:g}"
        return GateResult.accept("not worse", reason, numbers)

    def _columns(self, context: GateContext) -> tuple[str, ...]:
        plan = context.records.plan
        target = plan.dataset.target
        classes = (target,) if context.rows.reference_task.target_has_classes and target else ()
        return tuple(self.columns) or plan.evaluation.slices or classes

    def _slices(self, context: GateContext, columns: tuple[str, ...]) -> Iterator[RowSlice]:
        raw = context.rows.raw(columns)
        for column in columns:
            cells = raw[column]
            is_target = column == context.records.plan.dataset.target
            if context.rows.reference_task.target_has_classes and is_target:
                cells = cells.cast(pa.string())  # classes, though they may be numbers
            for part in slice_parts(column, cells):
                yield RowSlice(f"{quoted(column)}={part.value}", pa.array(np.flatnonzero(part.mask)))

    def _below_bound(self, context: GateContext, slices: list[RowSlice], numbers: Numbers) -> list[str]:
        """Describe the slices that provably miss the bound, by intervals widened for their number (Bonferroni)."""
        if self.bound is None:
            return []
        missed = []
        task, predictions = context.rows.reference_task, context.rows.predictions
        for each in slices:
            how = context.rows.resampling(self.resamples, len(each.rows))
            wide = replace(how, confidence=1 - 2 * self.alpha / len(slices))
            interval = metric_intervals(task, predictions.take(each.rows), wide).get(task.primary_metric)
            if interval is None or interval.low is None or interval.high is None:
                continue
            numbers[f"{each.name}: {task.primary_metric}"] = interval.value
            if interval.high < self.bound if task.higher_is_better else interval.low > self.bound:
                value = f"{task.primary_metric} {interval}"
                missed.append(f"{each.name} has {value}, which misses the bound of {self.bound:g}")
        return missed

    def _worse(self, context: GateContext, slices: list[RowSlice], numbers: Numbers) -> list[str]:
        """Describe the slices that are provably worse than the champion's."""
        champion = context.comparison.champion.table if context.request.champion is not None else None
        if champion is None:
            return []
        task = context.rows.reference_task
        tested = []
        for each in slices:
            mine, other = context.rows.predictions.take(each.rows), champion.take(each.rows)
            if task.primary_metric in task.measure(mine) and task.primary_metric in task.measure(other):
                tested.append((each, *self._test(context, mine, other)))
        worse = []
        sign = 1.0 if task.higher_is_better else -1.0
        for (each, gain, _), p in zip(tested, holm([p for _, _, p in tested]), strict=True):
            numbers[f"{each.name}: rows"] = len(each.rows)
            numbers[f"{each.name}: difference"] = sign * gain.value
            numbers[f"{each.name}: p"] = p
            if p <= self.alpha:
                worse.append(
                    f"{each.name} loses {-gain.value:.4f} of {task.primary_metric} against the champion on "
                    f"{len(each.rows):,} rows, and {self.loss:g} is allowed (p {p:.2g} among {len(tested)} slices)"
                )
        return worse

    def _test(self, context: GateContext, mine: pa.Table, other: pa.Table) -> tuple[GainEstimate, float]:
        """Return a slice's gain, and the p-value that it loses more than allowed."""
        how = context.rows.resampling(self.resamples, mine.num_rows)
        task = context.rows.reference_task
        if task.primary_metric == task.hit_rate:
            pairs = count(task, mine, other, number_contents(mine, how))
            exact = not (self.loss or holds_groups(mine))
            return pairs.gain, mcnemar(pairs.wins, pairs.losses, "less") if exact else pairs.gain.p_worse(self.loss)
        gain = paired_bootstrap(
            task, mine, other, how, metric=task.primary_metric, higher_is_better=task.higher_is_better
        )
        return gain, gain.p_worse(self.loss)
