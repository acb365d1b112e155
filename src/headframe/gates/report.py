"""What the gates return for a version, and the report of all of them."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from headframe.digests import Record

CHAMPION, BASELINE, SLICES = "champion", "baseline", "slices"
"""What a gate may be about, as its class declares in `topic`: a policy may call the gate anything."""

TOLERANCE = 1e-6
"""Relative and absolute difference that another machine may make in a number."""

Numbers = dict[str, float | int | str | None]


class GateResult(Record):
    """What one gate returns.

    Attributes:
        gate: its name in the policy; `judge_version` sets it.
        topic: what the gate is about, where pages and reasons look for it; `judge_version` sets it.
        passed: whether it lets the version through.
        verdict: in the gate's own words: `better`, `not better`, `worse`, `not enough rows`.
        reason: the numbers that decide it, as a sentence without a full stop.
        numbers: everything that it rests on, by name.
        p: p-value of the version being better than the champion on test rows; None where it consulted none for that.
        is_final: no further gate is run, so that a version that is refused here consults no test rows.
    """

    gate: str = ""
    topic: str = ""
    passed: bool
    verdict: str
    reason: str
    numbers: Numbers = {}
    p: float | None = None
    is_final: bool = False

    @classmethod
    def accept(cls, verdict: str, reason: str, numbers: Numbers | None = None) -> GateResult:
        """Return a result that lets the version through."""
        return cls(passed=True, verdict=verdict, reason=reason, numbers=numbers or {})

    @classmethod
    def refuse(cls, verdict: str, reason: str, numbers: Numbers | None = None) -> GateResult:
        """Return a result that refuses the version."""
        return cls(passed=False, verdict=verdict, reason=reason, numbers=numbers or {})


class SpentLevel(Record):
    """What a comparison with the champion on test rows took of the error that is allowed.

    Attributes:
        p: p-value of the version being better.
        level: largest one that the policy's rule allowed, before it was divided by `candidates`.
        candidates: from how many versions it may have been picked.
    """

    p: float
    level: float
    candidates: int = Field(ge=1)


class GateReport(Record):
    """What all gates of a policy return for a version; equal for equal files, and without a time.

    Attributes:
        model: name in the registry.
        version: which was judged.
        bundle: sha256 of its model.
        champion: the version it was compared with; None where there was none.
        champion_bundle: sha256 of that one's model; None where there was none, or nobody trusted signed it.
        policy: name of the policy.
        settings: of each gate, by its name, as the policy has them.
        error_control: the rule of the allowed error, as the policy has it.
        rows: how many test rows both were measured on; 0 where validation rows decided.
        rows_digest: sha256 of the rows' names and targets in their order; empty where there are none.
        digests: sha256 of plan, table, split and predictions of the version.
        tested: what was spent on the comparison with the champion; None where no test rows were consulted for it.
        tries: how many versions, with this one, were tested against the same champion so far.
        candidates: how many versions, with this one, were registered since the champion was promoted and not yet
            compared with it.
        results: one per gate, in the policy's order.
    """

    model: str
    version: int
    bundle: str
    champion: int | None
    champion_bundle: str | None
    policy: str
    settings: dict[str, dict[str, Any]]
    error_control: dict[str, Any]
    rows: int
    rows_digest: str
    digests: dict[str, str]
    tested: SpentLevel | None
    tries: int = Field(ge=1)
    candidates: int = Field(ge=1)
    results: tuple[GateResult, ...] = Field(min_length=1)

    @property
    def passed(self) -> bool:
        """Whether all gates were passed."""
        return all(result.passed for result in self.results)

    @property
    def reason(self) -> str:
        """Why it was refused; where it passed, how it compares with the champion, or what the last gate found.

        That it is not significantly different from a baseline is added.
        """
        refused = [f"{result.gate}: {result.reason}" for result in self.results if not result.passed]
        compared = next((result for result in self.results if result.topic == CHAMPION), self.results[-1])
        alike = [each.reason for each in self.results if each.topic == BASELINE and each.verdict != "better"]
        return "; ".join(refused or dict.fromkeys([compared.reason, *alike]))


def nearly_equal(one: Any, other: Any) -> bool:
    """Return whether two values are numbers that may be one, computed on two machines."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
