"""Checks of single promotions: report, model files, and whether the policy and the roles in force allow them."""

from collections.abc import Sequence

from headframe.errors import HeadframeError, Unavailable
from headframe.evaluation.layout import METRICS, SLICES
from headframe.gates.report import GateReport
from headframe.gates.stored_report import fetch_report
from headframe.ledger.entries import Entry, parse_time
from headframe.ledger.rules import grounds
from headframe.promotion.rules import PromotionRules, VersionIdentity, has_role, objections, valid_gate_entry
from headframe.promotion.service import PromotionService, read_files, require_same
from headframe.registry.compare_signed import (
    read_signed_json,
    read_signed_provenance,
    require_signed_bytes,
    require_signed_metric,
    require_signed_tags,
)
from headframe.registry.listing import artifact_reader
from headframe.registry.versions import fetch_signature, signed_files
from headframe.signing.trust import Signer
from headframe.tracking import layout


def signed_report(gated: Entry, service: PromotionService) -> GateReport:
    """Fetch the report that an entry about gates is about, as it was signed."""
    return fetch_report(service.version(gated.model, gated.version), gated.digests, service.uri)


def champion_files(entry: Entry, service: PromotionService) -> VersionIdentity:
    """Check the files of the champion that an entry made, and the copies in MLflow of what its author signed.

    Raises:
        Refused: they are not what was promoted, or not what was signed.
    """
    version = service.version(entry.model, entry.version)
    with signed_files(version, service.uri, service.trust) as (folder, signed):
        fetch = artifact_reader(version, service.uri)
        files = read_files(folder, signed)
        require_same(version, files, entry)
        require_signed_tags(version, signed)
        provenance = read_signed_provenance(fetch(layout.PROVENANCE), version, signed)
        require_signed_metric(version, provenance)
        read_signed_json(fetch(layout.PLAN), version, signed)
        copies = {
            "validated": layout.validation_report(provenance.data.validated.report),
            "predictions": layout.PREDICTIONS,
            "evaluated": f"{layout.EVALUATION}/{METRICS}",
            "slices": f"{layout.EVALUATION}/{SLICES}",
        }
        for name, file in copies.items():
            require_signed_bytes(fetch(file), name, file, version, signed)
    return files


def promotion_problems(entries: Sequence[Entry], entry: Entry, service: PromotionService) -> list[str]:
    """Return why an entry should not have made a version champion, by the policy and the roles in force now.

    Only the signature of its model files is checked: their bytes are checked when they are loaded.

    Returns:
        A sentence without a full stop for each reason; none where it is valid.

    Raises:
        Unavailable: MLflow does not respond.
    """
    try:
        version = service.version(entry.model, entry.version)
        report = signed_report(grounds(entries, entry)[1], service)
        signed = fetch_signature(version, service.uri, service.trust)
    except Unavailable:
        raise
    except HeadframeError as error:
        return [*role_problems(entry, service), f"{entry.label}: {error}"]
    found = policy_problems(entries, entry, report, signed.signer, service)
    promoted = entry.digests["signature"]
    if signed.digest != promoted:
        found.append(
            f"{entry.label} is about model files with the signature {promoted[:12]}, but those of "
            f"{entry.model}/{entry.version} have {signed.digest[:12]}; restore the files from a copy"
        )
    return found


def role_problems(entry: Entry, service: PromotionService) -> list[str]:
    """Return why the signer of an entry may not make a version champion; empty where they may."""
    signer = service.trust.signers[entry.key]
    if has_role(signer, entry.kind):
        return []
    who = f"{entry.label} was signed by {signer.name}, who is {' and '.join(signer.roles)} in conf/team/"
    return [f"{who}; have an approver roll back, or promote another version"]


def policy_problems(
    entries: Sequence[Entry], entry: Entry, report: GateReport, author: Signer, service: PromotionService
) -> list[str]:
    """Return why a promotion does not satisfy the policy and the roles in force, with its report at hand."""
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
