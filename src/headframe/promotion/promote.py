"""Promotion of a version to champion: everything proven of it is checked again at that moment."""

from typing import Any

from headframe.errors import refuse_if
from headframe.gates.stored_report import fetch_report
from headframe.ledger.entries import Entry, champion_entry
from headframe.promotion.rules import (
    objections,
    require_gated,
    require_role,
    unlisted_people,
    valid_approvals,
)
from headframe.promotion.service import LedgerAction, PromotionService, require_challenger, require_same
from headframe.registry.versions import ModelVersion
from headframe.signing.keys import SigningKey


def promote(version: ModelVersion, service: PromotionService, key: SigningKey, reason: str = "") -> LedgerAction:
    """Make a version champion: write the entry, then set MLflow's alias.

    Raises:
        Refused: the signer may not; the version is not gated against the present champion by the gates in force, not
            approved, or rejected; its files, its report or the report's page are not what was signed.
        Unavailable: MLflow does not respond.
    """
    signer = require_role(service.trust, key, "promote")
    refuse_if(unlisted_people(service.promotion, service.trust))
    service.warn_of_alias_mismatch(version.model)

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present = champion_entry(entries)
        require_challenger(version, present, "there is nothing to promote")
        files = service.version_files(version)
        rules = service.rules(files.author, entries)
        gated = require_gated(version, entries, rules)
        report = fetch_report(version, gated.digests, service.uri)
        require_same(version, files, gated)
        refuse_if(next(iter(objections(entries, report, gated, rules)), None))
        approvals, _ = valid_approvals(entries, gated, rules)
        message = f"{version.model} version {version.number} is champion: {reason.strip() or report.reason}"
        return version.number, {
            "from": present.version if present else None,
            "to": version.number,
            "reason": reason.strip(),
            "gate_reason": report.reason,
            "message": message,
            "policy": service.promotion.policy,
            "gate_entry": gated.number,
            "approvals": [each.digest for each in approvals],
            "author": files.author.name,
            "commit": gated.payload["commit"],
            "digests": gated.digests,
        }

    entry = service.append(version.model, "promote", key, build)
    before = entry.payload["from"]
    instead = f"in place of version {before}" if before is not None else "the first one"
    return LedgerAction.of(entry, f"{entry.payload['message']} ({instead}, promoted by {signer.name})")
