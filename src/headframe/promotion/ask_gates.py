"""Run of the gates of a policy on a version, and its entry in the ledger."""

from __future__ import annotations

from typing import Any

from headframe.gates.report import GateReport
from headframe.gates.request import GateRequest
from headframe.ledger.entries import Entry, champion_entry, parse_time
from headframe.ledger.rules import count_candidates, count_tries
from headframe.promotion.rules import PromotionRules, reproduction_verdict, require_active_author, require_role
from headframe.promotion.service import LedgerAction, PromotionService, require_challenger, to_action
from headframe.registry.versions import ModelVersion
from headframe.signing.keys import OwnKey

COMMIT = "mlflow.source.git.commit"  # MLflow's tag of a run


class GateAction(LedgerAction):
    """A version that was checked by the gates.

    Attributes:
        report: of all gates.
        sha256: of the report's bytes, which is signed.
        author: who signed the version's files.
    """

    report: GateReport
    sha256: str
    author: str


def ask_gates(version: ModelVersion, service: PromotionService, key: OwnKey) -> GateAction:
    """Run the gates of the policy in force on a version, against the present champion, and record their report.

    Raises:
        Refused: the signer may not, the version is the champion, or its files are not what was signed.
    """
    from headframe.gates.judge import judge_version  # noqa: PLC0415 - the report's page is heavy
    from headframe.promotion.gate_reports import StoredReport, store_report  # noqa: PLC0415 - the report's page is heavy
    from headframe.registry.listing import list_versions  # noqa: PLC0415 - as this is

    require_role(service.trust, key, "gate")
    service.project_pending(version.model)
    files = service.version_files(version)
    name = f"{version.model}/{version.number}"
    require_active_author(name, PromotionRules(service.promotion, service.trust, files.author, service.time(())))
    registered = {each.number: parse_time(time) for each, time in list_versions(version.model, service.uri)}
    reports: dict[tuple[int | None, int, int, str | None], tuple[GateReport, StoredReport]] = {}

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present = champion_entry(entries)
        require_challenger(version, present, "gate another version")
        number = present.version if present else None
        state = (
            number,
            count_tries(entries, version.number, number),
            count_candidates(entries, version.number, registered),
            reproduction_verdict(entries, version.number, files.bundle, files.author, service.promotion),
        )
        if state not in reports:
            report = judge_version(
                GateRequest(
                    version=version,
                    champion=None if number is None else service.version(version.model, number),
                    promotion=service.promotion,
                    uri=service.uri,
                    root=service.root,
                    trust=service.trust,
                    tries=state[1],
                    candidates=state[2],
                    reproduced=state[3],
                )
            )
            reports[state] = report, store_report(version, report, service.uri)
        report, stored = reports[state]
        reports[state] = reports.pop(state)  # the last one is what is written
        return version.number, {
            "passed": report.passed,
            "reason": report.reason,
            "results": [
                {"gate": each.gate, "passed": each.passed, "verdict": each.verdict, "reason": each.reason}
                for each in report.results
            ],
            "champion": number,
            "author": files.author.name,
            "tries": report.tries,
            "candidates": report.candidates,
            "policy": report.policy,
            "settings": report.settings,
            "approvals": service.promotion.approvals.model_dump(mode="json"),
            "commit": source_commit(version, service.uri),
            "digests": {
                **service.registered_digests(version),
                **report.digests,
                "bundle": files.bundle,
                "report": stored.sha256,
                "page": stored.page,
                "signature": files.signature,
            },
        }

    entry = service.append(version.model, "gate", key, build)
    report, stored = next(reversed(reports.values()))
    who = f"{version.model} version {version.number}"
    how = f"passed {_gates(report)}" if report.passed else "is refused"
    action = to_action(entry, f"{who} {how}: {report.reason}")
    return GateAction(**dict(action), report=report, sha256=stored.sha256, author=files.author.name)


def source_commit(version: ModelVersion, uri: str) -> str:
    """Return the git commit that a version was trained from; empty where it is not known."""
    from headframe.tracking.client import make_client  # noqa: PLC0415 - nothing else here needs it
    from headframe.tracking.errors import readable_errors  # noqa: PLC0415 - nothing else here needs it

    client = make_client(uri)
    with readable_errors(uri):
        return str(client.get_run(version.run_id).data.tags.get(COMMIT, ""))


def _gates(report: GateReport) -> str:
    count = len(report.results)
    return f"{count} gate{'' if count == 1 else 's'}"
