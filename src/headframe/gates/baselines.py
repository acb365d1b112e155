"""No baseline predicts the same rows better: what a version without a champion before it has to show, too."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from headframe.evaluation.paired import PairedComparison
from headframe.gates.base import Gate
from headframe.gates.baseline_tests import baseline_tests, corrected_test
from headframe.gates.context import GateContext
from headframe.gates.report import BASELINE, GateResult, Numbers


@dataclass(frozen=True)
class Baselines(PairedComparison, Gate):
    """Refuse a version that is worse than a baseline on the same test rows by a paired test.

    The natural baselines of the task are fitted and compared here; the comparison with the plan's own baseline is the
    one that the version's author signed. All are tested together at `alpha` (Holm 1979). A version that the rows do
    not tell apart from a baseline passes, and the reason says so.

    Attributes:
        alpha: how often a version that is as good as its baselines may be refused.
    """

    topic: ClassVar[str] = BASELINE
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version."""
        rows, metric = context.rows, context.rows.reference_task.primary_metric
        tested = baseline_tests(self, context, rows, self.alpha)
        numbers: Numbers = {"value": rows.value, "rows": rows.count, "alpha": self.alpha}
        if not tested:
            return GateResult.accept(
                "no baseline", "the task has no natural baseline, and the plan names none", numbers
            )
        for each in tested:
            numbers |= each.numbers(metric)
        worse = [each for each in tested if each.p_worse <= self.alpha]
        alike = [each for each in tested if each.p_worse > self.alpha and each.p_better > self.alpha]
        how = f"on the same {rows.count:,} test rows, by {corrected_test(self, rows, tested)}"
        if worse:
            lost = ", ".join(each.described(each.p_worse) for each in worse)
            reason = f"{metric} {rows.value:.4f} is worse than {lost} {how}"
            return GateResult.refuse("worse", reason, numbers)
        compared = alike or tested
        values = ", ".join(each.described(each.p_better) for each in compared)
        if alike:
            reason = f"{metric} {rows.value:.4f} is not significantly different from {values} {how}"
            return GateResult.accept("no significant difference", reason, numbers)
        reason = f"{metric} {rows.value:.4f} is better than {values} {how}"
        return GateResult.accept("better", reason, numbers)
