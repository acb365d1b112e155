"""At most a share `alpha` of the champions is ever replaced by chance: the familywise error of all who try."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from headframe.gates.error_control.base import ErrorControl
from headframe.ledger.past_tests import PastTest


@dataclass(frozen=True)
class Familywise(ErrorControl):
    """Control the chance that any version that is not better ever replaces a champion.

    The k-th version tested against one champion is tested at alpha * 6 / (pi^2 k^2). The levels add up to alpha over
    any number of tests, so Bonferroni's inequality holds however the tests depend on each other (alpha spending by
    summable weights: Foster and Stine 2008, doi:10.1111/j.1467-9868.2007.00643.x). The price is power: the eighth
    version is tested at 0.0005. New test rows change nothing: the promise is about the champion.

    Attributes:
        alpha: the chance.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05

    @property
    def promise(self) -> str:
        """What is kept below which bound."""
        return f"the chance that a champion is ever replaced by chance stays below {self.alpha:g}"

    def level(self, tests: Sequence[PastTest], champion: int) -> float:
        """Return the level of the next test against a champion."""
        return spend_alpha(self.alpha, 1 + sum(each.champion == champion for each in tests))


def spend_alpha(alpha: float, tries: int) -> float:
    """Return the share of `alpha` that the try of this number, from 1, may use."""
    return alpha * 6 / (math.pi**2 * tries**2)
