"""Does everything hold that the ledger of a model says, and does MLflow say the same?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import ValidationError

from headframe.config.plan.component import Component
from headframe.config.project import Project
from headframe.digests import Record
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.report import GateReport, GateResult
from headframe.gates.request import GateRequest
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry, parse_time
from headframe.promotion.rules import MAY, Author, Rules, find_gate, objections, reproduced
from headframe.promotion.service import Files, PromotionService, drift, read_files, require_same
from headframe.registry.versions import fetch_signature, signed_files
from headframe.tracking import layout

MEASURED = {"headframe.gates.budget.Budget"}  # gates whose figures are of one machine in one moment
CLOSE = 1e-6  # relative and absolute difference of a verdict's numbers that another machine may make


class Finding(Record):
    """Something that does not hold.

    Attributes:
        what: chain, stray entry, head, alias, projection, gate report, model files, policy, or verdict.
        told: what is wrong and what to do, in a sentence that names the thing.
    """

    what: str
    told: str


class Verified(Record):
    """What a check of everything came to.

    Attributes:
        model: name in the registry.
        entries: how many were checked; of a broken chain those before the break are not counted.
        champion: by the ledger; None where there is none, or the chain is broken.
        reports: how many gate reports were fetched and checked.
        versions: whose files were checked.
        recomputed: how many gates were asked again.
        findings: what does not hold.
    """

    model: str
    entries: int
    champion: int | None
    reports: int
    versions: tuple[int, ...]
    recomputed: int = 0
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.findings:
            count = len(self.findings)
            return f"{self.model}: {count} thing{'' if count == 1 else 's'} {'does' if count == 1 else 'do'} not hold"
        files = ", ".join(map(str, self.versions)) or "no version"
        say = "1 gate, asked again, says" if self.recomputed == 1 else f"{self.recomputed} gates, asked again, say"
        again = f"; its {say} the same" if self.recomputed else ""
        return (
            f"{self.model}: {self.entries} entries, {self.reports} gate reports and the files of {files} hold; "
            f"champion is {f'version {self.champion}' if self.champion else 'nobody'}, by ledger and by alias{again}"
        )


def verify(model: str, service: PromotionService, *, restore: bool = False, recompute: bool = False) -> Verified:
    """Check chain, signatures, gate reports, model files, policy, and what MLflow was told.

    Args:
        model: name in the registry.
        service: the policy in force, the people, the registry and the ledger.
        restore: have MLflow's alias say again what the ledger says.
        recompute: ask the gates of the champion's promotion again, too.

    Raises:
        ConfigurationError: the ledger does not know the model.
        Unavailable: MLflow or the ledger does not answer.
    """
    service.require_known(model)
    found = [Finding(what="stray entry", told=told) for told in service.ledger.foreign_entries(model)]
    try:
        entries = service.entries(model)
    except Refused as error:
        found.insert(0, Finding(what="chain", told=str(error)))
        return Verified(model=model, entries=0, champion=None, reports=0, versions=(), findings=tuple(found))
    if restore:
        service.restore(model)
    found += _shown(model, entries, service)
    found += _head(model, service)
    reports, broken = _reports(entries, service)
    found += broken
    files, broken = _files(entries, service)
    found += broken
    found += _policy(entries, reports, files, service)
    recomputed, differing = _recomputed(entries, reports, files, service) if recompute else (0, [])
    found += differing
    present = champion_entry(entries)
    return Verified(
        model=model,
        entries=len(entries),
        champion=present.version if present else None,
        reports=len(reports),
        versions=tuple(sorted(files)),
        recomputed=recomputed,
        findings=tuple(found),
    )


def _head(model: str, service: PromotionService) -> list[Finding]:
    """Hold the ledger against what MLflow was told of it."""
    told = service.estranged(model)
    return [] if told is None else [Finding(what="head", told=told)]


def _shown(model: str, entries: tuple[Entry, ...], service: PromotionService) -> list[Finding]:
    """Finish what a kill left untold, and compare MLflow's alias."""
    try:
        service.finish(model)
    except Unavailable:
        raise
    except HeadframeError as error:  # as a reader, whom MLflow lets change nothing
        present = champion_entry(entries)
        told = present.label if present else f"the champion of {model}"
        return [Finding(what="projection", told=f"{told} was not told to MLflow yet, and could not be now: {error}")]
    moved = drift(model, entries, service.uri)
    return [] if moved is None else [Finding(what="alias", told=moved)]


