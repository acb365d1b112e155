"""Probabilities that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

from headframe.config.ranges import Fraction, NotNegative
from headframe.gates.context import Case
from headframe.gates.report import GateResult

METRIC = "calibration_error"


@dataclass(frozen=True)
class Calibration:
    """Ask that the calibration error is small, and no larger than the champion's by more than a tolerance.

    Attributes:
        largest: calibration error that is allowed; None asks for nothing.
        tolerance: how much larger than the champion's it may be on the same rows; None does not compare.
    """

    largest: Fraction | None = 0.1
    tolerance: NotNegative | None = None

    def judge(self, case: Case) -> GateResult:
        """Judge a version; where the task gives no probabilities there is nothing to judge."""
        value = case.metrics.get(METRIC)
        if value is None:
            reason = f"task {case.yardstick.kind} gives no probabilities, so it has no calibration error"
            return GateResult(gate="calibration", passed=True, verdict="does not apply", reason=reason)
        numbers: dict[str, float | int | str | None] = {"value": value, "largest": self.largest, "rows": case.rows}
        reason = f"calibration error {value:.4f} on {case.rows:,} test rows"
        if self.largest is not None and not value <= self.largest:
            reason += f" exceeds {self.largest:g}"
            return GateResult(gate="calibration", passed=False, verdict="too large", reason=reason, numbers=numbers)
        if self.largest is None and self.tolerance is None:
            return GateResult(gate="calibration", passed=True, verdict="nothing asked", reason=reason, numbers=numbers)
        if self.largest is None and case.champion is None:
            reason += ", and there is no champion to compare with"
            return GateResult(gate="calibration", passed=True, verdict="no champion", reason=reason, numbers=numbers)
        if self.tolerance is None or case.champion is None:
            return GateResult(gate="calibration", passed=True, verdict="kept", reason=reason, numbers=numbers)
        if case.rival.predictions is None:
            reason = case.rival.origin
            return GateResult(
                gate="calibration", passed=False, verdict="not comparable", reason=reason, numbers=numbers
            )
        other = case.rival_metrics[METRIC]
        numbers |= {"champion": other, "difference": value - other, "tolerance": self.tolerance}
        passed = value <= other + self.tolerance
        reason += (
            f" is {'not ' if passed else ''}larger than the champion's {other:.4f} by more than {self.tolerance:g}"
        )
        word = "kept" if passed else "worse"
        return GateResult(gate="calibration", passed=passed, verdict=word, reason=reason, numbers=numbers)
