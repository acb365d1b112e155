"""Gate reports: stored with the run of their version as JSON and as a page, and fetched by digest."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from headframe.errors import Refused
from headframe.gates.report import GateReport
from headframe.registry.versions import ModelVersion
from headframe.tracking.downloads import ArtifactMissing, download
from headframe.tracking.errors import first_line
from headframe.tracking.layout import GATES

log = logging.getLogger("headframe")


NAME = 16  # digits of a report's sha256 that name its files


@dataclass(frozen=True)
class StoredReport:
    """Identity of a report that was stored with a run.

    Attributes:
        sha256: of the JSON: the report's name, and what is signed.
        page: sha256 of the HTML page that shows it.
    """

    sha256: str
    page: str


def report_bytes(report: GateReport) -> bytes:
    """Return the bytes of a report, whose digest is signed."""
    return (json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def store_report(version: ModelVersion, report: GateReport, uri: str) -> StoredReport:
    """Store a report with the version's run, as JSON and as a page.

    Returns:
        The digests of both.

    Raises:
        HeadframeError: MLflow cannot be reached or written.
    """
    from headframe.gates.page import page  # noqa: PLC0415 - see `judge_version`
    from headframe.tracking.client import make_client  # noqa: PLC0415
    from headframe.tracking.errors import readable_errors  # noqa: PLC0415

    content = report_bytes(report)
    sha256 = hashlib.sha256(content).hexdigest()
    shown = page(report, sha256).encode()
    client = make_client(uri)
    with tempfile.TemporaryDirectory() as scratch, readable_errors(uri):
        for ending, each in (("html", shown), ("json", content)):
            file = Path(scratch) / f"{sha256[:NAME]}.{ending}"
            file.write_bytes(each)
            client.log_artifact(version.run_id, str(file), GATES)
    return StoredReport(sha256, hashlib.sha256(shown).hexdigest())


def fetch_report(version: ModelVersion, sha256: str, uri: str) -> GateReport:
    """Fetch a report and check that it is the one with this digest.

    Raises:
        Refused: it was changed, or there is none.
    """
    name = f"{GATES}/{sha256[:NAME]}.json"
    content = _fetch(version, name, sha256, uri)
    try:
        report = GateReport.model_validate_json(content)
    except ValidationError as error:
        msg = f"gate report {name} of {version.uri} cannot be read ({first_line(error)}); run the gates again"
        raise Refused(msg) from error
    if (report.model, report.version) != (version.model, version.number):
        msg = f"gate report {name} is about {report.model} version {report.version}, not about {version.uri}"
        raise Refused(msg)
    return report


def require_stored_page(version: ModelVersion, stored: StoredReport, uri: str) -> None:
    """Check that the page of a report is the one that was stored with it, since people read the page.

    Raises:
        Refused: it was changed, or there is none.
    """
    _fetch(version, f"{GATES}/{stored.sha256[:NAME]}.html", stored.page, uri)


def _fetch(version: ModelVersion, name: str, sha256: str, uri: str) -> bytes:
    """Return the bytes of a file of the version's run, if they have this digest."""
    from headframe.tracking.client import make_client  # noqa: PLC0415 - see `judge_version`
    from headframe.tracking.errors import readable_errors  # noqa: PLC0415 - see `judge_version`

    client = make_client(uri)
    with readable_errors(uri):
        place = client.get_run(version.run_id).info.artifact_uri
    with tempfile.TemporaryDirectory() as scratch:
        try:
            content = download(f"{place}/{name}", uri, Path(scratch)).read_bytes()
        except ArtifactMissing as error:
            msg = (
                f"gate report {name} of {version.uri} cannot be fetched ({error}); run the gates again: "
                f"headframe models gate {version.model}/{version.number}"
            )
            raise Refused(msg) from error
    came = hashlib.sha256(content).hexdigest()
    if came != sha256:
        msg = (
            f"gate report {name} of {version.uri} has sha256 {came[:12]}, but {sha256[:12]} was signed; it was "
            "changed, so run the gates again"
        )
        raise Refused(msg)
    return content
