"""When a version becomes champion: two numbers and a rule in, a verdict out. Knows no registry."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What a rule says.

    Attributes:
        passed: whether the version may become champion.
        because: the numbers, as the end of a sentence.
        comparable: False where the champion could not be asked, so that there were no numbers.
    """

    passed: bool
    because: str
    comparable: bool = True


@dataclass(frozen=True)
class NotWorse:
    """Reach a minimum, and be not worse than the champion on the same rows.

    Attributes:
        lead: name of the metric that decides.
        higher_is_better: its direction.
        minimum: what must be reached; at most this where less is better. None asks for nothing.
        tolerance: how much worse than the champion still counts as not worse, in units of the metric.
    """

    lead: str
    higher_is_better: bool
    minimum: float | None = None
    tolerance: float = 0.0

    def judge(self, value: float, champion: float | None, rows: int, *, newer: bool = True) -> Verdict:
        """Judge a version.

        Args:
            value: its metric; NaN never passes.
            champion: the present champion's metric on the same rows; None where there is no champion.
            rows: how many test rows both were measured on.
            newer: whether the version was registered after the champion. An older one was replaced before, or
                passed over, so to be as good is not enough for it; else each run repeated would take the title back.
        """
        if math.isnan(value):
            return Verdict(False, f"{self.lead} is not a number")
        if self.minimum is not None and not self._reaches(value, self.minimum):
            bound = "minimum" if self.higher_is_better else "maximum"
            return Verdict(False, f"{self.lead} {value:.4f} misses the {bound} of {self.minimum:g}")
        if champion is None:
            return Verdict(True, f"{self.lead} {value:.4f} on {rows:,} test rows, and there was none before")
        allowed = champion - self.tolerance if self.higher_is_better else champion + self.tolerance
        within = f" by more than {self.tolerance:g}" if self.tolerance else ""
        same = f"{champion:.4f} of the champion on the same {rows:,} test rows"
        if not newer:
            better = value > champion if self.higher_is_better else value < champion
            how = "is better" if better else "is not better"
            return Verdict(better, f"{self.lead} {value:.4f} {how} than {same}, which is a newer version")
        if self._reaches(value, allowed):
            return Verdict(True, f"{self.lead} {value:.4f} is not worse{within} than {same}")
        return Verdict(False, f"{self.lead} {value:.4f} is worse{within} than {same}")

    def _reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.higher_is_better else value <= bound
