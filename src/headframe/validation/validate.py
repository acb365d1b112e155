"""The step that validates a table against its contract; what it needs is imported when nothing is stored yet."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa

from headframe.config.plan.data import DatasetConfig
from headframe.datasets.table import Table, open_record
from headframe.digests import write_record
from headframe.errors import DataError
from headframe.places import Places
from headframe.records import TableRecord, Validated

if TYPE_CHECKING:
    from headframe.series.findings import SeriesFindings


def validate(dataset: DatasetConfig, table: TableRecord, places: Places) -> Validated:
    """Check every constraint of a contract on every row, in bounded memory.

    Args:
        dataset: whose contract.
        table: the version of the table to check.
        places: the report is written to the step's folder, also if the contract is broken.

    Raises:
        DataError: a constraint is not met or could not be checked, or there is none; the rows do not come as often as
            `dataset.every` says; the table is not the one that was written.
    """
    from headframe.validation import checks  # noqa: PLC0415 - pandas costs a second

    opened = open_record(table, places.root)
    results = checks.check(opened, dataset.contract)
    path = places.folder / checks.REPORT
    series = None if dataset.time is None else find_series(opened, dataset.time, dataset.every)
    report = checks.ValidationReport(
        dataset=dataset.name,
        digest=table.digest,
        rows=table.rows,
        results=tuple(results),
        series="" if series is None else str(series),
    )
    write_record(path, report)
    failed = [checks.failure_message(result, table.rows) for result in results if not result.passed]
    if series is not None and series.fault and dataset.every is not None:
        failed.append(series.fault)
    if failed:
        sentences = "; ".join(failed)
        msg = f"dataset {dataset.name} breaks its contract: {sentences}; all results: {path.relative_to(places.root)}"
        raise DataError(msg)
    return Validated(
        table=table,
        expectations=len(results),
        report=path.relative_to(places.root).as_posix(),
        series=f"{dataset.time}: {series}" if series is not None and not series.fault else "",
    )


def find_series(table: Table, time: str, every: str | None) -> SeriesFindings:
    """Look at the frequency of a table's rows, found in them where the plan gives none; they may be several series."""
    from headframe.series.findings import examine  # noqa: PLC0415 - pandas, which only a series needs
    from headframe.series.frequency import read_times  # noqa: PLC0415 - pandas, which only a series needs
    from headframe.series.interleaved import SAMPLE, plain_columns  # noqa: PLC0415 - pandas, which only a series needs

    first = pa.Table.from_batches(islice(table.batches(plain_columns(table.schema), SAMPLE), 1))
    return examine(read_times(table.read([time]), time), time, every, first)
