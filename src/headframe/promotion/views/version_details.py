"""Details of a version: what was measured, what its gates found, who approved it, and what it rests on."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from headframe.digests import Record
from headframe.ledger.entries import Entry
from headframe.ledger.rules import last_gate_entry
from headframe.promotion.approvals import ApprovalSummary, read_approval
from headframe.promotion.service import PromotionService
from headframe.promotion.views.error_budget import ErrorBudget, error_budget
from headframe.promotion.views.overview import (
    VersionRecord,
    VersionSummary,
    read_version,
    summarise_version,
    version_state,
)
from headframe.records import Interval
from headframe.registry.listing import get_version
from headframe.registry.versions import ModelVersion, signed_files
from headframe.signing.trust import Trust

_DIGESTS = ("bundle", "plan", "provenance", "table", "split", "predictions", "evaluated", "slices", "findings")


class LedgerEvent(Record):
    """An entry of the ledger about a version, as people read it."""

    number: int  # of the entry
    time: str  # UTC, ISO 8601
    what: str  # was done
    by: str  # who did it; of an approval the approver
    message: str  # the reason, or the outcome
    digest: str  # of the entry


class VersionDetails(Record):
    """Everything about one version."""

    model: str
    version: int
    about: VersionSummary  # its line in `models list`
    run_id: str  # of the run that trained it
    metrics: dict[str, Interval]  # on its test rows
    rows: int  # how many test rows there are
    compared: tuple[str, ...]  # with its baselines on them, in words
    commit: str  # of its code; empty where that is not known
    libraries: dict[str, str]  # version by name
    digests: dict[str, str]  # sha256 of everything that it consists of and rests on
    gated: Entry | None = Field(exclude=True)  # the last entry about its gates
    gates: tuple[dict[str, Any], ...]  # result of each gate, as last run; empty where none was
    policy: str  # by which they were run
    error_budget: ErrorBudget  # what the next version may be wrong by
    approvals: tuple[ApprovalSummary, ...]  # oldest first
    events: tuple[LedgerEvent, ...]  # what the ledger holds about it, oldest first

    @property
    def lines(self) -> list[str]:
        """For people."""
        about = self.about
        metrics = [f"{name} {each}" for name, each in self.metrics.items()]
        return [
            f"{self.model} version {self.version}: {about.state}",
            f"trained    {about.kind}, seed {about.seed}, by {about.author}, {about.registered}, run {self.run_id}",
            *(f"{'' if place else 'metric':11}{text}" for place, text in enumerate(metrics)),
            f"           on {self.rows:,} test rows",
            *(f"           {text}" for text in self.compared),
            *(
                f"gate       {'ok' if each['passed'] else 'no':4}{each['gate']}: {each['reason']}"
                for each in self.gates
            ),
            f"allowed    {self.error_budget}",
            *(f"approved   by {each.by}, {each.time}: {each.reason} (until {each.expires})" for each in self.approvals),
            *(
                f"ledger     {each.number}, {each.time}, {each.what} by {each.by}: {each.message}"
                for each in self.events
            ),
            f"commit     {self.commit or 'not known'}",
            *(f"sha256     {name}: {text}" for name, text in self.digests.items()),
        ]


def version_details(version: ModelVersion, service: PromotionService) -> VersionDetails:
    """Return everything about a version; see `read_details`."""
    return read_details(version, service)[0]


def read_details(version: ModelVersion, service: PromotionService) -> tuple[VersionDetails, VersionRecord]:
    """Return everything about a version, and its signed records; its files are checked against their signature.

    Raises:
        Refused: they are not what a trusted author signed, or the ledger is broken.
    """
    version, registered = get_version(version, service.uri)
    with signed_files(version, service.uri, service.trust) as (_, signed):
        record = read_version(version, registered, service, signed)
    entries = service.ledger.entries(version.model, service.trust)
    approvals = [
        read_approval(each.payload["approval"], service.trust).summary
        for each in entries
        if each.kind == "approve" and each.version == version.number
    ]
    evaluated, lineage = record.provenance.evaluated, record.provenance.lineage
    gated = last_gate_entry(entries, version.number)
    details = VersionDetails(
        model=version.model,
        version=version.number,
        about=summarise_version(record, version_state(entries, version.number)),
        run_id=version.run_id,
        metrics=evaluated.metrics,
        rows=evaluated.rows,
        compared=tuple(evaluated.verdicts),
        commit=lineage.commit,
        libraries=lineage.libraries,
        digests={"signature": signed.digest}
        | {name: str(signed.payload[name]) for name in _DIGESTS if name in signed.payload},
        gated=gated,
        gates=tuple(gated.payload["results"]) if gated else (),
        policy=gated.payload["policy"] if gated else "",
        error_budget=error_budget(entries, service.promotion),
        approvals=tuple(approvals),
        events=tuple(_events(entries, version.number, service.trust)),
    )
    return details, record


def _events(entries: Sequence[Entry], number: int, trust: Trust) -> Iterable[LedgerEvent]:
    """Yield what the ledger holds about a version, oldest first."""
    for entry in entries:
        left = entry.kind == "rollback" and entry.payload["from"] == number
        if entry.version == number or left:
            what, by, message = _describe(entry, left, trust)
            yield LedgerEvent(
                number=entry.number, time=entry.time, what=what, by=by, message=message, digest=entry.digest
            )


def _describe(entry: Entry, left: bool, trust: Trust) -> tuple[str, str, str]:
    """Return what was done, by whom, and the reason; `left`: rolled back from the version, not to it."""
    payload, by = entry.payload, entry.signer
    match entry.kind:
        case "gate":
            champion = payload["champion"]
            against = "against no champion" if champion is None else f"against version {champion}"
            what = "passed its gates" if payload["passed"] else "refused by its gates"
            return what, by, f"{against}: {payload['reason']}"
        case "approve":
            approval = read_approval(payload["approval"], trust)
            return "approved", approval.signer.name, f"{approval.reason} (until {approval.expires})"
        case "reject":
            return "rejected", by, payload["reason"]
        case "promote":
            return "promoted", by, payload["reason"] or payload["gate_reason"]
        case "rollback":
            return f"rolled back {'from' if left else 'to'} it", by, payload["reason"]
        case "reproduce":
            return f"reproduced: {payload['verdict']}", by, str(payload["reason"] or "")
