"""Approvals and rejections of a version."""

import secrets
from datetime import timedelta
from typing import Any

from headframe.errors import Refused, refuse_if
from headframe.gates.stored_report import fetch_report
from headframe.ledger.entries import Entry, champion_entry, format_time
from headframe.ledger.rules import GATED_DIGESTS
from headframe.promotion.approvals import APPROVAL, read_approval
from headframe.promotion.rules import (
    PromotionRules,
    approval_problem,
    author_left,
    four_eyes_problem,
    require_gated,
    require_reason,
    require_role,
    role_problem,
    unlisted_people,
)
from headframe.promotion.service import LedgerAction, PromotionService, require_same
from headframe.registry.versions import ModelVersion
from headframe.signing.envelope import sign_statement
from headframe.signing.keys import SigningKey


def sign_approval(version: ModelVersion, reason: str, service: PromotionService, key: SigningKey) -> str:
    """Sign an approval of a version, and record nothing.

    It binds to the model and to the last report of its gates, and expires after the policy's days.

    Returns:
        The signed statement, as `record_approval` takes it.

    Raises:
        ConfigurationError: there is no reason.
        Refused: the signer may not, the version has not passed its gates against the present champion, or was gated
            by its author where the policy asks for four eyes.
    """
    reason = require_reason(reason, "approve")
    approver = require_role(service.trust, key, "approve")
    refuse_if(unlisted_people(service.promotion, service.trust))
    entries = service.current_entries(version.model)
    files = service.version_files(version)
    rules = service.rules(files.author, entries)
    refuse_if(four_eyes_problem(approver, f"{version.model}/{version.number}", rules))
    gated = _require_passed(version, entries, rules)
    require_same(version, files, gated)
    fetch_report(version, gated.digests, service.uri)  # which the approver has read; it must be what was signed
    payload = {
        "model": version.model,
        "version": version.number,
        "reason": reason,
        "time": format_time(rules.time),
        "expires": format_time(rules.time + timedelta(days=service.promotion.approvals.days)),
        "ledger": entries[0].digest,
        "id": secrets.token_hex(16),  # distinguishes a second approval in the same second from a copy
    }
    return sign_statement(APPROVAL, {name: gated.digests[name] for name in GATED_DIGESTS}, payload, key)


def approve(version: ModelVersion, reason: str, service: PromotionService, key: SigningKey) -> LedgerAction:
    """Approve a version and record it; see `sign_approval`."""
    return record_approval(version, sign_approval(version, reason, service, key), service, key)


def record_approval(version: ModelVersion, envelope: str, service: PromotionService, key: SigningKey) -> LedgerAction:
    """Record an approval of a version, as `sign_approval` returns it; the key is of the person who records it.

    Raises:
        Refused: it does not hold: signature, role, four eyes, term, the version, its model, its gate report; or it
            was recorded before.
    """
    require_role(service.trust, key, "record")
    refuse_if(unlisted_people(service.promotion, service.trust))
    name = f"{version.model}/{version.number}"
    try:
        given = read_approval(envelope.strip(), service.trust)
    except Refused as error:
        raise Refused(f"this approval of {name} is refused: {error}") from error
    refuse_if(role_problem(given.signer, "approve"))
    service.project_pending(version.model)
    files = service.version_files(version)

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        rules = service.rules(files.author, entries)
        gated = _require_passed(version, entries, rules)
        require_same(version, files, gated)
        problem = approval_problem(given, rules.time, gated, rules, entries[0])
        recorded = [
            each.number for each in entries if each.kind == "approve" and each.payload["approval"] == given.envelope
        ]
        if recorded:
            problem = problem or f"it was recorded before, as entry {recorded[0]}; an approval counts once"
        if problem is not None:
            msg = f"the approval by {given.signer.name} does not count for {name}: {problem}"
            raise Refused(f"{msg}; ask for one of {name} as it is now: headframe models approve {name}")
        about = {name: getattr(given, name) for name in GATED_DIGESTS}
        return version.number, {"approval": given.envelope, "approver": given.signer.name, "digests": about}

    entry = service.append(version.model, "approve", key, build)
    approved = f"{version.model} version {version.number} is approved by {given.signer.name}"
    return LedgerAction.of(entry, f"{approved}: {given.reason}; until {given.expires}")


def reject(version: ModelVersion, reason: str, service: PromotionService, key: SigningKey) -> LedgerAction:
    """Record that a version must not become champion.

    Raises:
        ConfigurationError: there is no reason.
        Refused: the signer may not, or the version is the champion.
    """
    reason = require_reason(reason, "reject")
    signer = require_role(service.trust, key, "reject")
    service.project_pending(version.model)
    name = f"{version.model} version {version.number}"

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present = champion_entry(entries)
        if present is not None and present.version == version.number:
            msg = f"{name} is the champion; roll back to another with: headframe models rollback {version.model}"
            raise Refused(msg)
        return version.number, {"reason": reason, "digests": service.registered_digests(version)}

    entry = service.append(version.model, "reject", key, build)
    return LedgerAction.of(entry, f"{name} is rejected by {signer.name}: {reason}")


def _require_passed(version: ModelVersion, entries: tuple[Entry, ...], rules: PromotionRules) -> Entry:
    """Return the last entry that counts about the gates of a version, which passed them."""
    name = f"{version.model}/{version.number}"
    refuse_if(author_left(name, rules))
    gated = require_gated(version, entries, rules)
    if not gated.payload["passed"]:
        raise Refused(f"{name} did not pass its gates ({gated.payload['reason']}), so there is nothing to approve")
    return gated
