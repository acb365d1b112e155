"""Decision about a registered version: run its gates, and promote it if the policy asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.errors import HeadframeError, Refused, Unavailable, refuse_if
from headframe.gates.judge import judge_version
from headframe.gates.report import GateReport
from headframe.ledger.entries import champion_entry
from headframe.permissions import require_own
from headframe.places import Places
from headframe.promotion.rules import requires_others
from headframe.records import Decision, RegisteredPlan
from headframe.registry.versions import ModelVersion, champion_number, is_intact
from headframe.signing.keys import own_key
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    from headframe.promotion.service import PromotionService

NOT_COMPARABLE = "not comparable"
"""Verdict of the gate `better` where the champion could not predict."""


def decide(
    promotion: PromotionConfig,
    team: TeamConfig,
    result: RegisteredPlan,
    registry: str,  # noqa: ARG001 - part of the step's key: another registry is another decision
    places: Places,
) -> Decision:
    """Run the gates of the plan's policy on a version, and make it champion if they and the policy allow it.

    Returns:
        The decision. A refused version is no error here; the flow reports it.

    Raises:
        Refused: the signer may not, the alias was moved without the ledger, or a record that the decision rests on is
            not what was signed.
        HeadframeError: MLflow or the ledger cannot be reached or written, or others can write to the project.
    """
    from headframe.promotion.promote import promote  # noqa: PLC0415 - SQLAlchemy, which no stored decision needs
    from headframe.promotion.run_gates import run_gates  # noqa: PLC0415 - as this
    from headframe.promotion.service import PromotionService, alias_mismatch  # noqa: PLC0415 - as this

    require_own(places.root)
    key = own_key()
    uri = places.tracking_uri
    service = PromotionService(promotion, Trust.of(team), uri, places.root)
    model, number = result.registered.model, result.registered.version
    version = service.version(model, number)
    entries = service.current_entries(model)
    refuse_if(alias_mismatch(model, entries, uri))
    present = champion_entry(entries)
    if present is not None and present.version == number:
        return _decide_champion(version, service)
    who = f"{model} version {number}"
    gated = run_gates(version, service, key)
    report = gated.report
    unusable = _unusable(service, report)
    stays = f"version {report.champion} stays champion{unusable}" if report.champion else "there is still no champion"
    if not report.passed:
        reason = f"{who} is refused: {report.reason}; {stays}"
        return _decision(report, report.champion, "refused", reason, not unusable)
    needed = promotion.approvals.needed
    if needed:
        many = "an approval" if needed == 1 else f"{needed} approvals"
        how = f"headframe models approve {model}/{number} --reason WHY"
        if gated.signer == gated.author and requires_others(promotion):
            many = f"others, who run them too and give {many}"
            how = f"headframe models gate {model}/{number}; {how}"
        reason = f"{who} has passed its {len(report.results)} gates and waits for {many} ({how}); {stays}"
        return _decision(report, report.champion, "challenger", reason, not unusable)
    try:
        promote(version, service, key)
    except Refused as error:  # another version was promoted first, or this one was rejected
        return _decision(report, champion_number(model, uri), "refused", f"{who} is refused: {error}")
    return _decision(report, number, "champion", f"{who} becomes champion: {report.reason}")


def _decide_champion(version: ModelVersion, service: PromotionService) -> Decision:
    """Run the gates that need no comparison on the champion itself; it stays champion whatever they find."""
    entries, files = service.entries(version.model), service.version_files(version)
    report = judge_version(service.gate_request(version, None, entries, files))
    reason = f"{version.model} version {version.number} is the champion already"
    if report.passed:
        return _decision(report, version.number, "champion", reason)
    reason += f" and stays it, since gates demote no champion, but would be refused: {report.reason}"
    return _decision(report, version.number, "refused", reason)


def _unusable(service: PromotionService, report: GateReport) -> str:
    """Return, as the end of a sentence, that the present champion is unusable; empty where it is usable, or none is."""
    if report.champion is None:
        return ""
    try:
        service.version_files(service.version(report.model, report.champion))
    except Unavailable:
        raise
    except HeadframeError as error:
        return f", but it is unusable ({error}); the command that trained it writes its files again"
    return ""


def _decision(
    report: GateReport,
    champion: int | None,
    state: Literal["champion", "challenger", "refused"],
    reason: str,
    healthy: bool = True,
) -> Decision:
    return Decision(
        model=report.model,
        version=report.version,
        champion=champion,
        state=state,
        comparable=healthy and all(result.verdict != NOT_COMPARABLE for result in report.results),
        reason=reason,
    )


def is_in_force(decision: Decision, team: TeamConfig, places: Places) -> bool:
    """Return whether a stored decision still holds: its champion is still champion, and its files are unchanged.

    Where that is not known the decision is made again, as where the champion could not predict: it may be repaired.
    """
    uri = places.tracking_uri
    if not decision.comparable or champion_number(decision.model, uri) != decision.champion:
        return False
    if decision.champion is None or decision.champion == decision.version:
        return True
    return is_intact(decision.model, decision.champion, uri, Trust.of(team)) is True
