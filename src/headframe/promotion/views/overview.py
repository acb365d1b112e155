"""Overview of a model's versions: their states, their metrics, and which of them may be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headframe.config.plan.plan import VersionPlan
from headframe.config.targets.find_definition import class_constant
from headframe.digests import Record, digest, digest_content
from headframe.errors import HeadframeError, Unavailable
from headframe.evaluation.report import describe
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry
from headframe.ledger.rules import entries_since_champion, last_gate_entry
from headframe.promotion.service import PromotionService
from headframe.records import Interval, Provenance
from headframe.registry.compare_signed import read_signed_plan, read_signed_provenance, require_signed_tags
from headframe.registry.listing import artifact_reader, list_versions
from headframe.registry.signature import SignedModel
from headframe.registry.versions import ModelVersion, fetch_signature
from headframe.tracking import layout

State = Literal["champion", "former champion", "rejected", "challenger", "refused", "candidate", "not trusted"]
"""Candidate: registered. Challenger: passed every gate against the present champion; refused: did not."""


class VersionSummary(Record):
    """One line about a version."""

    version: int
    state: State
    registered: str  # when: UTC, ISO 8601
    author: str = ""  # who signed it; empty where no trusted person did
    name: str = ""  # of its plan
    kind: str = ""  # of its model
    seed: int | None = None
    value: Interval | None = None  # its primary metric on its test rows
    configuration: str = ""  # sha256 of its plan without the seed; versions that differ only by chance share it
    problem: str = ""  # why nothing else is known

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.version:>4}  {self.state:16}{self.problem}"
        what = f"{self.kind}, seed {self.seed}"
        return f"{self.version:>4}  {self.state:16}{self.value!s:26} {what:31} {self.author:11} {self.registered[:10]}"


class ComparableVersions(Record):
    """Versions that were measured in the same way on the same rows."""

    dataset: str
    table: str  # sha256
    split: str  # sha256
    rows: int  # how many test rows there are; of a forecast, windows
    primary_metric: str
    higher_is_better: bool
    versions: tuple[VersionSummary, ...] = ()  # best first

    @property
    def description(self) -> str:
        """What they have in common."""
        return (
            f"{self.primary_metric} on the same {self.rows:,} test rows of {self.dataset} "
            f"(table {self.table[:8]}, split {self.split[:8]})"
        )


class Overview(Record):
    """All versions of a model."""

    model: str
    champion: int | None  # by the ledger; None where there is none
    groups: tuple[ComparableVersions, ...]  # that of the champion first; never compared across groups
    others: tuple[VersionSummary, ...]  # of which too little is known to compare them

    @property
    def lines(self) -> list[str]:
        """For people."""
        groups = [(group.description, [str(each) for each in group.versions]) for group in self.groups]
        return comparison_lines(self.model, self.champion, groups, self.others)


def comparison_lines(
    model: str,
    champion: int | None,
    groups: Iterable[tuple[str, Sequence[str]]],
    others: Iterable[VersionSummary],
) -> list[str]:
    """Return lines for people about groups of comparable things, each with a description and its lines."""
    lines = [f"{model}: {f'champion is version {champion}' if champion else 'there is no champion'}"]
    heading = ""
    for description, group in groups:
        lines += ["", f"{heading}{description}", *group]
        heading = "not comparable with those above: "
    incomparable = [str(each) for each in others]
    return [*lines, "", "not comparable with any:", *incomparable] if incomparable else lines


@dataclass(frozen=True)
class VersionRecord:
    """What is known of a version from its author's signed files."""

    version: ModelVersion
    registered: str  # when: UTC, ISO 8601
    signed: SignedModel
    plan: VersionPlan
    provenance: Provenance


def overview(model: str, service: PromotionService) -> Overview:
    """Return all versions of a model.

    Raises:
        ConfigurationError: there is no such model.
        Refused: the ledger is broken.
    """
    return compare_versions(model, service.ledger.entries(model, service.trust), service)[0]


