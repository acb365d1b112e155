"""The calibration error of predicted probabilities is small."""

from dataclasses import dataclass

from headframe.config.ranges import Fraction, NotNegative
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers

METRIC = "calibration_error"


@dataclass(frozen=True)
class Calibration(Gate):
    """Require that the calibration error is small, and no larger than the champion's by more than a tolerance.

    Attributes:
        largest: calibration error that is allowed; None sets no bound.
        tolerance: how much larger than the champion's it may be on the same rows; None does not compare.
    """

    largest: Fraction | None = 0.1
    tolerance: NotNegative | None = None

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version; where the task predicts no probabilities there is nothing to judge."""
        rows, comparison, champion = context.rows, context.comparison, context.request.champion
        value = rows.metrics.get(METRIC)
        if value is None:
            reason = f"task {rows.reference_task.kind} predicts no probabilities, so it has no calibration error"
            return GateResult.accept("does not apply", reason)
        numbers: Numbers = {"value": value, "largest": self.largest, "rows": rows.count}
        reason = f"calibration error {value:.4f} on {rows.count:,} test rows"
        if self.largest is not None and not value <= self.largest:
            return GateResult.refuse("too large", f"{reason} exceeds {self.largest:g}", numbers)
        if self.largest is None and self.tolerance is None:
            return GateResult.accept("no bound", reason, numbers)
        if self.largest is None and champion is None:
            return GateResult.accept("no champion", f"{reason}, and there is no champion to compare with", numbers)
        if self.tolerance is None or champion is None:
            return GateResult.accept("within bounds", reason, numbers)
        if comparison.champion.table is None:
            return GateResult.refuse("not comparable", comparison.champion.source, numbers)
        other = comparison.champion_metrics[METRIC]
        numbers |= {"champion": other, "difference": value - other, "tolerance": self.tolerance}
        larger = f"larger than the champion's {other:.4f} by more than {self.tolerance:g}"
        if value <= other + self.tolerance:
            return GateResult.accept("within bounds", f"{reason} is not {larger}", numbers)
        return GateResult.refuse("worse", f"{reason} is {larger}", numbers)
