"""The step that holds a table to its contract; what it needs is imported when it is not kept already."""

from __future__ import annotations

from pathlib import Path

from headframe.config.plan.data import DatasetConfig
from headframe.datasets.table import open_record
from headframe.digests import write_record
from headframe.errors import DataError
from headframe.records import TableRecord, Validated


def validate(dataset: DatasetConfig, table: TableRecord, root: Path, folder: Path) -> Validated:
    """Check every promise of a contract on every row, in bounded memory.

    Args:
        dataset: whose contract.
        table: the version of the table to check.
        root: the project's folder.
        folder: below `root`; takes the report, also where the contract is broken.

    Raises:
        DataError: a promise is broken or could not be checked, or there is none; the table's bytes are not
            those that were written.
    """
    from headframe.validation.checks import REPORT, Report, check, sentence  # noqa: PLC0415 - pandas costs a second

    opened = open_record(table, root)
    opened.verify()
    findings = check(opened, dataset.contract)
    path = folder / REPORT
    write_record(path, Report(dataset=dataset.name, digest=table.digest, rows=table.rows, findings=tuple(findings)))
    broken = [finding for finding in findings if not finding.kept]
    if broken:
        sentences = "; ".join(sentence(finding, table.rows) for finding in broken)
        msg = f"dataset {dataset.name} breaks its contract: {sentences}; all findings: {path.relative_to(root)}"
        raise DataError(msg)
    return Validated(table=table, expectations=len(findings), report=path.relative_to(root).as_posix())
