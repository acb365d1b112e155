"""The findings of a registered version, and what changed since another one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.build import build
from headframe.digests import Record
from headframe.errors import ConfigurationError
from headframe.evaluation.findings import compare_findings, confirmed_share, strongest
from headframe.findings.base import FindingKind
from headframe.prediction.layout import FINDINGS
from headframe.promotion.service import PromotionService
from headframe.promotion.views.overview import VersionRecord
from headframe.promotion.views.version_details import read_details
from headframe.registry.compare_signed import require_signed_bytes
from headframe.registry.listing import artifact_reader
from headframe.registry.versions import ModelVersion
from headframe.tasks.base import Task
from headframe.tracking import layout

SHOWN = 20


class VersionFindings(Record):
    """What a version found.

    Attributes:
        model: name in the registry.
        version: its number.
        found: how many findings there are.
        share: share of them that held-out rows confirmed when it was evaluated.
        findings: as rows of the findings table with a `text` each, confirmed ones with the smallest p-value first.
        against: number of the version they are compared with; None without one.
        changes: what differs from that one, as lists of such rows: findings that are `added` or `removed`, and those of
            both that are `newly confirmed` or `no longer confirmed`.
    """

    model: str
    version: int
    found: int
    share: float
    findings: tuple[dict[str, Any], ...]
    against: int | None = None
    changes: dict[str, tuple[dict[str, Any], ...]] = {}

    @property
    def lines(self) -> list[str]:
        """For people."""
        confirmed = round(self.found * self.share)
        lines = [f"{self.model} version {self.version}: {self.found:,} findings, {confirmed:,} confirmed"]
        if self.against is None:
            return [*lines, *_lines(self.findings)]
        for change, rows in self.changes.items():
            lines += [f"{change} since version {self.against}: {len(rows):,}", *_lines(rows)]
        return lines


def version_findings(version: ModelVersion, against: ModelVersion | None, service: PromotionService) -> VersionFindings:
    """Return the findings of a version; its file is checked against its signature.

    Args:
        version: whose.
        against: another version to compare with; None for none.
        service: of the model.

    Raises:
        ConfigurationError: a version has no findings.
        Refused: a file is not what a trusted author signed.
    """
    kind, own = read_findings(version, read_details(version, service)[1], service)
    changes = {}
    if against is not None:
        other = read_findings(against, read_details(against, service)[1], service)[1]
        changes = compare_findings(own, other)
    return VersionFindings(
        model=version.model,
        version=version.number,
        found=own.num_rows,
        share=confirmed_share(own),
        findings=_described(kind, strongest(own).to_pylist()),
        against=None if against is None else against.number,
        changes={change: _described(kind, rows) for change, rows in changes.items()},
    )


def read_findings(
    version: ModelVersion, record: VersionRecord, service: PromotionService
) -> tuple[FindingKind, pa.Table]:
    """Return the kind of a version's findings, and the findings table that its author signed.

    Raises:
        ConfigurationError: it has none.
        Refused: the file is not the one that was signed.
    """
    task: Task = build(record.plan.task)
    kind = task.findings(record.plan.dataset.example_columns)
    if kind is None or "findings" not in record.signed.payload:
        raise ConfigurationError(f"{version.uri} has no findings: it predicts, for {record.plan.task.kind}")
    file = f"{layout.EVALUATION}/{FINDINGS}"
    content = artifact_reader(version, service.uri)(file)
    require_signed_bytes(content, "findings", FINDINGS, version, record.signed)
    return kind, pq.read_table(pa.BufferReader(content))


def _described(kind: FindingKind, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple({"text": kind.describe(row["body"]), **row} for row in rows)


def _lines(rows: tuple[dict[str, Any], ...]) -> list[str]:
    lines = [f"  {row['id']}  {'confirmed' if row['confirmed'] else '':11}{row['text']}" for row in rows[:SHOWN]]
    return [*lines, *([f"  and {len(rows) - SHOWN:,} more; --json has all"] if len(rows) > SHOWN else [])]
