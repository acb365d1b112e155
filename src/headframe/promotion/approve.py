"""Approvals and rejections of a version."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from headframe.errors import Refused
from headframe.ledger.entries import Entry, champion_entry, format_time, parse_time
from headframe.ledger.rules import JUDGED, entries_since_champion, last_gate_entry
from headframe.promotion.approvals import APPROVAL, Approval, read_approval
from headframe.promotion.rules import (
    PromotionRules,
    gate_entry_problem,
    other_subject,
    require_active_author,
    require_four_eyes,
    require_listed_people,
    require_reason,
    require_role,
    valid_gate_entry,
)
from headframe.promotion.service import LedgerAction, PromotionService, require_same, to_action
from headframe.registry.versions import ModelVersion
from headframe.signing.envelope import sign_statement
from headframe.signing.keys import OwnKey


def sign_approval(version: ModelVersion, reason: str, service: PromotionService, key: OwnKey) -> str:
    """Sign an approval of a version, and record nothing.

    It binds to the model and to the last report of its gates, and expires after the policy's days.

    Returns:
        The signed statement, as `record_approval` takes it.

    Raises:
        ConfigurationError: there is no reason.
        Refused: the signer may not, the version has not passed its gates against the present champion, or was gated
            by its author where the policy asks for four eyes.
    """
    from headframe.promotion.gate_reports import StoredReport, fetch_report, require_stored_page  # noqa: PLC0415 - the report's page is heavy

    reason = require_reason(reason, "approve")
    approver = require_role(service.trust, key, "approve")
    require_listed_people(service.promotion, service.trust)
    entries = service.current_entries(version.model)
    files = service.version_files(version)
    require_four_eyes(approver, files.author, f"{version.model}/{version.number}", service.promotion)
    time = service.time(entries)
    gated = _require_gated(version, entries, PromotionRules(service.promotion, service.trust, files.author, time))
    require_same(version, files, gated)
    # The approver has read the report and its page; both must be what was signed:
    fetch_report(version, gated.digests["report"], service.uri)
    require_stored_page(version, StoredReport(gated.digests["report"], gated.digests.get("page", "")), service.uri)
    payload = {
        "model": version.model,
        "version": version.number,
        "reason": reason,
        "time": format_time(time),
        "expires": format_time(time + timedelta(days=service.promotion.approvals.days)),
        "id": secrets.token_hex(16),  # distinguishes a second approval in the same second from a copy
    }
    return sign_statement(APPROVAL, {name: gated.digests[name] for name in JUDGED}, payload, key)


def approve(version: ModelVersion, reason: str, service: PromotionService, key: OwnKey) -> LedgerAction:
    """Approve a version and record it; see `sign_approval`."""
    return record_approval(version, sign_approval(version, reason, service, key), service, key)


def record_approval(version: ModelVersion, envelope: str, service: PromotionService, key: OwnKey) -> LedgerAction:
    """Record an approval that was signed elsewhere.

    Args:
        version: which it must be about.
        envelope: as `sign_approval` returns it.
        service: where it is recorded.
        key: of the person who records it, not of the approver.

    Raises:
        Refused: it does not hold: signature, role, four eyes, term, the version, its model, its gate report; or it
            was recorded before.
    """
    require_role(service.trust, key, "record")
    require_listed_people(service.promotion, service.trust)
    name = f"{version.model}/{version.number}"
    try:
        given = read_approval(envelope.strip(), service.trust)
    except Refused as error:
        msg = f"this approval of {name} is refused: {error}"
        raise Refused(msg) from error
    require_approver(given)
    service.project_pending(version.model)
    files = service.version_files(version)
    require_four_eyes(given.signer, files.author, name, service.promotion)

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        rules = PromotionRules(service.promotion, service.trust, files.author, service.time(entries))
        gated = _require_gated(version, entries, rules)
        require_same(version, files, gated)
        _require_fit(given, gated, entries, rules)
        about = {name: getattr(given, name) for name in JUDGED}
        return version.number, {"approval": given.envelope, "approver": given.signer.name, "digests": about}

    entry = service.append(version.model, "approve", key, build)
    name = f"{version.model} version {version.number}"
    message = f"{name} is approved by {given.signer.name}: {given.reason}; until {given.expires}"
    return to_action(entry, message)


def reject(version: ModelVersion, reason: str, service: PromotionService, key: OwnKey) -> LedgerAction:
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
    return to_action(entry, f"{name} is rejected by {signer.name}: {reason}")


def require_approver(given: Approval) -> None:
    """Check that the signer of an approval may approve.

    Raises:
        Refused: they may not.
    """
    if "approver" not in given.signer.roles:
        msg = (
            f"{given.signer.name} is {' and '.join(given.signer.roles)} in conf/team/, and to approve takes role "
            "approver; ask a person who has it"
        )
        raise Refused(msg)


def _require_gated(version: ModelVersion, entries: tuple[Entry, ...], rules: PromotionRules) -> Entry:
    """Return the last entry about the gates of a version that counts; it passed them against the present champion."""
    name = f"{version.model}/{version.number}"
    require_active_author(name, rules)
    gated = valid_gate_entry(entries_since_champion(entries), version.number, rules)
    last = last_gate_entry(entries_since_champion(entries), version.number)
    if gated is None and last is not None:
        raise Refused(gate_entry_problem(last, rules))
    if gated is None:
        present = champion_entry(entries)
        since = f"since version {present.version} became champion ({present.label})" if present else "yet"
        msg = f"{name} was not checked against its gates {since}; do it with: headframe models gate {name}"
        raise Refused(msg)
    if not gated.payload["passed"]:
        msg = f"{name} did not pass its gates ({gated.payload['reason']}), so there is nothing to approve"
        raise Refused(msg)
    return gated


def _require_fit(given: Approval, gated: Entry, entries: tuple[Entry, ...], rules: PromotionRules) -> None:
    name = f"{gated.model}/{gated.version}"
    if (given.model, given.version) != (gated.model, gated.version):
        about = f"{given.model}/{given.version}"
        msg = f"this approval is for {about}, so it does not count for {name}; ask for one of {name}"
        raise Refused(msg)
    by = f"the approval by {given.signer.name}"
    advice = f"ask for one of {name} as it is now: headframe models approve {name}"
    other = other_subject(given, gated)
    if other is not None:
        msg = f"{by} is for another {other} of {name} than {gated.label}; {advice}"
        raise Refused(msg)
    if rules.time >= parse_time(given.expires):
        msg = f"{by} expired at {given.expires}; {advice}"
        raise Refused(msg)
    left = given.signer.expired(rules.time)
    if left is not None:
        msg = f"{by} comes too late: {left}; {advice}"
        raise Refused(msg)
    for entry in entries:
        if entry.kind == "approve" and entry.payload["approval"] == given.envelope:
            msg = f"{by} was recorded before, as entry {entry.number}; an approval counts once"
            raise Refused(msg)
