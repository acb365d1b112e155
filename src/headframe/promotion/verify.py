"""Does everything hold that the ledger of a model says, and does MLflow say the same?"""

from __future__ import annotations

from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.promotion.ledger import CROWNS, Entry, read_time
from headframe.promotion.office import Files, Office, drift, require_same
from headframe.promotion.policy import MAY, Rules, champion, objections
from headframe.promotion.projection import shown_head
from headframe.promotion.verdict import GateReport
from headframe.record import Record


class Finding(Record):
    """Something that does not hold.

    Attributes:
        what: chain, stray entry, head, alias, projection, gate report, model files, or policy.
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
        findings: what does not hold.
    """

    model: str
    entries: int
    champion: int | None
    reports: int
    versions: tuple[int, ...]
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.findings:
            count = len(self.findings)
            return f"{self.model}: {count} thing{'' if count == 1 else 's'} {'does' if count == 1 else 'do'} not hold"
        files = ", ".join(map(str, self.versions)) or "no version"
        return (
            f"{self.model}: {self.entries} entries, {self.reports} gate reports and the files of {files} hold; "
            f"champion is {f'version {self.champion}' if self.champion else 'nobody'}, by ledger and by alias"
        )


def verify(model: str, office: Office, *, restore: bool = False) -> Verified:
    """Check chain, signatures, gate reports, model files, policy, and what MLflow was told.

    Args:
        model: name in the registry.
        office: the policy in force, the people, the registry and the ledger.
        restore: have MLflow's alias say again what the ledger says.

    Raises:
        ConfigurationError: the ledger does not know the model.
        Unavailable: MLflow or the ledger does not answer.
    """
    office.require_known(model)
    found = [Finding(what="stray entry", told=told) for told in office.ledger.strays(model)]
    try:
        entries = office.entries(model)
    except Refused as error:
        found.insert(0, Finding(what="chain", told=str(error)))
        return Verified(model=model, entries=0, champion=None, reports=0, versions=(), findings=tuple(found))
    if restore:
        office.restore(model)
    found += _shown(model, entries, office)
    found += _head(model, entries, office)
    reports, broken = _reports(entries, office)
    found += broken
    files, broken = _files(entries, office)
    found += broken
    found += _policy(entries, reports, files, office)
    present = champion(entries)
    return Verified(
        model=model,
        entries=len(entries),
        champion=present.version if present else None,
        reports=len(reports),
        versions=tuple(sorted(files)),
        findings=tuple(found),
    )


def _head(model: str, entries: tuple[Entry, ...], office: Office) -> list[Finding]:
    """Ask MLflow how far the ledger reached when it was last told of a champion."""
    head = shown_head(model, office.uri)
    if head is None:
        return []
    number, digest = head
    if number > len(entries):
        cut = f"entries {len(entries) + 1} to {number}" if number > len(entries) + 1 else f"entry {number}"
        told = f"{cut} of {model} {'are' if 'to' in cut else 'is'} missing: MLflow was told of {number} entries"
    elif entries[number - 1].digest != digest:
        told = f"{entries[number - 1].told} is not the entry {number} that MLflow was told of"
    else:
        return []
    return [Finding(what="head", told=f"{told}; the ledger's end was exchanged, restore it from a copy")]


def _shown(model: str, entries: tuple[Entry, ...], office: Office) -> list[Finding]:
    """Finish what a kill left untold, and compare MLflow's alias."""
    try:
        office.finish(model)
    except Unavailable:
        raise
    except HeadframeError as error:  # as a reader, whom MLflow lets change nothing
        present = champion(entries)
        told = present.told if present else f"the champion of {model}"
        return [Finding(what="projection", told=f"{told} was not told to MLflow yet, and could not be now: {error}")]
    moved = drift(model, entries, office.uri)
    return [] if moved is None else [Finding(what="alias", told=moved)]


def _reports(entries: tuple[Entry, ...], office: Office) -> tuple[dict[int, GateReport], list[Finding]]:
    """Give the report of each entry about gates, by its number, and which are not what was signed."""
    from headframe.promotion.gate import fetch_report  # noqa: PLC0415 - the report's page is heavy

    reports, found = {}, []
    for entry in entries:
        if entry.kind != "gate":
            continue
        try:
            version = office.version(entry.model, entry.version)
            reports[entry.number] = fetch_report(version, entry.digests["report"], office.uri)
        except Unavailable:
            raise
        except HeadframeError as error:
            found.append(Finding(what="gate report", told=f"{entry.told}: {error}"))
    return reports, found


def _files(entries: tuple[Entry, ...], office: Office) -> tuple[dict[int, Files], list[Finding]]:
    """Give what became of the files of each version that ever was champion, and which are not what was promoted."""
    promoted = {entry.version: entry for entry in entries if entry.kind in CROWNS}
    files, found = {}, []
    for number, entry in promoted.items():
        try:
            version = office.version(entry.model, number)
            files[number] = office.files(version)
            require_same(version, files[number], entry)
        except Unavailable:
            raise
        except HeadframeError as error:
            found.append(Finding(what="model files", told=f"{entry.told}: {error}"))
    return files, found


def _policy(
    entries: tuple[Entry, ...], reports: dict[int, GateReport], files: dict[int, Files], office: Office
) -> list[Finding]:
    """Judge the present champion's promotion again: as it was then, by the policy and the roles in force now."""
    present = champion(entries)
    if present is None:
        return []
    found = []
    signer = office.trust.signers[present.key]
    if not set(MAY[present.kind]) & set(signer.roles):
        told = f"{present.told} was signed by {signer.name}, who is {' and '.join(signer.roles)} in conf/team/"
        found.append(f"{told}; have an approver go back, or promote another version")
    promoted = next(each for each in reversed(entries) if each.kind == "promote" and each.version == present.version)
    gated = entries[int(promoted.claim["gated"]) - 1]
    if gated.number in reports and present.version in files:
        rules = Rules(office.promotion, office.trust, files[present.version].author, read_time(promoted.time))
        found += [
            f"{promoted.told} does not satisfy policy {office.promotion.policy}: {objection}"
            for objection in objections(entries[: promoted.number - 1], reports[gated.number], gated, rules)
        ]
    return [Finding(what="policy", told=told) for told in found]
