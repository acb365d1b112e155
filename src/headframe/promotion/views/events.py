"""Events of a version's history, as people read its entries in the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from headframe.digests import Record
from headframe.ledger.entries import Entry
from headframe.promotion.approvals import read_approval
from headframe.signing.trust import Trust


class LedgerEvent(Record):
    """An entry of the ledger about a version, as people read it.

    Attributes:
        number: of the entry.
        time: UTC, ISO 8601.
        what: was done.
        by: who did it; of an approval the approver.
        message: the reason, or the outcome.
        digest: of the entry.
    """

    number: int
    time: str
    what: str
    by: str
    message: str
    digest: str


def ledger_events(entries: Iterable[Entry], number: int, trust: Trust) -> list[LedgerEvent]:
    """Return what the ledger holds about a version, oldest first."""
    found = []
    for entry in entries:
        rolled_back = entry.kind == "rollback" and entry.payload["from"] == number
        if entry.version != number and not rolled_back:
            continue
        what, by, message = _describe(entry, rolled_back, trust)
        found.append(
            LedgerEvent(number=entry.number, time=entry.time, what=what, by=by, message=message, digest=entry.digest)
        )
    return found


def _describe(entry: Entry, rolled_back: bool, trust: Trust) -> tuple[str, str, str]:
    """Return what was done, by whom, and the reason; `rolled_back`: from the version, not to it."""
    payload, by = entry.payload, entry.signer
    match entry.kind:
        case "gate":
            champion = payload["champion"]
            against = "against no champion" if champion is None else f"against version {champion}"
            what = "passed its gates" if payload["passed"] else "refused by its gates"
            return what, by, f"{against}: {payload['reason']}"
        case "approve":
            approval = read_approval(payload["approval"], trust)
            return "approved", approval.signer.name, f"{approval.reason} (until {approval.expires})"
        case "reject":
            return "rejected", by, payload["reason"]
        case "promote":
            return "promoted", by, payload["reason"] or payload["gate_reason"]
        case "rollback":
            return ("rolled back from it" if rolled_back else "rolled back to it"), by, payload["reason"]
        case "reproduce":
            return f"reproduced: {payload['verdict']}", by, str(payload["reason"] or "")
