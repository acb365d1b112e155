"""The model card of a registered version: intended use, metrics, gates, approvals, lineage."""

from typing import Any

from pydantic import ValidationError

from headframe.digests import validation_message
from headframe.errors import DataError
from headframe.evaluation.findings import summarise, tabulate
from headframe.evaluation.layout import METRICS, SLICES
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.report import NO_SLICES, EvaluationResults, SlicesByColumn, evaluation_sections
from headframe.gates.report import SLICES as SLICES_TOPIC
from headframe.pages import render
from headframe.pages.parts import PageTable
from headframe.promotion.service import PromotionService
from headframe.promotion.views.findings import read_findings
from headframe.promotion.views.overview import VersionRecord
from headframe.promotion.views.version_details import VersionDetails, read_details
from headframe.registry.compare_signed import require_signed_bytes
from headframe.registry.listing import artifact_reader
from headframe.registry.versions import ModelVersion
from headframe.tracking import layout

_GOOD, _BAD = ("champion", "challenger"), ("refused", "rejected")
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of no bytes


def model_card(version: ModelVersion, service: PromotionService, suffix: str) -> str:
    """Return the card of a version: HTML where `suffix` is `.html`, else Markdown.

    The version's files are checked against their signature.

    Raises:
        Refused: they are not what a trusted author signed, or the ledger is broken.
        HeadframeError: what was measured cannot be had.
    """
    known, found = read_details(version, service)
    fetch = artifact_reader(version, service.uri)
    files = {
        name: require_signed_bytes(fetch(f"{layout.EVALUATION}/{file}"), name, file, version, found.signed)
        for name, file in (("evaluated", METRICS), ("slices", SLICES))
    }
    try:
        results = EvaluationResults(
            plan=found.plan,
            table=found.provenance.data.split.table,
            trained=found.provenance.trained,
            baseline=None,
            measured=EvaluationMetrics.model_validate_json(files["evaluated"]),
            slices=SlicesByColumn.validate_json(files["slices"]),
            series=found.provenance.data.validated.series,
            **_findings(version, found, service),
        )
    except ValidationError as error:
        why = validation_message(error)
        msg = f"metrics.json or slices.json of {version.uri} cannot be read ({why}); train and register it again"
        raise DataError(msg) from error
    return render.render_page("model_card", suffix, **_page(known, found, results))


def _page(known: VersionDetails, found: VersionRecord, results: EvaluationResults) -> dict[str, Any]:
    """Return what the template shows."""
    name, state = f"{known.model}/{known.version}", known.about.state
    split, expectations = found.provenance.data.split, found.provenance.data.validated.expectations
    events = [[str(each.number), each.time, each.what, each.by, each.message] for each in known.events]
    reproduced = [each for each in known.events if each.what.startswith("reproduced")]
    return {
        **evaluation_sections(results),
        **_gates(known, name),
        "kind": "Model card",
        "title": f"{known.model} version {known.version}",
        "badge": (state, "good" if state in _GOOD else "bad" if state in _BAD else "plain"),
        "registration": f"Registered {found.registered} by {found.signed.signer.name}, whose signature on every file "
        "of the model was checked when this page was written.",
        "data": {
            **results.data_sheet,
            "Split": str(split),
            "Contract": f"{expectations:,} expectation{'' if expectations == 1 else 's'} met",
        },
        "approvals": PageTable(
            ["approved by", "when", "expires", "reason"],
            [[each.by, each.time, each.expires, each.reason] for each in known.approvals],
        ),
        "ledger": PageTable(["#entry", "when", "action", "by", "details"], events),
        "lineage": _lineage(found),
        "reproduced": f"Last reproduced {reproduced[-1].time} by {reproduced[-1].by}: "
        f"{reproduced[-1].what.partition(': ')[2]}."
        if reproduced
        else "Not reproduced yet.",
        "commands": [f"headframe reproduce {name}"],
        "limits": _limits(known, results),
        "digests": known.digests,
    }


def _findings(version: ModelVersion, found: VersionRecord, service: PromotionService) -> dict[str, Any]:
    """Return what a card shows of the version's findings, by field of `EvaluationResults`; nothing without any."""
    if "findings" not in found.signed.payload:
        return {}
    kind, findings = read_findings(version, found, service)
    return {"findings": summarise(findings, kind), "findings_table": tabulate(findings, kind)}


def _gates(known: VersionDetails, name: str) -> dict[str, Any]:
    gated = known.gated
    if gated is None:
        return {
            "gates_summary": f"Not checked by the gates yet: run `headframe models gate {name}`.",
            "gates_table": None,
        }
    payload, report = gated.payload, gated.digests["report"]
    champion = "no champion before it" if payload["champion"] is None else f"against version {payload['champion']}"
    tries = f", try {payload['tries']} against this champion" if payload["tries"] > 1 else ""
    rows = [
        [each["gate"], f"{'✓' if each['passed'] else '✗'} {each['verdict']}", each["reason"]] for each in known.gates
    ]
    return {
        "gates_summary": f"Policy {payload['policy']}, {champion}{tries}; signed by {gated.signer}, {gated.time}.",
        "gates_table": PageTable(["gate", "verdict", "reason"], rows),
        "gates_note": f"Report `gates/{report[:16]}.json` of its run, SHA-256 `{report}`.",
    }


def _limits(known: VersionDetails, results: EvaluationResults) -> list[str]:
    """Return what the figures do not show; a gate may have measured slices where the evaluation did not."""
    found = [
        each["reason"] for each in known.gates if each.get("topic") == SLICES_TOPIC and each["verdict"] != "no slices"
    ]
    if not found:
        return results.limits
    of_gate = (
        f"The evaluation measured no slices; the slices gate found: {'; '.join(found)}. Name columns in "
        "evaluation.slices to see where the model is weak."
    )
    return [of_gate if each == NO_SLICES else each for each in results.limits]


def _lineage(found: VersionRecord) -> dict[str, str]:
    lineage = found.provenance.lineage
    recorded = f"code/code.diff of its run, SHA-256 {lineage.diff}"
    return {
        "Code": f"commit {lineage.commit}" if lineage.commit else "commit unknown",
        "Uncommitted changes": {None: "unknown", _NOTHING: "none"}.get(lineage.diff, recorded),
        "Project modules": ", ".join(lineage.packages) or "none",
        "Libraries": ", ".join(f"{name} {version}" for name, version in sorted(lineage.libraries.items())),
        "Python": f"{lineage.python} on {lineage.machine}, trained on {lineage.device}",
        "Headframe": str(found.signed.payload["headframe"]),
        "Seed": str(found.plan.seed),
        "Run": found.version.run_id,
    }
