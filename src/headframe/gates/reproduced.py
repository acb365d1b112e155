"""The version was reproduced from the registry alone, with the same result."""

from dataclasses import dataclass
from typing import Literal

from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers

RANK = ("bitwise", "within tolerance")


@dataclass(frozen=True)
class Reproduced(Gate):
    """Require a verdict of the last reproduction.

    Attributes:
        least: `bitwise`, or `within tolerance` where that is enough.
    """

    least: Literal["bitwise", "within tolerance"] = "bitwise"

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version."""
        verdict, version = context.request.reproduced, context.request.version
        numbers: Numbers = {"required": self.least, "verdict": verdict}
        command = f"headframe reproduce {version.model}/{version.number}"
        if verdict is None:
            reason = f"no reproduction with a signature that counts; run: {command}"
            return GateResult.refuse("never tried", reason, numbers)
        reason = f"the verdict of the last reproduction is {verdict}"
        if verdict in RANK[: RANK.index(self.least) + 1]:
            return GateResult.accept(verdict, reason, numbers)
        return GateResult.refuse(
            verdict, f"{reason}, but {self.least} is required; see what differs with: {command}", numbers
        )
