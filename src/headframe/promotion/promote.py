"""Promotion of a version to champion: everything proven of it is checked again at that moment."""

from __future__ import annotations

from typing import Any

from headframe.errors import Refused
from headframe.ledger.entries import Entry, champion_entry
from headframe.ledger.rules import last_gate_entry
from headframe.promotion.rules import (
    PromotionRules,
    gate_entry_problem,
    objections,
    require_listed_people,
    require_role,
    stale_gate_problem,
    valid_approvals,
    valid_gate_entry,
)
from headframe.promotion.service import LedgerAction, PromotionService, require_challenger, require_same, to_action
from headframe.registry.versions import ModelVersion
from headframe.signing.keys import OwnKey


def promote(version: ModelVersion, service: PromotionService, key: OwnKey, reason: str = "") -> LedgerAction:
    """Make a version champion: write the entry, then set MLflow's alias.

    Raises:
        Refused: the signer may not; the version is not gated against the present champion by the gates in force, not
            approved, or rejected; its files or its report are not what was signed.
        Unavailable: MLflow does not answer.
    """
    from headframe.promotion.gate_reports import fetch_report  # noqa: PLC0415 - the report's page is heavy

    signer = require_role(service.trust, key, "promote")
    require_listed_people(service.promotion, service.trust)
    service.warn_of_alias_mismatch(version.model, service.current_entries(version.model))

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present = champion_entry(entries)
        require_challenger(version, present, "there is nothing to promote")
        files = service.version_files(version)
        rules = PromotionRules(service.promotion, service.trust, files.author, service.time(entries))
        gated = _require_gated(version, entries, rules)
        report = fetch_report(version, gated.digests["report"], service.uri)
        require_same(version, files, gated)
        problems = objections(entries, report, gated, rules)
        if problems:
            raise Refused(problems[0])
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
    return to_action(entry, f"{entry.payload['message']} ({instead}, promoted by {signer.name})")


def _require_gated(version: ModelVersion, entries: tuple[Entry, ...], rules: PromotionRules) -> Entry:
    """Return the last entry about the gates of a version that counts, which must be later than the champion's."""
    name = f"{version.model}/{version.number}"
    gated = valid_gate_entry(entries, version.number, rules)
    last = last_gate_entry(entries, version.number)
    if last is None:
        msg = f"{name} was never checked against its gates; do it with: headframe models gate {name}"
        raise Refused(msg)
    problem = gate_entry_problem(last, rules) if gated is None else stale_gate_problem(entries, gated)
    if gated is None or problem is not None:
        raise Refused(problem)
    return gated
