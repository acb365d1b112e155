"""From a registered version to a decision: held against its gates, and made champion if nobody need be asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headframe.config.plan.plan import Plan
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.report import GateReport
from headframe.records import Decision, TrainedPlan
from headframe.registry.versions import ModelVersion, champion_number, is_intact
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    from headframe.promotion.service import PromotionService

NOT_COMPARABLE = "not comparable"
"""What the gate `better` says where the champion could not be asked."""


def decide(
    plan: Plan,
    result: TrainedPlan,
    uri: str,
    place: str,  # noqa: ARG001 - part of the stage's key: another registry is another decision
    root: Path,
) -> Decision:
    """Ask the gates of the plan's policy about a version, and make it champion if they and the policy let it.

    Args:
        plan: `promotion` says when, `team` whose word counts.
        result: the version.
        uri: MLflow's address.
        place: the same as it reads on any machine.
        root: the project's folder.

    Returns:
        The decision. That a version is refused is no error here; whoever runs the flow says so.

    Raises:
        Refused: whoever runs this may not, the alias was moved without the ledger, or a record that the decision
            rests on is not what was signed.
        HeadframeError: MLflow or the ledger cannot be reached or written.
    """
    from headframe.ledger.entries import champion_entry  # noqa: PLC0415
    from headframe.promotion.ask_gates import ask_gates  # noqa: PLC0415 - a kept decision needs none of these
    from headframe.promotion.promote import promote  # noqa: PLC0415
    from headframe.promotion.rules import requires_others  # noqa: PLC0415
    from headframe.promotion.service import PromotionService, alias_mismatch  # noqa: PLC0415
    from headframe.signing.keys import own_key  # noqa: PLC0415

    key = own_key()
    service = PromotionService(plan.promotion, Trust.of(plan.team), uri, root)
    model, number = result.registered.model, result.registered.version
    version = service.version(model, number)
    entries = service.current_entries(model)
    moved = alias_mismatch(model, entries, uri)
    if moved is not None:
        raise Refused(moved)
    present = champion_entry(entries)
    if present is not None and present.version == number:
        return _of_champion(version, service)
    who = f"{model} version {number}"
    asked = ask_gates(version, service, key)
    report = asked.report
    stays = "there is still no champion" if report.champion is None else f"version {report.champion} stays champion"
    ailing = _ailing(service, report)
    stays += ailing
    if not report.passed:
        return _decision(report, report.champion, "refused", f"{who} is refused: {report.reason}; {stays}", not ailing)
    needed = plan.promotion.approvals.needed
    if needed:
        many = "an approval" if needed == 1 else f"{needed} approvals"
        how = f"headframe models approve {model}/{number} --reason WHY"
        if asked.signer == asked.author and requires_others(plan.promotion):
            many = f"others, who ask them too and give {many}"
            how = f"headframe models gate {model}/{number}; {how}"
        passed = f"{who} has passed its {len(report.results)} gates and waits for {many}"
        how = f"({how})"
        return _decision(report, report.champion, "challenger", f"{passed} {how}; {stays}", not ailing)
    try:
        promote(version, service, key)
    except Refused as error:  # somebody else was faster, or rejected it
        return _decision(report, champion_number(model, uri), "refused", f"{who} is refused: {error}")
    return _decision(report, number, "champion", f"{who} becomes champion: {report.reason}")


def _of_champion(version: ModelVersion, service: PromotionService) -> Decision:
    """Hold the champion itself against what its policy asks of a version alone; whatever comes of it, it stays."""
    from headframe.gates.judge import judge_version  # noqa: PLC0415 - a kept decision needs none of these
    from headframe.gates.request import GateRequest  # noqa: PLC0415 - imports the registry
    from headframe.promotion.rules import reproduction_verdict  # noqa: PLC0415

    entries, files = service.entries(version.model), service.version_files(version)
    report = judge_version(
        GateRequest(
            version=version,
            champion=None,
            promotion=service.promotion,
            uri=service.uri,
            root=service.root,
            trust=service.trust,
            reproduced=reproduction_verdict(entries, version.number, files.bundle, files.author, service.promotion),
        )
    )
    reason = f"{version.model} version {version.number} is the champion already"
    if report.passed:
        return _decision(report, version.number, "champion", reason)
    reason += f" and stays it, since gates unseat no champion, but would be refused: {report.reason}"
    return _decision(report, version.number, "refused", reason)


def _ailing(service: PromotionService, report: GateReport) -> str:
    """Say, to be added to a sentence, that the champion that stays cannot answer; empty where it can, or none stays."""
    if report.champion is None:
        return ""
    try:
        service.version_files(service.version(report.model, report.champion))
    except Unavailable:
        raise
    except HeadframeError as error:
        return f", but it cannot answer ({error}); the command that trained it writes its files anew"
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


def still_champion(decision: Decision, uri: str, trust: Trust) -> bool:
    """Say whether a kept decision still holds: the champion that it left is champion, and unchanged where it decided.

    Where that is not known the decision is made anew, as where the champion could not be asked: it may be mended.
    """
    if not decision.comparable or champion_number(decision.model, uri) != decision.champion:
        return False
    if decision.champion is None or decision.champion == decision.version:
        return True
    return is_intact(decision.model, decision.champion, uri, trust) is True
