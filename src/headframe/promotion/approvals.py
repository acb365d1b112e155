"""Approvals: signed by an approver on any machine, recorded in the ledger, checked wherever they count."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from headframe.errors import Refused
from headframe.ledger.entries import parse_time
from headframe.ledger.rules import JUDGED
from headframe.signing.envelope import unseal
from headframe.signing.trust import Signer, Trust

APPROVAL = "approval"  # the kind of statement that an approver signs; an entry of kind `approve` carries it


@dataclass(frozen=True)
class Approval:
    """What an approver signed: by itself, so that it can be signed on another machine than the one that records it.

    Attributes:
        model: name in the registry.
        version: which is approved.
        bundle: sha256 of its model.
        report: sha256 of the gate report that the approver goes by.
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


def read_approval(envelope: str, trust: Trust) -> Approval:
    """Check an approver's signature.

    Raises:
        Refused: it is no approval, nobody who is trusted signed it, it was changed, or it says too little.
    """
    opened = unseal(envelope, APPROVAL, trust)
    said = {**opened.claim, **{name: opened.subjects.get(name) for name in JUDGED}}
    texts = ("model", *JUDGED, "reason", "time", "expires")
    missing = [name for name in texts if not isinstance(said.get(name), str)]
    missing += [] if type(said.get("version")) is int else ["version"]
    missing += [name for name in ("time", "expires") if name not in missing and not _is_time(said[name])]
    if missing:
        msg = (
            f"it does not say {', '.join(missing)} as an approval does, so it was made by other means than headframe; "
            "ask for one with: headframe models approve NAME/VERSION"
        )
        raise Refused(msg)
    return Approval(
        **{name: said[name] for name in (*texts, "version")},
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
