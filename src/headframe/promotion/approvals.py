"""Approvals: signed by an approver on any machine, recorded in the ledger, checked wherever they count."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from headframe.digests import Record
from headframe.errors import Refused
from headframe.ledger.entries import parse_time
from headframe.ledger.rules import JUDGED
from headframe.signing.envelope import verify_statement
from headframe.signing.trust import Signer, Trust

APPROVAL = "approval"  # the kind of statement that an approver signs; an entry of kind `approve` carries it


@dataclass(frozen=True)
class Approval:
    """What an approver signed: a statement of its own, so that it can be signed on another machine than it is recorded.

    Attributes:
        model: name in the registry.
        version: which is approved.
        bundle: sha256 of its model.
        report: sha256 of the gate report that the approval is based on.
        signature: sha256 of its author's signed statement about all files of the model, code included.
        reason: why.
        time: when, by the approver's clock.
        expires: until when it counts, by the same clock.
        signer: who.
        digest: sha256 of the signed statement.
        envelope: the signed statement.
    """

    model: str
    version: int
    bundle: str
    report: str
    signature: str
    reason: str
    time: str
    expires: str
    signer: Signer
    digest: str
    envelope: str


class ApprovalSummary(Record):
    """What people read of an approval.

    Attributes:
        by: name of the approver.
        reason: why.
        time: UTC, ISO 8601.
        expires: until when it counts.
        report: sha256 of the gate report that it is based on.
    """

    by: str
    reason: str
    time: str
    expires: str
    report: str

    @classmethod
    def of(cls, approval: Approval) -> ApprovalSummary:
        """Return the summary of an approval."""
        return cls(
            by=approval.signer.name,
            reason=approval.reason,
            time=approval.time,
            expires=approval.expires,
            report=approval.report,
        )


def read_approval(envelope: str, trust: Trust) -> Approval:
    """Check an approver's signature and return the approval.

    Raises:
        Refused: it is no approval, its signer is not trusted, it was changed, or something is missing.
    """
    opened = verify_statement(envelope, APPROVAL, trust)
    content = {**opened.payload, **{name: opened.subjects.get(name) for name in JUDGED}}
    texts = ("model", *JUDGED, "reason", "time", "expires")
    missing = [name for name in texts if not isinstance(content.get(name), str)]
    missing += [] if type(content.get("version")) is int else ["version"]
    missing += [name for name in ("time", "expires") if name not in missing and not _is_time(content[name])]
    if missing:
        msg = (
            f"it has no valid {', '.join(missing)}, so it was not made by headframe; "
            "ask for one with: headframe models approve NAME/VERSION"
        )
        raise Refused(msg)
    return Approval(
        **{name: content[name] for name in (*texts, "version")},
        signer=opened.signer,
        digest=hashlib.sha256(envelope.encode()).hexdigest(),
        envelope=envelope,
    )


def _is_time(text: object) -> bool:
    try:
        parse_time(str(text))
    except ValueError:
        return False
    return True
