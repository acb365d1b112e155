"""Tables that a test writes itself: a whole version of a data set, with the digests that it has."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headframe.datasets.table import METADATA, REJECTED, TABLE, Table, TableMetadata, column_types, rows_digest
from headframe.datasets.table_writer import _REJECTED
from headframe.digests import file_digest, write_record
from headframe.records import TableRecord


def write_version(folder: Path, rows: pa.Table, rejected: int = 0, **about: Any) -> TableRecord:
    """Write a table, its rejected rows and `dataset.json`; its fields may be given."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / TABLE)
    refused = [{"source": "all", "position": line, "reason": "made up", "raw": ""} for line in range(rejected)]
    pq.write_table(pa.Table.from_pylist(refused, schema=_REJECTED), folder / REJECTED)
    digests = {}
    for name in (TABLE, REJECTED):
        with pa.OSFile(str(folder / name)) as file:
            digests[name] = rows_digest(file, None)
    described = {"title": folder.name, "licence": "CC0", "citation": "Nobody", "homepage": "", "sources": {}, **about}
    metadata = TableMetadata(
        dataset=folder.name,
        columns=column_types(rows.schema),
        rows=rows.num_rows,
        rejected=rejected,
        digest=digests[TABLE],
        rejected_digest=digests[REJECTED],
        files={name: file_digest(folder / name) for name in digests},
        **described,
    )
    write_record(folder / METADATA, metadata)
    return Table.open(folder).record()


def change_rows(folder: Path, rows: pa.Table) -> TableRecord:
    """Put other rows in the place of a table's, as another version of the data set."""
    about = Table.open(folder).metadata
    kept = about.model_dump(include={"title", "licence", "citation", "homepage", "sources"})
    return write_version(folder, rows, about.rejected, **kept)
