"""Approvals: signed by an approver on any machine, recorded in the ledger, checked wherever they count."""

from dataclasses import dataclass

from headframe.digests import Record
from headframe.errors import Refused
from headframe.ledger.entries import envelope_digest, is_time
from headframe.ledger.rules import GATED_DIGESTS
from headframe.signing.envelope import verify_statement
from headframe.signing.trust import Signer, Trust

APPROVAL = "approval"  # the kind of statement that an approver signs; an entry of kind `approve` carries it


class ApprovalSummary(Record):
    """What people read of an approval."""

    by: str  # name of the approver
    reason: str
    time: str  # UTC, ISO 8601, by the approver's clock
    expires: str  # until when it counts
    report: str  # sha256 of the gate report that it is based on


@dataclass(frozen=True)
class Approval:
    """What an approver signed: a statement of its own, which may be recorded on another machine."""

    model: str
    version: int
    bundle: str  # sha256 of the version's model
    report: str  # sha256 of the gate report that the approval is based on
    signature: str  # sha256 of the author's signed statement about all files of the model, code included
    reason: str
    time: str  # by the approver's clock
    expires: str  # until when it counts, by the same clock
    ledger: str  # digest of the first entry of the ledger that it was given in; empty in old ones
    signer: Signer
    digest: str  # sha256 of the envelope
    envelope: str  # the signed statement

    @property
    def summary(self) -> ApprovalSummary:
        """What people read of it."""
        return ApprovalSummary(
            by=self.signer.name, reason=self.reason, time=self.time, expires=self.expires, report=self.report
        )


def read_approval(envelope: str, trust: Trust) -> Approval:
    """Check an approver's signature and return the approval.

    Raises:
        Refused: it is no approval, its signer is not trusted, it was changed, or something is missing.
    """
    opened = verify_statement(envelope, APPROVAL, trust)
    content = {**opened.payload, **{name: opened.subjects.get(name) for name in GATED_DIGESTS}}
    texts = ("model", *GATED_DIGESTS, "reason", "time", "expires")
    missing = [name for name in texts if not isinstance(content.get(name), str)]
    missing += [] if type(content.get("version")) is int else ["version"]
    missing += [name for name in ("time", "expires") if name not in missing and not is_time(content[name])]
    if missing:
        raise Refused(
            f"it has no valid {', '.join(missing)}, so it was not made by headframe; "
            "ask for one with: headframe models approve NAME/VERSION"
        )
    return Approval(
        **{name: content[name] for name in (*texts, "version")},
        ledger=str(content.get("ledger", "")),
        signer=opened.signer,
        digest=envelope_digest(envelope),
        envelope=envelope,
    )
