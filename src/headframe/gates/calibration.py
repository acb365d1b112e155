"""Probabilities that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

from headframe.config.ranges import Fraction, NotNegative
from headframe.gates.context import Case
from headframe.gates.report import Verdict

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

    def judge(self, case: Case) -> Verdict:
        """Judge a version; where the task gives no probabilities there is nothing to judge."""
        value = case.metrics.get(METRIC)
        if value is None:
            because = f"task {case.yardstick.kind} gives no probabilities, so it has no calibration error"
            return Verdict(gate="calibration", passed=True, word="does not apply", because=because)
        numbers: dict[str, float | int | str | None] = {"value": value, "largest": self.largest, "rows": case.rows}
        because = f"calibration error {value:.4f} on {case.rows:,} test rows"
        if self.largest is not None and not value <= self.largest:
            because += f" exceeds {self.largest:g}"
            return Verdict(gate="calibration", passed=False, word="too large", because=because, numbers=numbers)
        if self.largest is None and self.tolerance is None:
            return Verdict(gate="calibration", passed=True, word="nothing asked", because=because, numbers=numbers)
        if self.largest is None and case.champion is None:
            because += ", and there is no champion to compare with"
            return Verdict(gate="calibration", passed=True, word="no champion", because=because, numbers=numbers)
        if self.tolerance is None or case.champion is None:
            return Verdict(gate="calibration", passed=True, word="kept", because=because, numbers=numbers)
        if case.rival.predictions is None:
            because = case.rival.origin
            return Verdict(gate="calibration", passed=False, word="not comparable", because=because, numbers=numbers)
        other = case.rival_metrics[METRIC]
        numbers |= {"champion": other, "difference": value - other, "tolerance": self.tolerance}
        passed = value <= other + self.tolerance
        because += (
            f" is {'not ' if passed else ''}larger than the champion's {other:.4f} by more than {self.tolerance:g}"
        )
        word = "kept" if passed else "worse"
        return Verdict(gate="calibration", passed=passed, word=word, because=because, numbers=numbers)
