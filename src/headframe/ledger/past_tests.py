"""The tests on test rows that a ledger records, from which the level of the next one is computed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headframe.ledger.entries import Entry


@dataclass(frozen=True)
class PastTest:
    """A version that was compared with a champion on test rows.

    Attributes:
        version: that was tested.
        champion: that it was compared with.
        p: p-value of its being better; for all `candidates` that it may have been picked from together.
        candidates: how many there were, with this version.
        promoted_after: how many tests had been made, with this one, when it became champion by this test; None where it
            did not.
    """

    version: int
    champion: int
    p: float
    candidates: int = 1
    promoted_after: int | None = None


def past_tests(entries: Sequence[Entry]) -> list[PastTest]:
    """Return the tests in the order in which they were first made.

    A version that was gated again against the same champion was tested once: its rows, and so its p-value, are the
    same. Comparisons that consulted no test rows, and those without a champion, are no tests.
    """
    found: dict[tuple[int, int], PastTest] = {}
    for entry in entries:
        if entry.kind == "gate" and entry.payload["tested"] is not None:
            test = _test_of(entry.version, entry.payload["champion"], entry.payload["tested"])
            found.setdefault((test.version, test.champion), test)
        elif entry.kind == "promote":
            gated = entries[int(entry.payload["gate_entry"]) - 1]
            key = (gated.version, gated.payload["champion"])
            if key in found and found[key].promoted_after is None:
                found[key] = replace(found[key], promoted_after=len(found))
    return list(found.values())


def earlier_tests(entries: Sequence[Entry], version: int, champion: int) -> list[PastTest]:
    """Return the tests before a version was first compared with a champion; all where it was not yet.

    Only what was known then counts, so that a test that is repeated is repeated at its own level.
    """
    for position, entry in enumerate(entries):
        is_test = entry.kind == "gate" and entry.payload["tested"] is not None
        if is_test and (entry.version, entry.payload["champion"]) == (version, champion):
            return past_tests(entries[:position])
    return past_tests(entries)


def _test_of(version: int, champion: int, tested: dict[str, Any]) -> PastTest:
    many = int(tested["candidates"])
    return PastTest(version, champion, min(1.0, float(tested["p"]) * many), many)
