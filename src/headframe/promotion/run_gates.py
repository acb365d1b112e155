"""Run of the gates of a policy on a version, and its entry in the ledger."""

from typing import Any

from headframe.errors import refuse_if
from headframe.gates.judge import judge_version
from headframe.gates.report import GateReport
from headframe.gates.request import GateRequest
from headframe.gates.stored_report import store_report
from headframe.ledger.entries import Entry, champion_entry, parse_time
from headframe.ledger.rules import count_candidates
from headframe.promotion.rules import author_left, require_role
from headframe.promotion.service import LedgerAction, PromotionService, require_challenger
from headframe.registry.listing import list_versions
from headframe.registry.versions import ModelVersion
from headframe.signing.keys import SigningKey
from headframe.tracking.client import run_tag

COMMIT = "mlflow.source.git.commit"  # MLflow's tag of a run; missing where the commit is not known


class GateAction(LedgerAction):
    """A version that was checked by the gates."""

    report: GateReport
    sha256: str  # of the report's bytes, which is signed
    author: str  # who signed the version's files


def run_gates(version: ModelVersion, service: PromotionService, key: SigningKey) -> GateAction:
    """Run the gates of the policy in force on a version, against the present champion, and record their report.

    Raises:
        Refused: the signer may not, the version is the champion, or its files are not what was signed.
    """
    require_role(service.trust, key, "gate")
    service.project_pending(version.model)
    files = service.version_files(version)
    refuse_if(author_left(f"{version.model}/{version.number}", service.rules(files.author, ())))
    registered = {each.number: parse_time(time) for each, time in list_versions(version.model, service.uri)}
    commit = run_tag(version.run_id, COMMIT, service.uri)
    judged: list[tuple[GateRequest, GateReport, dict[str, str]]] = []  # the last one is what is written

    def build(entries: tuple[Entry, ...]) -> tuple[int, dict[str, Any]]:
        present = champion_entry(entries)
        require_challenger(version, present, "gate another version")
        number = present.version if present else None
        request = service.gate_request(
            version,
            number,
            entries,
            files,
            candidates=count_candidates(entries, version.number, registered),
        )
        if not judged or judged[-1][0] != request:
            report = judge_version(request)
            judged.append((request, report, store_report(version, report, service.uri)))
        _, report, stored = judged[-1]
        return version.number, {
            "passed": report.passed,
            "reason": report.reason,
            "results": [
                each.model_dump(include={"gate", "topic", "passed", "verdict", "reason"}) for each in report.results
            ],
            "champion": number,
            "author": files.author.name,
            "tries": report.tries,
            "candidates": report.candidates,
            "policy": report.policy,
            "settings": report.settings,
            "tested": None if report.tested is None else report.tested.model_dump(),
            "error_control": report.error_control,
            "approvals": service.promotion.approvals.model_dump(mode="json"),
            "commit": commit or "",
            "digests": {
                **service.registered_digests(version),
                **report.digests,
                **stored,
                "bundle": files.bundle,
                "signature": files.signature,
            },
        }

    entry = service.append(version.model, "gate", key, build)
    _, report, stored = judged[-1]
    count = len(report.results)
    outcome = f"passed {count} gate{'' if count == 1 else 's'}" if report.passed else "is refused"
    message = f"{version.model} version {version.number} {outcome}: {report.reason}"
    return GateAction.of(entry, message, report=report, sha256=stored["report"], author=files.author.name)
