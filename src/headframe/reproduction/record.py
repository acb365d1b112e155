"""Record a verdict: a signed entry in the ledger, the whole report in the version's run, tags of the version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from headframe.config.plan.plan import Plan
from headframe.errors import Refused
from headframe.reproduction.report import Reproduction
from headframe.signing.keys import SigningKey, own_key
from headframe.signing.trust import Trust
from headframe.tracking import tags
from headframe.tracking.client import open_client

FOLDER = "reproductions"
NAME_DIGITS = 16  # of a report's sha256 that name its file


@dataclass(frozen=True)
class VerdictSigner:
    """A person whose signature under a verdict counts.

    Attributes:
        key: to sign with.
        trust: whose signatures count.
    """

    key: SigningKey
    trust: Trust

    @classmethod
    def find(cls, plan: Plan, name: str | None) -> VerdictSigner:
        """Find the key and check its role, before anything long is done.

        Raises:
            ConfigurationError: there is no such key, or there are several and none is named.
            Refused: the team does not list it as an author's or an approver's, or only until now.
        """
        key = own_key(name)
        trust = Trust.of(plan.team)
        signer = trust.signers.get(key.public)
        if signer is None or not {"author", "approver"} & set(signer.roles):
            who = f"key {key.name!r} is not listed" if signer is None else f"{signer.name} is listed as reader only"
            msg = (
                f"{who} in conf/team/, but a verdict is signed by an author or approver; compare only with --no-record"
            )
            raise Refused(msg)
        left = signer.expired(datetime.now(UTC))
        if left is not None:
            msg = f"{left}, so it signs nothing new; compare only with --no-record"
            raise Refused(msg)
        return cls(key, trust)


def record_verdict(found: Reproduction, plan: Plan, uri: str, root: Path, signer: VerdictSigner) -> Reproduction:
    """Sign a verdict and store it.

    Args:
        found: the verdict.
        plan: names the ledger.
        uri: MLflow's address.
        root: the project's folder.
        signer: of the entry.

    Returns:
        The same with the digest of its entry.

    Raises:
        Refused: the ledger is broken.
        HeadframeError: ledger or registry cannot be written.
    """
    from headframe.promotion.service import PromotionService  # noqa: PLC0415 - sqlalchemy; --no-record needs none

    text = found.model_dump_json(indent=2) + "\n"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    service = PromotionService(plan.promotion, signer.trust, uri, root)
    version = service.version(found.model, found.version)
    with open_client(uri) as client:
        client.log_text(version.run_id, text, f"{FOLDER}/{sha256[:NAME_DIGITS]}.json")
    payload = {
        "verdict": found.verdict,
        "first_difference": found.first_difference,
        "reason": found.reason,
        # Of what was compared, whatever the tags say by now.
        "digests": {
            **service.registered_digests(version),
            "bundle": found.bundle,
            "provenance": found.provenance,
            "report": sha256,
        },
    }
    entry = service.append(found.model, "reproduce", signer.key, lambda _: (found.version, payload))
    with open_client(uri) as client:
        for tag, value in (
            (tags.REPRODUCED, found.verdict),
            (tags.REPRODUCED_ENTRY, f"{entry.number} {entry.digest}"),
        ):
            client.set_model_version_tag(version.model, str(version.number), tag, value)
    return found.model_copy(update={"entry": entry.digest})
