"""At most a share `alpha` of the promotions is false, over any number of versions: the online false discovery rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from headframe.gates.error_control.base import ErrorControl
from headframe.gates.error_control.familywise import spend_alpha
from headframe.ledger.past_tests import PastTest

CANDIDATE = 0.1  # p-value up to which a test costs nothing, since it is likely a gain; no level is above it
DISCARD = 0.5  # p-value above which a test costs nothing, since the version is plainly no better


@dataclass(frozen=True)
class Addis(ErrorControl):
    """Control the expected share of false promotions among promotions.

    ADDIS (Tian and Ramdas 2019, arXiv:1905.11465) is an alpha-investing rule: a model begins with a wealth of `alpha`,
    tests spend it, and each promotion after the first earns `alpha` again. A test whose p-value is above `DISCARD` is
    free, and so is one up to `CANDIDATE`; only those between, which show how often chance comes by, are paid for. So
    levels do not run dry: they depend on how many paid tests lie behind the last promotions, not on how many versions
    were ever tried. What is kept is an estimate of the share,

        sum of level * [CANDIDATE < p <= DISCARD] / (DISCARD - CANDIDATE)  <=  alpha * max(1, promotions).

    A promotion earns when it is written, not when its test was made (asynchronous testing: Zrnic, Ramdas and Jordan
    2021, arXiv:1812.05068), so that what other gates or people refuse earns nothing and the bound is about promotions.
    Of several candidates only the best is tested; a large p-value then does not show that it is plainly no better, and
    costs as any other. In simulations of a year of daily challengers SAFFRON (`DISCARD` = 1) and LOND had less power.

    Attributes:
        alpha: the expected share of false promotions.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05

    @property
    def promise(self) -> str:
        """What is kept below which bound."""
        return f"the expected share of false promotions stays below {self.alpha:g}"

    def level(self, tests: Sequence[PastTest], champion: int) -> float:  # noqa: ARG002 - one wealth for all champions
        """Return the level of the next test."""
        paid = [each.p > CANDIDATE and (each.p <= DISCARD or each.candidates > 1) for each in tests]
        earned = sorted(each.promoted_after for each in tests if each.promoted_after is not None)
        wealth = sum(spend_alpha(self.alpha, 1 + sum(paid[start:])) for start in (0, *earned[1:]))
        return min(CANDIDATE, (DISCARD - CANDIDATE) * wealth)
