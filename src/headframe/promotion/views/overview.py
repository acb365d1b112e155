"""Overview of a model's versions: their states, their metrics, and which of them may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headframe.config.plan.plan import VersionPlan
from headframe.digests import Record, digest, digest_content
from headframe.errors import HeadframeError, Unavailable
from headframe.evaluation.report import describe
from headframe.ledger.entries import CHAMPION_KINDS, Entry, champion_entry
from headframe.ledger.rules import entries_since_champion, last_gate_entry
from headframe.promotion.service import PromotionService
from headframe.records import Interval, Provenance
from headframe.registry.signed_record import read_signed_plan, read_signed_provenance, require_signed_tags
from headframe.registry.versions import ModelVersion, fetch_signature
from headframe.tracking import layout

if TYPE_CHECKING:
    from headframe.registry.signature import SignedModel
from headframe.registry.listing import list_versions, run_artifacts

State = Literal["champion", "former champion", "rejected", "challenger", "refused", "candidate", "not trusted"]
"""Candidate: registered. Challenger: passed every gate against the present champion; refused: did not."""


class VersionSummary(Record):
    """One line about a version.

    Attributes:
        version: its number.
        state: in its life from candidate to champion.
        registered: when: UTC, ISO 8601.
        author: who signed it; empty where no trusted person did.
        name: of its plan.
        kind: of its model.
        seed: of its training.
        value: its primary metric on its test rows.
        configuration: sha256 of its plan without the seed; versions that differ only by chance share it.
        problem: why nothing else is known; else empty.
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
        split: sha256 of its split.
        rows: how many test rows there are; of a forecast, windows.
        primary_metric: the primary metric.
        higher_is_better: its direction.
        versions: which.
    """

    dataset: str
    table: str
    split: str
    rows: int
    primary_metric: str
    higher_is_better: bool
    versions: tuple[VersionSummary, ...]

    @property
    def description(self) -> str:
        """What they have in common."""
        return (
            f"{self.primary_metric} on the same {self.rows:,} test rows of {self.dataset} "
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
        groups = [(group.description, [each.summary for each in group.versions]) for group in self.groups]
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
    incomparable = [each.summary for each in others]
    return [*lines, "", "not comparable with any:", *incomparable] if incomparable else lines


@dataclass(frozen=True)
class VersionRecord:
    """What is known of a version from its author's signed files.

    Attributes:
        version: which.
        registered: when: UTC, ISO 8601.
        signed: its author's statement.
        plan: that was run.
        provenance: what it rests on, and its metrics.
    """

    version: ModelVersion
    registered: str
    signed: SignedModel
    plan: VersionPlan
    provenance: Provenance

    @property
    def configuration(self) -> str:
        """The sha256 of the plan that decides a version, without its seed."""
        return digest(digest_content(self.plan, exclude={"seed"}))


def plan_settings(plan: VersionPlan) -> dict[str, Any]:
    """Return what determines a version apart from chance: its plan without the seed."""
    return plan.model_dump(mode="json", exclude={"seed"})


def overview(model: str, service: PromotionService) -> Overview:
    """Return all versions of a model.

    Raises:
        ConfigurationError: there is no such model.
        Refused: the ledger is broken.
    """
    entries = service.ledger.entries(model, service.trust)
    return group_versions(model, *read_versions(model, service), entries)


def read_versions(model: str, service: PromotionService) -> tuple[list[VersionRecord], list[VersionSummary]]:
    """Read what is known of each version of a model.

    Returns:
        The versions that could be read, and a summary with the problem for each that could not.

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
    """Group the versions that may be compared."""
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
        configuration=record.configuration,
    )


def comparison_key(found: VersionRecord) -> tuple[Any, ...]:
    """Return what two versions must have in common to be compared: rows, task, and primary metric."""
    data, evaluated = found.provenance.data, found.provenance.evaluated
    return (
        data.split.table.dataset,
        data.split.table.digest,
        data.split.digest,
        evaluated.rows,
        evaluated.primary_metric,
        evaluated.higher_is_better,
        digest(found.plan.task),
    )


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


def _group(key: tuple[Any, ...], found: Sequence[VersionSummary]) -> ComparableVersions:
    dataset, table, split, rows, primary_metric, higher_is_better, _ = key

    def order(each: VersionSummary) -> tuple[float, int]:
        value = each.value.value if each.value else 0.0
        return (-value if higher_is_better else value, -each.version)

    return ComparableVersions(
        dataset=dataset,
        table=table,
        split=split,
        rows=rows,
        primary_metric=primary_metric,
        higher_is_better=higher_is_better,
        versions=tuple(sorted(found, key=order)),
    )


def _ordered(groups: list[ComparableVersions], number: int | None) -> list[ComparableVersions]:
    """Sort groups: the champion's first, then those with the newest versions."""

    def order(group: ComparableVersions) -> tuple[bool, int]:
        numbers = [each.version for each in group.versions]
        return (number not in numbers, -max(numbers))

    return sorted(groups, key=order)
