"""Verification of a model's ledger: chain, gate reports, model files, policy, and what MLflow has."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from headframe.config.plan.promotion import ErrorControlConfig, GateConfig
from headframe.config.project import Project
from headframe.digests import Record, validation_message
from headframe.errors import HeadframeError, Refused, Unavailable, some
from headframe.gates.judge import judge_version
from headframe.gates.report import GateReport, GateResult, nearly_equal
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry
from headframe.ledger.rules import grounds
from headframe.promotion.promotion_checks import champion_files, policy_problems, role_problems, signed_report
from headframe.promotion.rules import ROUNDING, VersionIdentity, allowed_level
from headframe.promotion.service import PromotionService, alias_mismatch

MEASURED = "headframe.gates.budget.Budget"  # the gate whose figures are of one machine in one moment

_Checked = TypeVar("_Checked")


class LedgerProblem(Record):
    """Something that does not hold."""

    what: str  # chain, foreign entry, head, alias, projection, gate report, model files, level, policy, or verdict
    message: str  # what is wrong and what to do, in a sentence that names the thing


class Verification(Record):
    """The result of a verification."""

    model: str
    entries: int  # how many were checked; of a broken chain none
    champion: int | None  # by the ledger; None where there is none, or the chain is broken
    reports: int  # how many gate reports were fetched and checked
    versions: tuple[int, ...]  # whose files were checked
    recomputed: int = 0  # how many gates were run again
    problems: tuple[LedgerProblem, ...]

    def __str__(self) -> str:
        if self.problems:
            count = len(self.problems)
            return f"{self.model}: {count} problem{'' if count == 1 else 's'}"
        files = some(self.versions) or "no version"
        gates = "1 gate, run again, agrees" if self.recomputed == 1 else f"{self.recomputed} gates, run again, agree"
        again = f"; {gates}" if self.recomputed else ""
        return (
            f"{self.model}: {self.entries} entries, {self.reports} gate reports and the files of {files} hold; "
            f"champion is {f'version {self.champion}' if self.champion else 'nobody'}, by ledger and by alias{again}"
        )


def verify(model: str, service: PromotionService, *, restore: bool = False, recompute: bool = False) -> Verification:
    """Check chain, signatures, gate reports, model files, policy, and what MLflow has of the ledger.

    With `restore` MLflow's alias is first set to what the ledger says; with `recompute` the gates of the champion's
    promotion are run again, too.

    Raises:
        ConfigurationError: the ledger does not know the model.
        Unavailable: MLflow or the ledger does not respond.
    """
    service.require_known_model(model)
    found: list[tuple[str, str | None]] = [("foreign entry", each) for each in service.ledger.foreign_entries(model)]
    try:
        entries = service.entries(model)
    except Refused as error:
        problems = _listed([("chain", str(error)), *found])
        return Verification(model=model, entries=0, champion=None, reports=0, versions=(), problems=problems)
    if restore:
        service.restore_alias(model)
    present = champion_entry(entries)
    try:
        service.project_pending(model)
    except Unavailable:
        raise
    except HeadframeError as error:  # as for a reader, who may change nothing in MLflow
        what = present.label if present else f"the champion of {model}"
        found.append(("projection", f"{what} is not in MLflow yet, and cannot be set now: {error}"))
    else:
        found.append(("alias", alias_mismatch(model, entries, service.uri)))
    found.append(("head", service.ledger_mismatch(model)))

    def check(what: str, entries: Mapping[int, Entry], do: Callable[[Entry], _Checked]) -> dict[int, _Checked]:
        """Return what a check returned for each entry; where it failed, add a problem."""
        checked = {}
        for number, entry in entries.items():
            try:
                checked[number] = do(entry)
            except Unavailable:
                raise
            except HeadframeError as error:
                found.append((what, f"{entry.label}: {error}"))
        return checked

    gated = {entry.number: entry for entry in entries if entry.kind == "gate"}
    reports = check("gate report", gated, lambda entry: signed_report(entry, service))
    champions = {entry.version: entry for entry in entries if entry.kind in CHAMPION_KINDS}
    files = check("model files", champions, lambda entry: champion_files(entry, service))
    found += [("level", each) for entry in gated.values() for each in _level_problems(entries, entry, service)]
    policy = dict.fromkeys(_policy_problems(entries, reports, files, service))  # each one once
    found += [("policy", each) for each in policy]
    recomputed = 0
    if recompute and present is not None:
        recomputed, differing = _recompute(present, entries, reports, files, service)
        found += [("verdict", each) for each in differing]
    return Verification(
        model=model,
        entries=len(entries),
        champion=present.version if present else None,
        reports=len(reports),
        versions=tuple(sorted(files)),
        recomputed=recomputed,
        problems=_listed(found),
    )


def _listed(found: Sequence[tuple[str, str | None]]) -> tuple[LedgerProblem, ...]:
    return tuple(LedgerProblem(what=what, message=message) for what, message in found if message is not None)


def _policy_problems(
    entries: tuple[Entry, ...],
    reports: Mapping[int, GateReport],
    files: Mapping[int, VersionIdentity],
    service: PromotionService,
) -> Iterator[str]:
    """Judge every champion's promotion again: as of its time, by the policy and the roles in force now."""
    for entry in entries:
        if entry.kind in CHAMPION_KINDS:
            report, made = reports.get(grounds(entries, entry)[1].number), files.get(entry.version)
            if report is None or made is None:  # which was reported; the signer's role is still checked
                yield from role_problems(entry, service)
            else:
                yield from policy_problems(entries, entry, report, made.author, service)