def compare_versions(
    model: str, entries: Sequence[Entry], service: PromotionService
) -> tuple[Overview, dict[int, VersionRecord]]:
    """Group the versions that may be compared: the champion's group first, then those with the newest versions.

    Returns:
        All versions, and what is known of each that could be read.

    Raises:
        ConfigurationError: there is no such model.
    """
    known: dict[int, VersionRecord] = {}
    members: dict[tuple[ComparableVersions, str], list[VersionSummary]] = {}
    others = []
    for version, registered in list_versions(model, service.uri):
        try:
            record = read_version(version, registered, service)
        except Unavailable:
            raise
        except HeadframeError as error:
            problem = str(error)
            others.append(
                VersionSummary(version=version.number, state="not trusted", registered=registered, problem=problem)
            )
        else:
            known[version.number] = record
            summary = summarise_version(record, version_state(entries, version.number))
            members.setdefault(_group_of(record, service.root / "src"), []).append(summary)
    groups = [_filled(group, each) for (group, _), each in members.items()]
    present = champion_entry(entries)
    champion = present.version if present else None

    def order(group: ComparableVersions) -> tuple[bool, int]:
        numbers = [each.version for each in group.versions]
        return champion not in numbers, -max(numbers)

    found = Overview(model=model, champion=champion, groups=tuple(sorted(groups, key=order)), others=tuple(others))
    return found, known


def read_version(
    version: ModelVersion, registered: str, service: PromotionService, signed: SignedModel | None = None
) -> VersionRecord:
    """Read what is known of a version; `signed` is what its author signed, if that was fetched already.

    Raises:
        Refused: it is not signed by an author who is trusted, or plan or provenance are not what was signed.
        HeadframeError: they are gone.
    """
    signed = signed or fetch_signature(version, service.uri, service.trust)
    require_signed_tags(version, signed)
    fetch = artifact_reader(version, service.uri)
    provenance = read_signed_provenance(fetch(layout.PROVENANCE), version, signed)
    trusted = [f"{name}." for name in provenance.lineage.packages]
    plan = read_signed_plan(fetch(layout.PLAN), version, signed, trusted)
    return VersionRecord(version, registered, signed, plan, provenance)


def summarise_version(record: VersionRecord, state: State) -> VersionSummary:
    """Return the summary of a version."""
    evaluated = record.provenance.evaluated
    return VersionSummary(
        version=record.version.number,
        state=state,
        registered=record.registered,
        author=record.signed.signer.name,
        name=record.plan.name,
        kind=describe(record.plan.learner),
        seed=record.plan.seed,
        value=evaluated.metrics[evaluated.primary_metric],
        configuration=digest(digest_content(record.plan, exclude={"seed"})),
    )


def _group_of(found: VersionRecord, own_source: Path) -> tuple[ComparableVersions, str]:
    """Return what two versions must have in common to be compared: rows, primary metric, and what the task measures.

    What its class declares to change training only, such as label smoothing, sets no versions apart.
    """
    split, evaluated = found.provenance.data.split, found.provenance.evaluated
    group = ComparableVersions(
        dataset=split.table.dataset,
        table=split.table.digest,
        split=split.digest,
        rows=evaluated.rows,
        primary_metric=evaluated.primary_metric,
        higher_is_better=evaluated.higher_is_better,
    )
    trained = class_constant(found.plan.task.target, "training_settings", own_source) or ()
    task = digest_content(found.plan.task)
    return group, digest({name: value for name, value in task.items() if name not in trained})


def _filled(group: ComparableVersions, versions: Sequence[VersionSummary]) -> ComparableVersions:
    """Return a group with its versions, the best first; of equal ones the newest."""

    def order(each: VersionSummary) -> tuple[float, int]:
        value = each.value.value if each.value else 0.0
        return (-value if group.higher_is_better else value, -each.version)

    return group.model_copy(update={"versions": tuple(sorted(versions, key=order))})


def version_state(entries: Sequence[Entry], number: int) -> State:
    """Return the state of a version, by the ledger alone."""
    present = champion_entry(entries)
    if present is not None and present.version == number:
        return "champion"
    judgements = [
        each for each in entries if each.version == number and each.kind in ("reject", "gate", *CHAMPION_KINDS)
    ]
    if judgements and judgements[-1].kind == "reject":
        return "rejected"
    gated = last_gate_entry(entries_since_champion(entries), number)
    if gated is not None:
        return "challenger" if gated.payload["passed"] else "refused"
    return "former champion" if any(each.kind in CHAMPION_KINDS for each in judgements) else "candidate"
