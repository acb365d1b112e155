"""The step that holds a table to its contract; what it needs is imported when it is not kept already."""

from __future__ import annotations

from headframe.config.plan.data import DatasetConfig
from headframe.datasets.table import open_record
from headframe.digests import write_record
from headframe.errors import DataError
from headframe.places import Places
from headframe.records import TableRecord, Validated


def validate(dataset: DatasetConfig, table: TableRecord, places: Places) -> Validated:
    """Check every promise of a contract on every row, in bounded memory.

    Args:
        dataset: whose contract.
        table: the version of the table to check.
        places: the report is written to the step's folder, also if the contract is broken.

    Raises:
        DataError: a promise is broken or could not be checked, or there is none; the table's bytes are not
            those that were written.
    """
    from headframe.validation.checks import REPORT, Report, check, sentence  # noqa: PLC0415 - pandas costs a second

    opened = open_record(table, places.root)
    opened.verify()
    findings = check(opened, dataset.contract)
    path = places.folder / REPORT
    write_record(path, Report(dataset=dataset.name, digest=table.digest, rows=table.rows, findings=tuple(findings)))
    broken = [finding for finding in findings if not finding.kept]
    if broken:
        sentences = "; ".join(sentence(finding, table.rows) for finding in broken)
        msg = f"dataset {dataset.name} breaks its contract: {sentences}; all findings: {path.relative_to(places.root)}"
        raise DataError(msg)
    return Validated(table=table, expectations=len(findings), report=path.relative_to(places.root).as_posix())
