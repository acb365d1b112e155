"""Checks of single promotions: report, model files, and whether the policy and the roles in force allow them."""

from __future__ import annotations

from collections.abc import Sequence

from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.report import GateReport
from headframe.ledger.entries import Entry, parse_time
from headframe.promotion.rules import ALLOWED_ROLES, Author, PromotionRules, objections, valid_gate_entry
from headframe.promotion.service import PromotionService, VersionFiles, read_files, require_same
from headframe.registry.versions import fetch_signature, signed_files
from headframe.tracking import layout


def signed_report(gate_entry: Entry, service: PromotionService) -> GateReport:
    """Fetch the report that an entry about gates is about.

    Raises:
        Refused: it or its page is not what was signed.
    """
    from headframe.promotion.gate_reports import StoredReport, fetch_report, require_stored_page  # noqa: PLC0415 - the report's page is heavy

    version = service.version(gate_entry.model, gate_entry.version)
    digests = gate_entry.digests
    report = fetch_report(version, digests["report"], service.uri)
    require_stored_page(version, StoredReport(digests["report"], digests.get("page", "")), service.uri)
    return report


def champion_files(entry: Entry, service: PromotionService) -> VersionFiles:
    """Check the files of a champion, and the copies in MLflow of what its author signed.

    Args:
        entry: that made it champion.
        service: the people and the registry.

    Raises:
        Refused: they are not what was promoted, or not what was signed.
    """
    from headframe.registry.listing import run_artifacts  # noqa: PLC0415 - imports numpy
    from headframe.registry.signed_record import read_signed_provenance, require_signed_bytes, require_signed_tags  # noqa: PLC0415

    version = service.version(entry.model, entry.version)
    with (
        signed_files(version, service.uri, service.trust) as (folder, signed),
        run_artifacts(version, service.uri) as fetch,
    ):
        files = read_files(folder, signed)
        require_same(version, files, entry)
        require_signed_tags(version, signed)
        provenance = read_signed_provenance(fetch(layout.PROVENANCE), version, signed)
        name = layout.validation_report(provenance.data.validated.report)
        require_signed_bytes(fetch(name), "validated", name, version, signed)
    return files


def promotion_problems(entries: Sequence[Entry], entry: Entry, service: PromotionService) -> list[str]:
    """Return why a version should not have become champion, by the policy and the roles in force now.

    Only the signature of its model files is checked: their bytes are checked when they are loaded.

    Args:
        entries: of the ledger, all of them.
        entry: one of them that made a version champion.
        service: the policy in force, the people and the registry.

    Returns:
        A sentence without a full stop for each reason; none where it is valid.

    Raises:
        Unavailable: MLflow does not answer.
    """
    try:
        version = service.version(entry.model, entry.version)
        report = signed_report(grounds(entries, entry)[1], service)
        signed = fetch_signature(version, service.uri, service.trust)
    except Unavailable:
        raise
    except HeadframeError as error:
        return [*role_problems(entry, service), f"{entry.label}: {error}"]
    found = policy_problems(entries, entry, report, Author(signed.signer.name, signed.signer.key), service)
    promoted = entry.digests["signature"]
    if signed.digest != promoted:
        found.append(
            f"{entry.label} is about model files with the signature {promoted[:12]}, but those of "
            f"{entry.model}/{entry.version} have {signed.digest[:12]}; restore the files from a copy"
        )
    return found


def require_former_champion(promoted: Entry, entries: Sequence[Entry], service: PromotionService) -> None:
    """Check that a former champion may be champion again: everything that `verify` checks of it alone.

    Args:
        promoted: the entry that made it champion.
        entries: of the ledger, whose chain and end were checked.
        service: the policy in force, the people and the registry.

    Raises:
        Refused: its report, the report's page or its files are not what was signed, or its promotion does not satisfy
            the policy.
        Unavailable: MLflow does not answer.
    """
    name = f"{promoted.model}/{promoted.version}"
    try:
        champion_files(promoted, service)
        problems = promotion_problems(entries, promoted, service)
    except Refused as error:
        msg = f"{name} cannot become champion again: {promoted.label}: {error}"
        raise Refused(msg) from error
    if problems:
        msg = f"{name} cannot become champion again: {problems[0]}"
        raise Refused(msg)


def grounds(entries: Sequence[Entry], entry: Entry) -> tuple[Entry, Entry]:
    """Return the promotion that a champion's entry rests on, and the entry about its gates."""
    promoted = entry if entry.kind == "promote" else entries[int(entry.payload["promote_entry"]) - 1]
    return promoted, entries[int(promoted.payload["gate_entry"]) - 1]


def role_problems(entry: Entry, service: PromotionService) -> list[str]:
    """Return why the signer of an entry may not make a version champion; empty where they may."""
    signer = service.trust.signers[entry.key]
    if set(ALLOWED_ROLES[entry.kind]) & set(signer.roles):
        return []
    who = f"{entry.label} was signed by {signer.name}, who is {' and '.join(signer.roles)} in conf/team/"
    return [f"{who}; have an approver roll back, or promote another version"]


def policy_problems(
    entries: Sequence[Entry], entry: Entry, report: GateReport, author: Author, service: PromotionService
) -> list[str]:
    """Return why a promotion does not satisfy the policy and the roles in force, with its report at hand.

    Args:
        entries: of the ledger, all of them.
        entry: one of them that made a version champion.
        report: of its gates.
        author: of its files.
        service: the policy in force and the people.
    """
    promoted, gated = grounds(entries, entry)
    before = entries[: promoted.number - 1]
    rules = PromotionRules(service.promotion, service.trust, author, parse_time(promoted.time))
    found = objections(before, report, gated, rules)
    last = valid_gate_entry(before, promoted.version, rules)
    if last is not None and last.number > gated.number:
        found.append(f"it refers to {gated.label}, though {last.label} came after it")
    for what, later, ground in (("gates", promoted, gated), ("promotion", entry, promoted)):
        if later.digests != ground.digests:
            found.append(f"{later.label} is about other files than {ground.label}, the {what} that it rests on")
    signers = [*role_problems(entry, service), *(role_problems(promoted, service) if promoted is not entry else [])]
    policy = service.promotion.policy
    return [*signers, *(f"{promoted.label} does not satisfy policy {policy}: {objection}" for objection in found)]
