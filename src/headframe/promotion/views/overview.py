"""What the registry holds: which versions, what each of them reached, and which of them may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headframe.config.plan.plan import NOT_IDENTIFYING, Plan
from headframe.digests import Record, digest, digest_content
from headframe.errors import HeadframeError, Unavailable
from headframe.evaluation.facts import describe
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry
from headframe.ledger.rules import entries_since_champion, last_gate_entry
from headframe.promotion.approvals import read_approval
from headframe.promotion.service import PromotionService
from headframe.records import Interval, Provenance
from headframe.registry.signed_record import read_signed_plan, read_signed_provenance, require_signed_tags
from headframe.registry.versions import ModelVersion, fetch_signature
from headframe.tracking import layout

if TYPE_CHECKING:
    from headframe.registry.signature import SignedModel
from headframe.registry.listing import list_versions, run_artifacts

CHANCE_AND_PLACE = {"seed", *NOT_IDENTIFYING}
"""Parts of a plan in which versions of equal configuration may differ."""

State = Literal["champion", "former champion", "rejected", "challenger", "refused", "candidate", "not trusted"]
"""Candidate: registered. Challenger: passed every gate against the present champion; refused: did not."""


class VersionSummary(Record):
    """One version among others.

    Attributes:
        version: its number.
        state: what became of it.
        registered: when: UTC, ISO 8601.
        author: who signed it; empty where nobody who is trusted did.
        name: of its plan.
        kind: of its model.
        seed: of its training.
        value: its leading metric on its test rows.
        configuration: sha256 of its plan without the seed: versions that differ in nothing but chance have one.
        problem: why nothing else is known; empty where all is.
    """

    version: int
    state: State
    registered: str
    author: str = ""
    name: str = ""
    kind: str = ""
    seed: int | None = None
    value: Interval | None = None
    configuration: str = ""
    problem: str = ""

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.value is None:
            return f"{self.version:>4}  {self.state:16}{self.problem}"
        what = f"{self.kind}, seed {self.seed}"
        return f"{self.version:>4}  {self.state:16}{self.value!s:27}{what:32}{self.author:12}{self.registered[:10]}"


class ComparableVersions(Record):
    """Versions that were measured in the same way on the same rows; best first.

    Attributes:
        dataset: name.
        table: sha256 of the table.
        split: sha256 of its division.
        rows: how many test rows there are; of a forecast, windows.
        lead: the metric that decides.
        higher_is_better: its direction.
        versions: which.
    """

    dataset: str
    table: str
    split: str
    rows: int
    lead: str
    higher_is_better: bool
    versions: tuple[VersionSummary, ...]

    @property
    def description(self) -> str:
        """What they have in common."""
        return (
            f"{self.lead} on the same {self.rows:,} test rows of {self.dataset} "
            f"(table {self.table[:8]}, split {self.split[:8]})"
        )


class Overview(Record):
    """All versions of a model.

    Attributes:
        model: name in the registry.
        champion: its champion by the ledger; None where there is none.
        groups: versions that may be compared with each other, that of the champion first; never across groups.
        others: versions of which too little is known to compare them.
    """

    model: str
    champion: int | None
    groups: tuple[ComparableVersions, ...]
    others: tuple[VersionSummary, ...]

    @property
    def lines(self) -> list[str]:
        """For people."""
        crowned = f"champion is version {self.champion}" if self.champion else "there is no champion"
        found = [f"{self.model}: {crowned}"]
        for place, group in enumerate(self.groups):
            apart = "not comparable with those above: " if place else ""
            found += ["", f"{apart}{group.description}", *(each.summary for each in group.versions)]
        if self.others:
            found += ["", "not comparable with any:", *(each.summary for each in self.others)]
        return found


@dataclass(frozen=True)
class VersionRecord:
    """What is known of a version through what its author signed.

    Attributes:
        version: which.
        registered: when: UTC, ISO 8601.
        signed: by whom, and what.
        plan: what was run.
        provenance: what it rests on, and its metrics.
    """

    version: ModelVersion
    registered: str
    signed: SignedModel
    plan: Plan
    provenance: Provenance

    @property
    def configuration(self) -> str:
        """The sha256 of the plan that decides a version, without its seed."""
        return digest(digest_content(self.plan.without_declared, exclude=CHANCE_AND_PLACE))


def plan_settings(plan: Plan) -> dict[str, Any]:
    """Give what decides a version, but for chance: the plan without its seed, and without where it runs and serves."""
    return plan.without_declared.model_dump(mode="json", exclude=CHANCE_AND_PLACE)


def overview(model: str, service: PromotionService) -> Overview:
    """Tell of all versions of a model.

    Raises:
        ConfigurationError: there is no such model.
        Refused: the ledger is broken.
    """
    entries = service.ledger.entries(model, service.trust)
    return group_versions(model, *read_versions(model, service), entries)


def read_versions(model: str, service: PromotionService) -> tuple[list[VersionRecord], list[VersionSummary]]:
    """Read what is known of each version of a model; second those of which nothing is, and why.

    Raises:
        ConfigurationError: there is no such model.
    """
    found, others = [], []
    for version, registered in list_versions(model, service.uri):
        try:
            found.append(read_version(version, registered, service))
        except Unavailable:
            raise
        except HeadframeError as error:
            others.append(
                VersionSummary(version=version.number, state="not trusted", registered=registered, problem=str(error))
            )
    return found, others


def group_versions(
    model: str, found: Sequence[VersionRecord], others: Sequence[VersionSummary], entries: Sequence[Entry]
) -> Overview:
    """Put those together that may be compared."""
    present = champion_entry(entries)
    groups: dict[tuple[Any, ...], list[VersionSummary]] = {}
    for each in found:
        groups.setdefault(comparison_key(each), []).append(
            summarise_version(each, version_state(entries, each.version.number))
        )
    number = present.version if present else None
    return Overview(
        model=model,
        champion=number,
        groups=tuple(_ordered([_group(key, each) for key, each in groups.items()], number)),
        others=tuple(others),
    )


def read_version(
    version: ModelVersion, registered: str, service: PromotionService, signed: SignedModel | None = None
) -> VersionRecord:
    """Read what is known of a version.

    Args:
        version: which.
        registered: when.
        service: where.
        signed: what its author signed, where that is known.

    Raises:
        Refused: it is not signed by an author who is trusted, or plan or provenance are not what was signed.
        HeadframeError: they are gone.
    """
    signed = signed or fetch_signature(version, service.uri, service.trust)
    require_signed_tags(version, signed)
    with run_artifacts(version, service.uri) as fetch:
        provenance = read_signed_provenance(fetch(layout.PROVENANCE), version, signed)
        own = {name.partition(".")[0] for name in provenance.lineage.modules} - {"headframe"}
        plan = read_signed_plan(fetch(layout.PLAN), version, signed, [f"{name}." for name in sorted(own)])
    return VersionRecord(version, registered, signed, plan, provenance)


def summarise_version(found: VersionRecord, now: State) -> VersionSummary:
    """Put a version in one line."""
    evaluated = found.provenance.evaluated
    return VersionSummary(
        version=found.version.number,
        state=now,
        registered=found.registered,
        author=found.signed.signer.name,
        name=found.plan.name,
        kind=describe(found.plan.learner),
        seed=found.plan.seed,
        value=evaluated.metrics[evaluated.lead],
        configuration=found.configuration,
    )


def comparison_key(found: VersionRecord) -> tuple[Any, ...]:
    """Give what two versions must have in common to be compared: rows, task, and the metric that decides."""
    data, evaluated = found.provenance.data, found.provenance.evaluated
    return (
        data.split.table.dataset,
        data.split.table.digest,
        data.split.digest,
        evaluated.rows,
        evaluated.lead,
        evaluated.higher_is_better,
        digest(found.plan.without_declared.task),
    )


def version_state(entries: Sequence[Entry], number: int) -> State:
    """Say what became of a version, by the ledger alone."""
    present = champion_entry(entries)
    if present is not None and present.version == number:
        return "champion"
    words = [each for each in entries if each.version == number and each.kind in ("reject", "gate", *CHAMPION_KINDS)]
    if words and words[-1].kind == "reject":
        return "rejected"
    gated = last_gate_entry(entries_since_champion(entries), number)
    if gated is not None:
        return "challenger" if gated.payload["passed"] else "refused"
    return "former champion" if any(each.kind in CHAMPION_KINDS for each in words) else "candidate"


class LedgerEvent(Record):
    """An entry of the ledger about a version, as people read it.

    Attributes:
        number: of the entry.
        time: UTC, ISO 8601.
        what: was done.
        by: who signed it.
        message: why, or what came of it.
        digest: of the entry.
    """

    number: int
    time: str
    what: str
    by: str
    message: str
    digest: str


def ledger_events(entries: Iterable[Entry], number: int, service: PromotionService) -> list[LedgerEvent]:
    """Tell what the ledger holds about a version, oldest first."""
    found = []
    for entry in entries:
        went = entry.kind == "rollback" and entry.payload["from"] == number
        if entry.version != number and not went:
            continue
        what, by, told = "", entry.signer, ""
        match entry.kind:
            case "gate":
                against = entry.payload["champion"]
                told = f"against {'nobody' if against is None else f'version {against}'}: {entry.payload['reason']}"
                what = "passed its gates" if entry.payload["passed"] else "refused by its gates"
            case "approve":
                given = read_approval(entry.payload["approval"], service.trust)
                what, by, told = "approved", given.signer.name, f"{given.reason} (until {given.expires})"
            case "reject":
                what, told = "rejected", entry.payload["reason"]
            case "promote":
                what, told = "promoted", entry.payload["reason"] or entry.payload["gate_reason"]
            case "rollback":
                what, told = ("went back from it" if went else "brought back"), entry.payload["reason"]
            case "reproduce":
                what, told = f"reproduced: {entry.payload['verdict']}", str(entry.payload["reason"] or "")
        found.append(
            LedgerEvent(number=entry.number, time=entry.time, what=what, by=by, message=told, digest=entry.digest)
        )
    return found


def _group(key: tuple[Any, ...], found: Sequence[VersionSummary]) -> ComparableVersions:
    dataset, table, split, rows, lead, higher_is_better, _ = key

    def order(each: VersionSummary) -> tuple[float, int]:
        value = each.value.value if each.value else 0.0
        return (-value if higher_is_better else value, -each.version)

    return ComparableVersions(
        dataset=dataset,
        table=table,
        split=split,
        rows=rows,
        lead=lead,
        higher_is_better=higher_is_better,
        versions=tuple(sorted(found, key=order)),
    )


def _ordered(groups: list[ComparableVersions], number: int | None) -> list[ComparableVersions]:
    """Put the champion's group first, then those with the newest versions."""

    def order(group: ComparableVersions) -> tuple[bool, int]:
        numbers = [each.version for each in group.versions]
        return (number not in numbers, -max(numbers))

    return sorted(groups, key=order)
