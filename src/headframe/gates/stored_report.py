"""Gate reports: stored with the run of their version as JSON and as a page, and fetched by digest."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from headframe.digests import validation_message
from headframe.errors import Refused
from headframe.gates.page import page
from headframe.gates.report import GateReport
from headframe.registry.versions import ModelVersion
from headframe.tracking.client import ArtifactMissing, artifacts_uri, download_bytes, open_client
from headframe.tracking.layout import GATES

NAME = 16  # digits of a report's sha256 that name its files


def report_bytes(report: GateReport) -> bytes:
    """Return the bytes of a report, whose digest is signed."""
    return (json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def store_report(version: ModelVersion, report: GateReport, uri: str) -> dict[str, str]:
    """Store a report with the version's run, as JSON and as a page.

    Returns:
        The sha256 of both, which are signed: `report` and `page`.

    Raises:
        HeadframeError: MLflow cannot be reached or written.
    """
    content = report_bytes(report)
    sha256 = hashlib.sha256(content).hexdigest()
    shown = page(report, sha256).encode()
    with tempfile.TemporaryDirectory() as scratch, open_client(uri) as client:
        for ending, each in (("html", shown), ("json", content)):
            file = Path(scratch) / f"{sha256[:NAME]}.{ending}"
            file.write_bytes(each)
            client.log_artifact(version.run_id, str(file), GATES)
    return {"report": sha256, "page": hashlib.sha256(shown).hexdigest()}


def fetch_report(version: ModelVersion, digests: Mapping[str, str], uri: str) -> GateReport:
    """Fetch a report and check that it and its page, which people read, are those that were signed.

    Args:
        version: which it is about.
        digests: of an entry about gates; `report` and `page` as `store_report` returned them.
        uri: MLflow's address.

    Raises:
        Refused: one of them was changed, or there is none.
    """
    name = f"{GATES}/{digests['report'][:NAME]}"
    content = _fetch(version, f"{name}.json", digests["report"], uri)
    _fetch(version, f"{name}.html", digests.get("page", ""), uri)
    try:
        report = GateReport.model_validate_json(content)
    except ValidationError as error:
        why = validation_message(error)
        msg = f"gate report {name}.json of {version.uri} cannot be read ({why}); run the gates again"
        raise Refused(msg) from error
    if (report.model, report.version) != (version.model, version.number):
        msg = f"gate report {name}.json is about {report.model} version {report.version}, not about {version.uri}"
        raise Refused(msg)
    return report


def _fetch(version: ModelVersion, name: str, sha256: str, uri: str) -> bytes:
    """Return the bytes of a file of the version's run, if they have this digest."""
    artifacts = artifacts_uri(version.run_id, uri)
    try:
        content = download_bytes(f"{artifacts}/{name}", uri)
    except ArtifactMissing as error:
        raise Refused(
            f"gate report {name} of {version.uri} cannot be fetched ({error}); run the gates again: "
            f"headframe models gate {version.model}/{version.number}"
        ) from error
    came = hashlib.sha256(content).hexdigest()
    if came != sha256:
        raise Refused(
            f"gate report {name} of {version.uri} has sha256 {came[:12]}, but {sha256[:12]} was signed; it was "
            "changed, so run the gates again"
        )
    return content
