"""What is left of the error that a policy allows, for the next version of a model."""

from collections.abc import Sequence

from headframe.config.build import build
from headframe.config.plan.promotion import PromotionConfig
from headframe.digests import Record
from headframe.gates.error_control.base import ErrorControl
from headframe.ledger.entries import Entry, champion_entry
from headframe.ledger.past_tests import past_tests


class ErrorBudget(Record):
    """The state of the allowed error of a model, by the policy in force."""

    champion: int | None  # that the next version is compared with
    level: float | None  # largest p-value at which it counts as better; None where there is no champion
    promise: str  # what the policy's rule keeps
    tests: int  # that consulted test rows so far
    promotions: int  # that they led to
    screened: int  # versions that validation rows alone have refused so far

    def __str__(self) -> str:
        tests, screened = ("" if many == 1 else "s" for many in (self.tests, self.screened))
        alone = f"{self.screened} version{screened} decided by validation rows alone"
        if self.level is None:
            return f"no champion yet, so nothing is tested{f'; {alone}' if self.screened else ''}"
        return (
            f"p {self.level:.3g} for the next version against version {self.champion}, so that {self.promise}; "
            f"{self.tests} test{tests} on test rows so far, {self.promotions} of them promoted, {alone}"
        )


def error_budget(entries: Sequence[Entry], promotion: PromotionConfig) -> ErrorBudget:
    """Return the state of the allowed error after these entries.

    Raises:
        ConfigurationError: the policy's rule cannot be built.
    """
    rule: ErrorControl = build(promotion.error_control)
    tests, present = past_tests(entries), champion_entry(entries)
    # By the last entry about each version: gates behind one whose result is final were not run.
    gated = [each for each in entries if each.kind == "gate"]
    screened = {each.version: len(each.payload["results"]) < len(each.payload["settings"]) for each in gated}
    return ErrorBudget(
        champion=present.version if present else None,
        level=rule.level(tests, present.version) if present else None,
        promise=rule.promise,
        tests=len(tests),
        promotions=sum(each.promoted_after is not None for each in tests),
        screened=sum(screened.values()),
    )
