"""Details of a version: what was measured, what its gates found, who approved it, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headframe.digests import Record
from headframe.ledger.entries import Entry
from headframe.ledger.rules import last_gate_entry
from headframe.promotion.approvals import ApprovalSummary, read_approval
from headframe.promotion.service import PromotionService
from headframe.promotion.views.events import LedgerEvent, ledger_events
from headframe.promotion.views.overview import (
    State,
    VersionRecord,
    VersionSummary,
    read_version,
    summarise_version,
    version_state,
)
from headframe.records import Interval
from headframe.registry.listing import get_version
from headframe.registry.versions import ModelVersion, signed_files


class VersionDetails(Record):
    """Everything about one version.

    Attributes:
        model: name in the registry.
        version: its number.
        about: its line in `models list`.
        run_id: of the run that trained it.
        metrics: on its test rows.
        rows: how many there are.
        commit: of its code; empty where that is not known.
        libraries: that it rests on.
        digests: sha256 of everything it consists of and rests on.
        gates: result of each gate, as last run; empty where none was.
        policy: by which they were run.
        approvals: given for it, oldest first.
        events: what the ledger holds about it, oldest first.
    """

    model: str
    version: int
    about: VersionSummary
    run_id: str
    metrics: dict[str, Interval]
    rows: int
    commit: str
    libraries: dict[str, str]
    digests: dict[str, str]
    gates: tuple[dict[str, Any], ...]
    policy: str
    approvals: tuple[ApprovalSummary, ...]
    events: tuple[LedgerEvent, ...]

    @property
    def lines(self) -> list[str]:
        """For people."""
        about = self.about
        return [
            f"{self.model} version {self.version}: {about.state}",
            f"trained    {about.kind}, seed {about.seed}, by {about.author}, {about.registered}, run {self.run_id}",
            *(
                f"{'metric' if place == 0 else '':11}{name} {each}"
                for place, (name, each) in enumerate(self.metrics.items())
            ),
            f"           on {self.rows:,} test rows",
            *(
                f"gate       {'ok' if each['passed'] else 'no':4}{each['gate']}: {each['reason']}"
                for each in self.gates
            ),
            *(f"approved   by {each.by}, {each.time}: {each.reason} (until {each.expires})" for each in self.approvals),
            *(
                f"ledger     {each.number}, {each.time}, {each.what} by {each.by}: {each.message}"
                for each in self.events
            ),
            f"commit     {self.commit or 'not known'}",
            *(f"sha256     {name}: {text}" for name, text in self.digests.items()),
        ]


@dataclass(frozen=True)
class VersionFacts:
    """What is known of a version, from its signed files and from the ledger."""

    record: VersionRecord
    state: State
    entries: Sequence[Entry]
    events: list[LedgerEvent]
    approvals: tuple[ApprovalSummary, ...]

    @property
    def gated(self) -> Entry | None:
        """The last entry about its gates; None where there is none."""
        return last_gate_entry(self.entries, self.record.version.number)


def version_details(version: ModelVersion, service: PromotionService) -> VersionDetails:
    """Return everything about a version; its files are checked against their signature.

    Raises:
        Refused: they are not what a trusted author signed, or the ledger is broken.
    """
    known = read_facts(version, service)
    record, gated = known.record, known.gated
    return VersionDetails(
        model=version.model,
        version=version.number,
        about=summarise_version(record, known.state),
        run_id=version.run_id,
        metrics=record.provenance.evaluated.metrics,
        rows=record.provenance.evaluated.rows,
        commit=record.provenance.lineage.commit,
        libraries=record.provenance.lineage.libraries,
        digests=version_digests(record),
        gates=tuple(gated.payload["results"]) if gated else (),
        policy=gated.payload["policy"] if gated else "",
        approvals=known.approvals,
        events=tuple(known.events),
    )


def read_facts(version: ModelVersion, service: PromotionService) -> VersionFacts:
    """Read what is known of a version; its files are checked against their signature.

    Raises:
        Refused: they are not what a trusted author signed, or the ledger is broken.
    """
    version, registered = get_version(version, service.uri)
    with signed_files(version, service.uri, service.trust) as (_, statement):
        record = read_version(version, registered, service, statement)
    entries = service.ledger.entries(version.model, service.trust)
    approvals = tuple(
        ApprovalSummary.of(read_approval(each.payload["approval"], service.trust))
        for each in entries
        if each.kind == "approve" and each.version == version.number
    )
    events = ledger_events(entries, version.number, service.trust)
    return VersionFacts(record, version_state(entries, version.number), entries, events, approvals)


def version_digests(record: VersionRecord) -> dict[str, str]:
    """Return the sha256 of what a version consists of and rests on, by name."""
    names = ("bundle", "plan", "provenance", "table", "split", "predictions", "evaluated", "slices")
    signed = record.signed.payload
    return {"signature": record.signed.digest, **{name: str(signed[name]) for name in names if name in signed}}