def _level_problems(entries: tuple[Entry, ...], gated: Entry, service: PromotionService) -> Iterator[str]:
    """Compute the level of a test again from the entries before it, by the rule that the entry names."""
    tested, champion = gated.payload["tested"], gated.payload["champion"]
    if tested is None:
        return
    try:
        component = ErrorControlConfig.model_validate(
            gated.payload["error_control"], context={"trusted": Project(service.root).packages}
        )
        rule = service.promotion.model_copy(update={"error_control": component})
        allowed = allowed_level(entries[: gated.number - 1], gated.version, champion, rule)
    except (HeadframeError, ValidationError) as error:
        yield f"{gated.label}: its level cannot be computed again ({validation_message(error)})"
        return
    if not math.isclose(tested["level"], allowed, rel_tol=ROUNDING):
        used = f"{gated.label}: it was tested at level {tested['level']:.6g}"
        yield f"{used}, but the entries before it allow {allowed:.6g}"


def _recompute(
    present: Entry,
    entries: tuple[Entry, ...],
    reports: Mapping[int, GateReport],
    files: Mapping[int, VersionIdentity],
    service: PromotionService,
) -> tuple[int, list[str]]:
    """Run the gates of the champion's promotion again.

    They compare with the version that was champion then, at the same try, with the same settings. Time and memory are
    of one machine in one moment, so the measurements of `budget` are not compared.

    Returns:
        How many gates were run, and a message for each that disagrees with its report, and for each file of the
        evaluation that is not what the version measures to.
    """
    from headframe.gates.recompute import differing_figures  # noqa: PLC0415 - imports torch and matplotlib

    promoted, gated = grounds(entries, present)
    report = reports.get(gated.number)
    if report is None or present.version not in files:
        return 0, []  # was reported
    try:
        trusted = {"trusted": Project(service.root).packages}
        gates = {name: GateConfig.model_validate(each, context=trusted) for name, each in report.settings.items()}
        then = replace(service, promotion=service.promotion.model_copy(update={"gates": gates}))
        tested = report.tested
        request = then.gate_request(
            service.version(present.model, promoted.version),
            report.champion,
            entries[: gated.number - 1],
            files[present.version],
            candidates=report.candidates,
            level=tested.level if tested else None,
        )
        again = judge_version(request)
        differing = [f"{gated.label}: {each}" for each in differing_figures(request)]
    except Unavailable:
        raise
    except (HeadframeError, ValidationError) as error:
        return 0, [f"{gated.label}: its gates cannot be run again ({validation_message(error)})"]
    now = {result.gate: result for result in again.results}
    for before in report.results:
        name, after = before.gate, now.get(before.gate)
        if report.settings.get(name, {}).get("_target_") != MEASURED and not _agree(before, after):
            other = after.reason if after else "it was not among the settings"
            differing.append(f"{gated.label}: gate {name} found: {before.reason}; run again it found: {other}")
    return len(again.results), differing


def _agree(before: GateResult, after: GateResult | None) -> bool:
    """Return whether two results of one gate are equal, but for the last digits of a number on another machine."""
    if after is None or (before.passed, before.verdict) != (after.passed, after.verdict):
        return False
    pairs = [(value, after.numbers.get(name)) for name, value in before.numbers.items()]
    return before.numbers.keys() == after.numbers.keys() and all(
        nearly_equal(one, other) or not any(isinstance(each, int | float) for each in (one, other))
        for one, other in pairs
    )
