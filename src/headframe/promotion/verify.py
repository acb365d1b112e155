"""Verification of a model's ledger: chain, gate reports, model files, policy, and what MLflow has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import ValidationError

from headframe.config.plan.component import Component
from headframe.config.project import Project
from headframe.digests import Record
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.report import GateReport, GateResult
from headframe.gates.request import GateRequest
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry
from headframe.promotion.promotion_checks import champion_files, grounds, policy_problems, role_problems, signed_report
from headframe.promotion.rules import reproduction_verdict
from headframe.promotion.service import PromotionService, VersionFiles, alias_mismatch

MEASURED = {"headframe.gates.budget.Budget"}  # gates whose figures are of one machine in one moment
TOLERANCE = 1e-6  # relative and absolute difference that another machine may make in a gate's numbers

_Checked = TypeVar("_Checked")


class LedgerProblem(Record):
    """Something that does not hold.

    Attributes:
        what: chain, foreign entry, head, alias, projection, gate report, model files, policy, or verdict.
        message: what is wrong and what to do, in a sentence that names the thing.
    """

    what: str
    message: str


class Verification(Record):
    """The result of a verification.

    Attributes:
        model: name in the registry.
        entries: how many were checked; of a broken chain those before the break are not counted.
        champion: by the ledger; None where there is none, or the chain is broken.
        reports: how many gate reports were fetched and checked.
        versions: whose files were checked.
        recomputed: how many gates were run again.
        problems: what does not hold.
    """

    model: str
    entries: int
    champion: int | None
    reports: int
    versions: tuple[int, ...]
    recomputed: int = 0
    problems: tuple[LedgerProblem, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.problems:
            count = len(self.problems)
            return f"{self.model}: {count} thing{'' if count == 1 else 's'} {'does' if count == 1 else 'do'} not hold"
        files = ", ".join(map(str, self.versions)) or "no version"
        gates = "1 gate, run again, agrees" if self.recomputed == 1 else f"{self.recomputed} gates, run again, agree"
        again = f"; {gates}" if self.recomputed else ""
        return (
            f"{self.model}: {self.entries} entries, {self.reports} gate reports and the files of {files} hold; "
            f"champion is {f'version {self.champion}' if self.champion else 'nobody'}, by ledger and by alias{again}"
        )


def verify(model: str, service: PromotionService, *, restore: bool = False, recompute: bool = False) -> Verification:
    """Check chain, signatures, gate reports, model files, policy, and what MLflow has of the ledger.

    Args:
        model: name in the registry.
        service: the policy in force, the people, the registry and the ledger.
        restore: set MLflow's alias again to what the ledger says.
        recompute: run the gates of the champion's promotion again, too.

    Raises:
        ConfigurationError: the ledger does not know the model.
        Unavailable: MLflow or the ledger does not answer.
    """
    service.require_known_model(model)
    found = [LedgerProblem(what="foreign entry", message=each) for each in service.ledger.foreign_entries(model)]
    try:
        entries = service.entries(model)
    except Refused as error:
        found.insert(0, LedgerProblem(what="chain", message=str(error)))
        return Verification(model=model, entries=0, champion=None, reports=0, versions=(), problems=tuple(found))
    if restore:
        service.restore_alias(model)
    found += _projection_problems(model, entries, service)
    mismatch = service.ledger_mismatch(model)
    found += [] if mismatch is None else [LedgerProblem(what="head", message=mismatch)]
    gate_entries = {entry.number: entry for entry in entries if entry.kind == "gate"}
    reports = _check(gate_entries.items(), lambda entry: signed_report(entry, service), "gate report", found)
    champions = {entry.version: entry for entry in entries if entry.kind in CHAMPION_KINDS}
    files = _check(champions.items(), lambda entry: champion_files(entry, service), "model files", found)
    found += _policy_problems(entries, reports, files, service)
    recomputed, differing = _recompute(entries, reports, files, service) if recompute else (0, [])
    found += differing
    present = champion_entry(entries)
    return Verification(
        model=model,
        entries=len(entries),
        champion=present.version if present else None,
        reports=len(reports),
        versions=tuple(sorted(files)),
        recomputed=recomputed,
        problems=tuple(found),
    )


def _check(
    entries: Iterable[tuple[int, Entry]], check: Callable[[Entry], _Checked], what: str, found: list[LedgerProblem]
) -> dict[int, _Checked]:
    """Return what a check returned for each entry, by number; where it failed, add a problem to `found`."""
    checked = {}
    for number, entry in entries:
        try:
            checked[number] = check(entry)
        except Unavailable:
            raise
        except HeadframeError as error:
            found.append(LedgerProblem(what=what, message=f"{entry.label}: {error}"))
    return checked


def _projection_problems(model: str, entries: tuple[Entry, ...], service: PromotionService) -> list[LedgerProblem]:
    """Complete an interrupted projection, and compare MLflow's alias."""
    try:
        service.project_pending(model)
    except Unavailable:
        raise
    except HeadframeError as error:  # as for a reader, who may change nothing in MLflow
        present = champion_entry(entries)
        what = present.label if present else f"the champion of {model}"
        return [
            LedgerProblem(what="projection", message=f"{what} is not in MLflow yet, and cannot be set now: {error}")
        ]
    moved = alias_mismatch(model, entries, service.uri)
    return [] if moved is None else [LedgerProblem(what="alias", message=moved)]


