"""The card of a version: what it is for, how good it is, what was proven of it, by whose word, what it rests on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headframe.digests import Record
from headframe.errors import DataError
from headframe.evaluation.card import use
from headframe.evaluation.facts import NO_SLICES, Facts, signed, spread
from headframe.evaluation.layout import METRICS, SLICES
from headframe.evaluation.paired import Comparison
from headframe.evaluation.slices import Slice
from headframe.pages.blocks import (
    Block,
    Bullets,
    Dot,
    Dots,
    Grid,
    Heading,
    Page,
    Pairs,
    Section,
    Text,
    Tiles,
    Verbatim,
    as_html,
    as_markdown,
)
from headframe.pages.numbers import number
from headframe.promotion.service import PromotionService
from headframe.promotion.views.events import LedgerEvent
from headframe.promotion.views.overview import VersionRecord
from headframe.promotion.views.version_details import VersionFacts, read_facts, version_digests
from headframe.records import Interval
from headframe.registry.listing import run_artifacts
from headframe.registry.signed_record import require_signed_bytes
from headframe.registry.versions import ModelVersion
from headframe.tracking import layout

_GOOD, _BAD = ("champion", "challenger"), ("refused", "rejected")
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of no bytes


class Card(Record):
    """The card of a version.

    Attributes:
        model: name in the registry.
        version: its number.
        html: as a page.
        markdown: as text.
    """

    model: str
    version: int
    html: str
    markdown: str


def model_card(version: ModelVersion, service: PromotionService) -> Card:
    """Write the card of a version; its files are checked against their signature.

    Raises:
        Refused: they are not what a trusted author signed, or the ledger is broken.
        HeadframeError: what was measured cannot be had.
    """
    known = read_facts(version, service)
    found = known.record
    with run_artifacts(version, service.uri) as fetch:
        names = {"evaluated": METRICS, "slices": SLICES}
        measured = {
            name: require_signed_bytes(fetch(f"{layout.EVALUATION}/{file}"), name, file, version, found.signed)
            for name, file in names.items()
        }
    try:
        facts = _facts(found, json.loads(measured["evaluated"]), json.loads(measured["slices"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"metrics.json or slices.json of {version.uri} cannot be read ({error!r}); train and register it again"
        raise DataError(msg) from error
    page = _page(known, facts)
    return Card(model=version.model, version=version.number, html=as_html(page), markdown=as_markdown(page))


def _facts(found: VersionRecord, measured: dict[str, Any], parts: dict[str, Any]) -> Facts:
    """Put together what the evaluation found, from the files that it left."""
    metrics = found.provenance.evaluated.metrics
    compared = None
    if "difference" in measured:
        compared = Comparison(
            metrics, _intervals(measured["baseline"]), _intervals(measured["difference"]), measured["resamples"]
        )
    return Facts(
        plan=found.plan,
        table=found.provenance.data.split.table,
        trained=found.provenance.trained,
        baseline=None,
        lead=measured["lead"],
        higher_is_better=measured["higher_is_better"],
        rows=measured["rows"],
        different=measured["different_rows"],
        block=measured["block"],
        metrics=metrics,
        resamples=measured["resamples"],
        interval_note=measured["interval_note"],
        caveats=tuple(measured["caveats"]),
        comparison=compared,
        slices={
            column: [Slice(each["value"], each["rows"], _intervals(each["metrics"])) for each in values]
            for column, values in parts.items()
        },
    )


def _intervals(plain: dict[str, Any]) -> dict[str, Interval]:
    return {name: Interval.model_validate(each) for name, each in plain.items()}


def _page(known: VersionFacts, facts: Facts) -> Page:
    found, version = known.record, known.record.version
    name = f"{version.model}/{version.number}"
    kind = "good" if known.state in _GOOD else "bad" if known.state in _BAD else "plain"
    return Page(
        kicker="Model card",
        title=f"{version.model} version {version.number}",
        badge=(known.state, kind),
        opening=[
            Text(f"{facts.model} for {facts.plan.task.kind} on {facts.plan.dataset.title}."),
            Text(
                f"Registered {found.registered} by {found.signed.signer.name}, whose signature on every file of the "
                "model was checked when this page was written.",
                soft=True,
            ),
            Tiles(facts.tiles),
        ],
        sections=[
            Section("What it is for", [Text(each) for each in use(facts)]),
            Section("Data", [Pairs(_sheet(found, facts))]),
            Section("Metrics", _metrics(facts)),
            Section("Slices", _slices(facts)),
            Section("Gates", _gates(known, name)),
            Section("Approvals", _approvals(known)),
            Section("Ledger", _ledger(known.events)),
            Section("Lineage", _lineage(found)),
            Section("Make it again", _again(known, name)),
            Section("Limits", [Bullets(_limits(known, facts))]),
            Section("Digests (sha256)", [Pairs(version_digests(found), code=True)]),
        ],
    )


def _sheet(found: VersionRecord, facts: Facts) -> dict[str, str]:
    split = found.provenance.data.split
    checked = found.provenance.data.validated.expectations
    return {
        **facts.data_sheet,
        "Division": split.summary,
        "Contract": f"{checked:,} expectation{'' if checked == 1 else 's'} kept",
    }


def _metrics(facts: Facts) -> list[Block]:
    compared = facts.comparison
    heads = ["metric", "#value", "interval"]
    heads += ["#baseline", "model minus baseline"] if compared is not None else []
    rows = []
    for name in facts.names:
        cells = [name, number(facts.metrics[name].value), spread(facts.metrics[name])]
        if compared is not None and name in compared.difference:
            cells += [number(compared.baseline[name].value), signed(compared.difference[name])]
        rows.append(cells + [""] * (len(heads) - len(cells)))
    direction = "higher" if facts.higher_is_better else "lower"
    against: list[Block] = [Text(f"Baseline: {facts.compared_with}. {facts.verdict}")] if compared is not None else []
    told = f"{facts.lead} decides between models; {direction} is better. {facts.method}"
    return [*against, Grid(heads, rows, frozenset({0})), Text(told, soft=True)]


def _slices(facts: Facts) -> list[Block]:
    found: list[Block] = []
    whole = facts.metrics[facts.lead]
    for column, parts in facts.slices.items():
        measured = [(part, part.metrics[facts.lead]) for part in parts if facts.lead in part.metrics]
        found.append(Heading(column))
        if measured:
            dots = [Dot(part.value, lead.value, lead.low, lead.high) for part, lead in measured]
            found.append(Dots(dots, f"{facts.lead}; dashed: all test {facts.examples}", whole.value))
        rows = [
            [part.value, f"{part.rows:,}", number(lead.value), spread(lead)]
            if (lead := part.metrics.get(facts.lead)) is not None
            else [part.value, f"{part.rows:,}", "", "too few"]
            for part in parts
        ]
        found.append(Grid([column, f"#{facts.examples}", f"#{facts.lead}", "interval"], rows))
    return found


def _gates(known: VersionFacts, name: str) -> list[Block]:
    gated = known.gated
    if gated is None:
        return [Text(f"No gate was asked about this version yet: `headframe models gate {name}`")]
    payload = gated.payload
    against = "there was no champion" if payload["champion"] is None else f"against version {payload['champion']}"
    tried = f", try {payload['tries']} against this champion" if payload["tries"] > 1 else ""
    rows = [
        [each["gate"], "✓" if each["passed"] else "✗", each["verdict"], each["reason"]] for each in payload["results"]
    ]
    return [
        Text(f"Policy {payload['policy']}, {against}{tried}; signed by {gated.signer}, {gated.time}."),
        Grid(["gate", "", "verdict", "~why"], rows),
        Text(
            f"Report `gates/{gated.digests['report'][:16]}.json` of its run, sha256 `{gated.digests['report']}`.",
            soft=True,
        ),
    ]


def _limits(known: VersionFacts, facts: Facts) -> list[str]:
    """Tell what the figures do not say; a gate may have looked at slices where the evaluation did not."""
    verdicts = known.gated.payload["results"] if known.gated is not None else ()
    found = [each["reason"] for each in verdicts if each["gate"] == "slices" and each["verdict"] != "nothing asked"]
    if not found:
        return facts.limits
    told = (
        f"The evaluation measured no slices; what the gate found of them: {'; '.join(found)}. Name columns in "
        "evaluation.slices to see where the model is weak."
    )
    return [told if each == NO_SLICES else each for each in facts.limits]


def _approvals(known: VersionFacts) -> list[Block]:
    if not known.approvals:
        return [Text("None was given.")]
    rows = [[each.by, each.time, each.expires, each.reason] for each in known.approvals]
    return [Grid(["who", "when", "until", "~why"], rows)]


def _ledger(told: Sequence[LedgerEvent]) -> list[Block]:
    if not told:
        return [Text("It does not know this version yet.")]
    rows = [[str(each.number), each.time, each.what, each.by, each.message] for each in told]
    return [Grid(["#entry", "when", "~what", "who", "~why"], rows)]


def _lineage(found: VersionRecord) -> list[Block]:
    origin = found.provenance.lineage
    kept = f"kept with its run as code/code.diff, sha256 {origin.diff}"
    own = sorted({name.partition(".")[0] for name in origin.modules} - {"headframe"})
    told = {
        "Code": f"commit {origin.commit}" if origin.commit else "commit not known",
        "Uncommitted changes": {None: "not known", _NOTHING: "none"}.get(origin.diff, kept),
        "Of the project": ", ".join(own) or "no code of its own",
        "Libraries": ", ".join(f"{name} {version}" for name, version in sorted(origin.libraries.items())),
        "Python": f"{origin.python} on {origin.machine}, trained on {origin.device}",
        "Headframe": str(found.signed.payload["headframe"]),
        "Seed": str(found.plan.seed),
        "Run": found.version.run_id,
    }
    return [Pairs(told)]


def _again(known: VersionFacts, name: str) -> list[Block]:
    tried = [each for each in known.events if each.what.startswith("reproduced")]
    said = (
        f"Last tried {tried[-1].time} by {tried[-1].by}: {tried[-1].what.partition(': ')[2]}."
        if tried
        else "Nobody has tried yet."
    )
    return [Text(said), Verbatim(f"headframe reproduce {name}")]