def _reports(entries: tuple[Entry, ...], service: PromotionService) -> tuple[dict[int, GateReport], list[Finding]]:
    """Give the report of each entry about gates, by its number, and which are not what was signed."""
    reports, found = {}, []
    for entry in entries:
        if entry.kind != "gate":
            continue
        try:
            reports[entry.number] = _report(entry, service)
        except Unavailable:
            raise
        except HeadframeError as error:
            found.append(Finding(what="gate report", told=f"{entry.label}: {error}"))
    return reports, found


def _report(gated: Entry, service: PromotionService) -> GateReport:
    """Fetch the report that an entry is about.

    Raises:
        Refused: it or its page is not what was signed.
    """
    from headframe.promotion.gate_reports import Kept, fetch_report, require_page  # noqa: PLC0415 - the report's page is heavy

    version = service.version(gated.model, gated.version)
    report = fetch_report(version, gated.digests["report"], service.uri)
    require_page(version, Kept(gated.digests["report"], gated.digests.get("page", "")), service.uri)
    return report


def _files(entries: tuple[Entry, ...], service: PromotionService) -> tuple[dict[int, Files], list[Finding]]:
    """Give what became of the files of each version that ever was champion, and which are not what was promoted."""
    promoted = {entry.version: entry for entry in entries if entry.kind in CHAMPION_KINDS}
    files, found = {}, []
    for number, entry in promoted.items():
        try:
            files[number] = _signed(entry, service)
        except Unavailable:
            raise
        except HeadframeError as error:
            found.append(Finding(what="model files", told=f"{entry.label}: {error}"))
    return files, found


def _signed(crown: Entry, service: PromotionService) -> Files:
    """Check the files of a champion, and what MLflow repeats of what its author signed.

    Raises:
        Refused: they are not what was promoted, or not what was signed.
    """
    from headframe.registry.listing import run_artifacts  # noqa: PLC0415 - imports numpy
    from headframe.registry.signed_record import read_signed_provenance, require_signed_bytes, require_signed_tags  # noqa: PLC0415

    version = service.version(crown.model, crown.version)
    with (
        signed_files(version, service.uri, service.trust) as (folder, signed),
        run_artifacts(version, service.uri) as fetch,
    ):
        files = read_files(folder, signed)
        require_same(version, files, crown)
        require_signed_tags(version, signed)
        provenance = read_signed_provenance(fetch(layout.PROVENANCE), version, signed)
        name = layout.validation_report(provenance.data.validated.report)
        require_signed_bytes(fetch(name), "validated", name, version, signed)
    return files


def _policy(
    entries: tuple[Entry, ...], reports: dict[int, GateReport], files: dict[int, Files], service: PromotionService
) -> list[Finding]:
    """Judge every champion's promotion again: as it was then, by the policy and the roles in force now."""
    found = []
    for crown in entries:
        if crown.kind not in CHAMPION_KINDS:
            continue
        gated = _grounds(entries, crown)[1]
        if gated.number in reports and crown.version in files:
            told = _unlawful(entries, crown, reports[gated.number], files[crown.version].author, service)
        else:  # what is missing was named; the rest is looked at
            told = _unauthorised(crown, service)
        found += [Finding(what="policy", told=each) for each in told]
    return list({each.told: each for each in found}.values())


def unlawful(entries: Sequence[Entry], crown: Entry, service: PromotionService) -> list[str]:
    """Say why a version should not have become champion, by the policy and the roles in force now.

    Its model files are not looked at, but for their signature: who loads them checks them.

    Args:
        entries: of the ledger, all of them.
        crown: one of them that made a version champion.
        service: the policy in force, the people and the registry.

    Returns:
        A sentence without a full stop for each reason; none where it was lawful.

    Raises:
        Unavailable: MLflow does not answer.
    """
    _, gated = _grounds(entries, crown)
    try:
        version = service.version(crown.model, crown.version)
        report = _report(gated, service)
        signed = fetch_signature(version, service.uri, service.trust)
    except Unavailable:
        raise
    except HeadframeError as error:
        return [*_unauthorised(crown, service), f"{crown.label}: {error}"]
    found = _unlawful(entries, crown, report, Author(signed.signer.name, signed.signer.key), service)
    if signed.digest != crown.digests["signature"]:
        found.append(
            f"{crown.label} is about model files with the signature {crown.digests['signature'][:12]}, but those of "
            f"{crown.model}/{crown.version} have {signed.digest[:12]}; restore the files from a copy"
        )
    return found


