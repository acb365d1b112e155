"""Does everything hold that the ledger of a model says, and does MLflow say the same?"""

from __future__ import annotations

from collections.abc import Sequence

from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.promotion.ledger import CROWNS, Entry, champion, read_time
from headframe.promotion.office import Files, Office, drift, require_same
from headframe.promotion.policy import MAY, Author, Rules, find_gate, objections
from headframe.promotion.verdict import GateReport
from headframe.record import Record
from headframe.tracking.registry import statement


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
    found += _head(model, office)
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


def _head(model: str, office: Office) -> list[Finding]:
    """Hold the ledger against what MLflow was told of it."""
    told = office.estranged(model)
    return [] if told is None else [Finding(what="head", told=told)]


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
    """Judge every champion's promotion again: as it was then, by the policy and the roles in force now."""
    found = []
    for crown in entries:
        if crown.kind not in CROWNS:
            continue
        gated = _grounds(entries, crown)[1]
        if gated.number in reports and crown.version in files:
            told = _unlawful(entries, crown, reports[gated.number], files[crown.version].author, office)
        else:  # what is missing was named; the rest is looked at
            told = _unauthorised(crown, office)
        found += [Finding(what="policy", told=each) for each in told]
    return list({each.told: each for each in found}.values())


def unlawful(entries: Sequence[Entry], crown: Entry, office: Office) -> list[str]:
    """Say why a version should not have become champion, by the policy and the roles in force now.

    Its model files are not looked at, but for their signature: who loads them checks them.

    Args:
        entries: of the ledger, all of them.
        crown: one of them that made a version champion.
        office: the policy in force, the people and the registry.

    Returns:
        A sentence without a full stop for each reason; none where it was lawful.

    Raises:
        Unavailable: MLflow does not answer.
    """
    from headframe.promotion.gate import fetch_report  # noqa: PLC0415 - the report's page is heavy

    _, gated = _grounds(entries, crown)
    try:
        version = office.version(crown.model, crown.version)
        report = fetch_report(version, gated.digests["report"], office.uri)
        signed = statement(version, office.uri, office.trust)
    except Unavailable:
        raise
    except HeadframeError as error:
        return [*_unauthorised(crown, office), f"{crown.told}: {error}"]
    found = _unlawful(entries, crown, report, Author(signed.signer.name, signed.signer.key), office)
    if signed.digest != crown.digests["signature"]:
        found.append(
            f"{crown.told} is about model files with the signature {crown.digests['signature'][:12]}, but those of "
            f"{crown.model}/{crown.version} have {signed.digest[:12]}; restore the files from a copy"
        )
    return found


def _grounds(entries: Sequence[Entry], crown: Entry) -> tuple[Entry, Entry]:
    """Give the promotion that a champion rests on, and the entry about its gates."""
    promoted = crown if crown.kind == "promote" else entries[int(crown.claim["promoted"]) - 1]
    return promoted, entries[int(promoted.claim["gated"]) - 1]


def _unauthorised(crown: Entry, office: Office) -> list[str]:
    """Say that whoever made a version champion may not."""
    signer = office.trust.signers[crown.key]
    if set(MAY[crown.kind]) & set(signer.roles):
        return []
    told = f"{crown.told} was signed by {signer.name}, who is {' and '.join(signer.roles)} in conf/team/"
    return [f"{told}; have an approver go back, or promote another version"]


def _unlawful(entries: Sequence[Entry], crown: Entry, report: GateReport, author: Author, office: Office) -> list[str]:
    """See `unlawful`."""
    promoted, gated = _grounds(entries, crown)
    before = entries[: promoted.number - 1]
    rules = Rules(office.promotion, office.trust, author, read_time(promoted.time))
    found = objections(before, report, gated, rules)
    last = find_gate(before, promoted.version, rules)
    if last is not None and last.number > gated.number:
        found.append(f"it rests on {gated.told}, though {last.told} came after it")
    for told, entry, ground in (("gates", promoted, gated), ("promotion", crown, promoted)):
        if entry.digests != ground.digests:
            found.append(f"{entry.told} is about other files than {ground.told}, the {told} that it rests on")
    whose = [*_unauthorised(crown, office), *(_unauthorised(promoted, office) if promoted is not crown else [])]
    policy = office.promotion.policy
    return [*whose, *(f"{promoted.told} does not satisfy policy {policy}: {objection}" for objection in found)]
