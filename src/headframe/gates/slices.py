"""No part of the test rows is served worse than before, where a good average might hide it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headframe.config.ranges import Count, NotNegative
from headframe.evaluation.intervals import contents_of, intervals
from headframe.evaluation.significance import Gain, bootstrap, holm, mcnemar
from headframe.evaluation.slices import label
from headframe.gates.better import RIGHT, count
from headframe.gates.context import Case
from headframe.gates.report import GateResult


@dataclass(frozen=True)
class Part:
    """One slice.

    Attributes:
        name: column and value.
        rows: positions among the test rows.
    """

    name: str
    rows: pa.Array


@dataclass(frozen=True)
class Slices:
    """Refuse a version that is provably worse than the champion on a slice, by more than allowed.

    Slices are tested together at `alpha` (Holm 1979). Smaller slices than `rows` are counted, not tested.

    Attributes:
        columns: by whose values the test rows are cut; none: those of `evaluation.slices`, else the classes.
        loss: how much worse than the champion a slice may be, in units of the leading metric.
        rows: fewest rows of a slice.
        bound: what each slice must not provably miss, with and without a champion; None asks for nothing.
        alpha: how often a version whose slices are all as allowed may be refused.
        resamples: of the bootstrap.
    """

    columns: tuple[str, ...] = ()
    loss: NotNegative = 0.02
    rows: Count = 30
    bound: float | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    resamples: Annotated[int, Field(ge=200, le=100_000)] = 1000

    def judge(self, case: Case) -> GateResult:
        """Judge a version.

        Raises:
            DataError: a column is not in the table.
            ConfigurationError: a column cannot be cut into slices, e.g. images.
        """
        columns = self._columns(case)
        if not columns:
            why = "no columns are named, here or in evaluation.slices, and there are no classes to cut by"
            return GateResult(gate="slices", passed=True, verdict="nothing asked", reason=why)
        if case.champion is not None and case.rival.predictions is None:
            return GateResult(gate="slices", passed=False, verdict="not comparable", reason=case.rival.origin)
        parts = list(self._parts(case, columns))
        large = [part for part in parts if len(part.rows) >= self.rows]
        numbers: dict[str, float | int | str | None] = {
            "columns": ", ".join(columns),
            "slices": len(parts),
            "tested": len(large),
            "too_small": len(parts) - len(large),
        }
        below = self._below(case, large, numbers)
        worse = self._worse(case, large, numbers)
        said = [*below, *worse]
        cut = f"{len(large)} slices by {', '.join(columns)}"
        if said:
            return GateResult(gate="slices", passed=False, verdict="worse", reason="; ".join(said), numbers=numbers)
        if case.champion is None:
            reason = f"of {cut} there was no champion to compare with"
            if self.bound is not None:
                reason += f", and none provably misses {self.bound:g}"
            return GateResult(gate="slices", passed=True, verdict="no champion", reason=reason, numbers=numbers)
        reason = f"of {cut} none is provably worse than the champion's by more than {self.loss:g}"
        return GateResult(gate="slices", passed=True, verdict="not worse", reason=reason, numbers=numbers)

    def _columns(self, case: Case) -> tuple[str, ...]:
        target = case.plan.dataset.target
        classes = (target,) if case.yardstick.kind == "classification" and target else ()
        return tuple(self.columns) or case.plan.evaluation.slices or classes

    def _parts(self, case: Case, columns: tuple[str, ...]) -> Iterator[Part]:
        raw = case.raw(columns)
        for column in columns:
            cells = raw[column]
            if case.yardstick.kind == "classification" and column == case.plan.dataset.target:
                cells = cells.cast(pa.string())  # classes, though they may be numbers
            labels = label(column, cells)
            for value in labels.values:
                yield Part(f"{column}={value}", pc.indices_nonzero(pc.equal(labels.of_rows, value)))

    def _below(self, case: Case, parts: list[Part], numbers: dict[str, float | int | str | None]) -> list[str]:
        """Name the slices that provably miss the bound, by intervals widened for their number (Bonferroni)."""
        if self.bound is None:
            return []
        found = []
        for part in parts:
            how = case.resampling(self.resamples, len(part.rows))
            wide = replace(how, confidence=1 - 2 * self.alpha / len(parts))
            each = intervals(case.yardstick, case.predictions.take(part.rows), wide).get(case.yardstick.lead)
            if each is None or each.low is None or each.high is None:
                continue
            numbers[f"{part.name}: {case.yardstick.lead}"] = each.value
            misses = each.high < self.bound if case.yardstick.higher_is_better else each.low > self.bound
            if misses:
                found.append(f"{part.name} has {case.yardstick.lead} {each}, which misses the bound of {self.bound:g}")
        return found

    def _worse(self, case: Case, parts: list[Part], numbers: dict[str, float | int | str | None]) -> list[str]:
        """Name the slices that are provably worse than the champion's."""
        if case.champion is None or case.rival.predictions is None:
            return []
        tested = []
        for part in parts:
            mine, other = case.predictions.take(part.rows), case.rival.predictions.take(part.rows)
            lead = case.yardstick.lead
            if lead in case.yardstick.measure(mine) and lead in case.yardstick.measure(other):
                tested.append((part, *self._test(case, mine, other)))
        found = []
        sign = 1.0 if case.yardstick.higher_is_better else -1.0
        for (part, gain, _), p in zip(tested, holm([p for _, _, p in tested]), strict=True):
            numbers[f"{part.name}: rows"] = len(part.rows)
            numbers[f"{part.name}: difference"] = sign * gain.value
            numbers[f"{part.name}: p"] = p
            if p <= self.alpha:
                found.append(
                    f"{part.name} loses {-gain.value:.4f} of {case.yardstick.lead} against the champion on "
                    f"{len(part.rows):,} rows, and {self.loss:g} is allowed (p {p:.2g} among {len(tested)} slices)"
                )
        return found

    def _test(self, case: Case, mine: pa.Table, other: pa.Table) -> tuple[Gain, float]:
        """Give a slice's gain, and the p-value that it loses more than allowed."""
        how = case.resampling(self.resamples, mine.num_rows)
        task = case.yardstick
        if task.kind == "classification" and task.lead == RIGHT:
            pairs = count(mine, other, contents_of(mine, how))
            gain = Gain(pairs.gain, pairs.error, max(1, pairs.contents - 1))
            exact = mcnemar(pairs.wins, pairs.losses, "less")
            return gain, gain.p_worse(self.loss) if self.loss else exact
        gain = bootstrap(task, mine, other, how, metric=task.lead, higher_is_better=task.higher_is_better)
        return gain, gain.p_worse(self.loss)