def _policy_problems(
    entries: tuple[Entry, ...],
    reports: dict[int, GateReport],
    files: dict[int, VersionFiles],
    service: PromotionService,
) -> list[LedgerProblem]:
    """Judge every champion's promotion again: as of its time, by the policy and the roles in force now."""
    found: list[str] = []
    for entry in entries:
        if entry.kind not in CHAMPION_KINDS:
            continue
        gated = grounds(entries, entry)[1]
        if gated.number in reports and entry.version in files:
            author = files[entry.version].author
            found += policy_problems(entries, entry, reports[gated.number], author, service)
        else:  # what is missing was reported; the signer's role is still checked
            found += role_problems(entry, service)
    return [LedgerProblem(what="policy", message=each) for each in dict.fromkeys(found)]


def _recompute(
    entries: tuple[Entry, ...],
    reports: dict[int, GateReport],
    files: dict[int, VersionFiles],
    service: PromotionService,
) -> tuple[int, list[LedgerProblem]]:
    """Run the gates of the champion's promotion again.

    They compare with the version that was champion then, at the same try, with the same settings. Time and memory are
    of one machine in one moment, so the measurements of `budget` are not compared.

    Returns:
        How many gates were run, and a problem for each that disagrees with its report.
    """
    from headframe.gates.judge import judge_version  # noqa: PLC0415 - imports torch

    present = champion_entry(entries)
    if present is None:
        return 0, []
    promoted, gated = grounds(entries, present)
    report = reports.get(gated.number)
    if report is None or present.version not in files:
        return 0, []  # was reported
    checked = files[present.version]
    try:
        trusted = {"trusted": Project(service.root).packages}
        gates = {name: Component.model_validate(each, context=trusted) for name, each in report.settings.items()}
        again = judge_version(
            GateRequest(
                version=service.version(present.model, promoted.version),
                champion=None if report.champion is None else service.version(present.model, report.champion),
                promotion=service.promotion.model_copy(update={"gates": gates}),
                tries=report.tries,
                candidates=report.candidates,
                reproduced=reproduction_verdict(
                    entries[: gated.number - 1], promoted.version, checked.bundle, checked.author, service.promotion
                ),
                uri=service.uri,
                root=service.root,
                trust=service.trust,
            )
        )
    except Unavailable:
        raise
    except (HeadframeError, ValidationError) as error:
        message = f"{gated.label}: its gates cannot be run again ({str(error).splitlines()[0]})"
        return 0, [LedgerProblem(what="verdict", message=message)]
    now = {result.gate: result for result in again.results}
    found = []
    for then in report.results:
        if report.settings.get(then.gate, {}).get("_target_") not in MEASURED and not _agree(then, now.get(then.gate)):
            other = now[then.gate].reason if then.gate in now else "it was not among the settings"
            found.append(f"{gated.label}: gate {then.gate} found: {then.reason}; run again it found: {other}")
    return len(again.results), [LedgerProblem(what="verdict", message=each) for each in found]


def _agree(then: GateResult, now: GateResult | None) -> bool:
    """Return whether two results of one gate are equal, but for the last digits of a number on another machine."""
    if now is None or (then.passed, then.verdict, then.numbers.keys()) != (now.passed, now.verdict, now.numbers.keys()):
        return False
    for name, value in then.numbers.items():
        other = now.numbers[name]
        if isinstance(value, int | float) and isinstance(other, int | float):
            if not math.isclose(value, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                return False
        elif isinstance(value, int | float) or isinstance(other, int | float):
            return False
    return True
