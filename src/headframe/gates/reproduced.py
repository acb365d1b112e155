"""The version was made again from the registry alone, and came out the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headframe.gates.context import Case
from headframe.gates.report import Verdict

RANK = ("bitwise", "within tolerance")


@dataclass(frozen=True)
class Reproduced:
    """Ask for the verdict of the last reproduction.

    Attributes:
        least: `bitwise`, or `within tolerance` where that is enough.
    """

    least: Literal["bitwise", "within tolerance"] = "bitwise"

    def judge(self, case: Case) -> Verdict:
        """Judge a version."""
        came = case.reproduced
        numbers: dict[str, float | int | str | None] = {"asked": self.least, "came": came}
        named = f"{case.version.model}/{case.version.number}"
        if came is None:
            because = f"nobody whose word counts made it again; try: headframe reproduce {named}"
            return Verdict(gate="reproduced", passed=False, word="never tried", because=because, numbers=numbers)
        passed = came in RANK[: RANK.index(self.least) + 1]
        because = f"the last reproduction came out {came}"
        if not passed:
            because += f", but {self.least} is asked for; see what differs with: headframe reproduce {named}"
        return Verdict(gate="reproduced", passed=passed, word=came, because=because, numbers=numbers)
