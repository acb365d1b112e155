"""The step that validates a table against its contract; what it needs is imported when nothing is stored yet."""

from headframe.config.plan.data import DatasetConfig
from headframe.datasets.table import open_record
from headframe.digests import write_record
from headframe.errors import DataError
from headframe.places import Places
from headframe.records import TableRecord, Validated


def validate(dataset: DatasetConfig, table: TableRecord, places: Places) -> Validated:
    """Check every constraint of a contract on every row, in bounded memory.

    Args:
        dataset: whose contract.
        table: the version of the table to check.
        places: the report is written to the step's folder, also if the contract is broken.

    Raises:
        DataError: a constraint is not met or could not be checked, or there is none; the table's bytes are not
            those that were written.
    """
    from headframe.validation import checks  # noqa: PLC0415 - pandas costs a second

    opened = open_record(table, places.root)
    opened.verify()
    results = checks.check(opened, dataset.contract)
    path = places.folder / checks.REPORT
    report = checks.ValidationReport(dataset=dataset.name, digest=table.digest, rows=table.rows, results=tuple(results))
    write_record(path, report)
    failed = [result for result in results if not result.passed]
    if failed:
        sentences = "; ".join(checks.failure_message(result, table.rows) for result in failed)
        msg = f"dataset {dataset.name} breaks its contract: {sentences}; all results: {path.relative_to(places.root)}"
        raise DataError(msg)
    return Validated(table=table, expectations=len(results), report=path.relative_to(places.root).as_posix())
