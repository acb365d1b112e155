"""The version was made again from the registry alone, and came out the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headframe.gates.context import Case
from headframe.gates.report import GateResult

RANK = ("bitwise", "within tolerance")


@dataclass(frozen=True)
class Reproduced:
    """Ask for the verdict of the last reproduction.

    Attributes:
        least: `bitwise`, or `within tolerance` where that is enough.
    """

    least: Literal["bitwise", "within tolerance"] = "bitwise"

    def judge(self, case: Case) -> GateResult:
        """Judge a version."""
        came = case.reproduced
        numbers: dict[str, float | int | str | None] = {"asked": self.least, "came": came}
        named = f"{case.version.model}/{case.version.number}"
        if came is None:
            reason = f"nobody whose word counts made it again; try: headframe reproduce {named}"
            return GateResult(gate="reproduced", passed=False, verdict="never tried", reason=reason, numbers=numbers)
        passed = came in RANK[: RANK.index(self.least) + 1]
        reason = f"the last reproduction came out {came}"
        if not passed:
            reason += f", but {self.least} is asked for; see what differs with: headframe reproduce {named}"
        return GateResult(gate="reproduced", passed=passed, verdict=came, reason=reason, numbers=numbers)
