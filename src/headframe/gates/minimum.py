"""The leading metric reaches a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headframe.gates.context import Case
from headframe.gates.report import GateResult


@dataclass(frozen=True)
class Minimum:
    """Ask that the leading metric reaches a value, or stays at or under it where less is better.

    Attributes:
        value: the bound; None asks only that the metric is a number.
    """

    value: float | None = None

    def judge(self, case: Case) -> GateResult:
        """Judge a version; a metric that is not a number never passes."""
        lead, value = case.yardstick.lead, case.value
        measured = f"{lead} {value:.4f} on {case.rows:,} test rows"
        numbers = {"value": value if math.isfinite(value) else None, "bound": self.value, "rows": case.rows}
        if not math.isfinite(value):
            return GateResult(
                gate="minimum", passed=False, verdict="missed", reason=f"{lead} is {value}", numbers=numbers
            )
        if self.value is None:
            return GateResult(gate="minimum", passed=True, verdict="nothing asked", reason=measured, numbers=numbers)
        passed = value >= self.value if case.yardstick.higher_is_better else value <= self.value
        bound = "minimum" if case.yardstick.higher_is_better else "maximum"
        return GateResult(
            gate="minimum",
            passed=passed,
            verdict="reached" if passed else "missed",
            reason=f"{measured} {'reaches' if passed else 'misses'} the {bound} of {self.value:g}",
            numbers=numbers,
        )