def require_former(promoted: Entry, entries: Sequence[Entry], service: PromotionService) -> None:
    """Make sure that a version may be champion again: all that `verify` asks of it alone.

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
        _signed(promoted, service)
        against = unlawful(entries, promoted, service)
    except Refused as error:
        msg = f"there is no going back to {name}: {promoted.label}: {error}"
        raise Refused(msg) from error
    if against:
        msg = f"there is no going back to {name}: {against[0]}"
        raise Refused(msg)


def _recomputed(
    entries: tuple[Entry, ...], reports: dict[int, GateReport], files: dict[int, Files], service: PromotionService
) -> tuple[int, list[Finding]]:
    """Ask the gates of the champion's promotion again, and say how many were and which say something else.

    They are asked against the version that was champion then, at the same try, with the same settings. Time and memory
    are of one machine in one moment, so what `budget` measured is not compared.
    """
    from headframe.gates.judge import judge_version  # noqa: PLC0415 - imports torch

    crown = champion_entry(entries)
    if crown is None:
        return 0, []
    promoted, gated = _grounds(entries, crown)
    report = reports.get(gated.number)
    if report is None or crown.version not in files:
        return 0, []  # was named
    held = files[crown.version]
    try:
        trusted = {"trusted": Project(service.root).packages}
        gates = {name: Component.model_validate(each, context=trusted) for name, each in report.settings.items()}
        again = judge_version(
            GateRequest(
                version=service.version(crown.model, promoted.version),
                champion=None if report.champion is None else service.version(crown.model, report.champion),
                promotion=service.promotion.model_copy(update={"gates": gates}),
                tries=report.tries,
                candidates=report.candidates,
                reproduced=reproduced(
                    entries[: gated.number - 1], promoted.version, held.bundle, held.author, service.promotion
                ),
                uri=service.uri,
                root=service.root,
                trust=service.trust,
            )
        )
    except Unavailable:
        raise
    except (HeadframeError, ValidationError) as error:
        told = f"{gated.label}: its gates cannot be asked again ({str(error).splitlines()[0]})"
        return 0, [Finding(what="verdict", told=told)]
    now = {result.gate: result for result in again.results}
    found = []
    for then in report.results:
        if report.settings.get(then.gate, {}).get("_target_") not in MEASURED and not _agree(then, now.get(then.gate)):
            other = now[then.gate].reason if then.gate in now else "it was not among the settings"
            found.append(f"{gated.label}: gate {then.gate} said: {then.reason}; asked again it says: {other}")
    return len(again.results), [Finding(what="verdict", told=told) for told in found]


def _agree(then: GateResult, now: GateResult | None) -> bool:
    """Say whether two verdicts of one gate are the same, but for the last digits of a number on another machine."""
    if now is None or (then.passed, then.verdict, then.numbers.keys()) != (now.passed, now.verdict, now.numbers.keys()):
        return False
    for name, value in then.numbers.items():
        other = now.numbers[name]
        if isinstance(value, int | float) and isinstance(other, int | float):
            if not math.isclose(value, other, rel_tol=CLOSE, abs_tol=CLOSE):
                return False
        elif isinstance(value, int | float) or isinstance(other, int | float):
            return False
    return True


def _grounds(entries: Sequence[Entry], crown: Entry) -> tuple[Entry, Entry]:
    """Give the promotion that a champion rests on, and the entry about its gates."""
    promoted = crown if crown.kind == "promote" else entries[int(crown.payload["promote_entry"]) - 1]
    return promoted, entries[int(promoted.payload["gate_entry"]) - 1]


def _unauthorised(crown: Entry, service: PromotionService) -> list[str]:
    """Say that whoever made a version champion may not."""
    signer = service.trust.signers[crown.key]
    if set(MAY[crown.kind]) & set(signer.roles):
        return []
    told = f"{crown.label} was signed by {signer.name}, who is {' and '.join(signer.roles)} in conf/team/"
    return [f"{told}; have an approver go back, or promote another version"]


def _unlawful(
    entries: Sequence[Entry], crown: Entry, report: GateReport, author: Author, service: PromotionService
) -> list[str]:
    """See `unlawful`."""
    promoted, gated = _grounds(entries, crown)
    before = entries[: promoted.number - 1]
    rules = Rules(service.promotion, service.trust, author, parse_time(promoted.time))
    found = objections(before, report, gated, rules)
    last = find_gate(before, promoted.version, rules)
    if last is not None and last.number > gated.number:
        found.append(f"it refers to {gated.label}, though {last.label} came after it")
    for told, entry, ground in (("gates", promoted, gated), ("promotion", crown, promoted)):
        if entry.digests != ground.digests:
            found.append(f"{entry.label} is about other files than {ground.label}, the {told} that it rests on")
    whose = [*_unauthorised(crown, service), *(_unauthorised(promoted, service) if promoted is not crown else [])]
    policy = service.promotion.policy
    return [*whose, *(f"{promoted.label} does not satisfy policy {policy}: {objection}" for objection in found)]
