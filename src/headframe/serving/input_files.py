"""Rows to predict for, streamed from a file or a data set with the columns that a model takes."""

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from headframe.config.plan.data import ROW_ID
from headframe.config.targets.nearest import nearest
from headframe.datasets.table import TABLE, Table
from headframe.errors import ConfigurationError, DataError, first_line
from headframe.prediction.schema import cast_table, require_columns, require_unique, to_column, to_table

GIVEN_ID = "row_id"  # how a file may call its column of names
BLOCK_BYTES = 4 * 2**20  # of text that is parsed at once

Rows = Iterator[pa.Table]
"""Tables of some size with `ROW_ID` (string) and the model's columns, in order."""


def open_rows(source: str, root: Path, schema: pa.Schema, size: int) -> Rows:
    """Stream rows.

    Args:
        source: a Parquet, CSV, TSV or JSON-lines file, or the name of a data set that was collected.
        root: the project's folder.
        schema: the raw columns that the model takes; others are left out, except `row_id`, which names the rows where
            it is none of them. Without it the rows' numbers, from 0, are their names.
        size: rows of each table but the last.

    Raises:
        ConfigurationError: there is no such file or data set, or its ending is unknown.
        DataError: a column is missing, came twice or is of another type, a line cannot be read, there are no rows,
            or the data set's table was changed.
    """
    path = Path(source)
    readers: dict[str, Callable[[Path, pa.Schema, int], Rows]] = {
        ".parquet": _parquet, ".csv": partial(_delimited, delimiter=","),
        ".tsv": partial(_delimited, delimiter="\t"), ".jsonl": _json_lines, ".ndjson": _json_lines,
    }  # fmt: skip
    if not path.suffix and "/" not in source:
        folder = root / "data" / source
        if not (folder / TABLE).is_file():
            known = [each.parent.name for each in (root / "data").glob(f"*/{TABLE}")]
            msg = f"there is no data set {source!r} in {root / 'data'}; {nearest(source, known)}, or name a file"
            raise ConfigurationError(msg)
        table = Table.open(folder)
        table.verify()
        path = table.folder / TABLE
    elif path.suffix.lower() not in readers:
        raise ConfigurationError(f"{source} ends in {path.suffix or 'nothing'}; expected one of {', '.join(readers)}")
    elif not path.is_file():
        raise ConfigurationError(f"{source} is no file; name a Parquet, CSV, TSV or JSON-lines file, or a data set")
    elif path.stat().st_size == 0:
        raise DataError(f"{source} is empty; rows were expected")
    return _numbered(_resized(readers[path.suffix.lower()](path, schema, size), size), source)


def _wanted(names: list[str], schema: pa.Schema, path: Path) -> list[str]:
    """Return the columns to read: the model's, then that of the rows' names where one comes that is not the model's."""
    try:
        require_columns(names, schema)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    ids = [each for each in (ROW_ID, GIVEN_ID) if each in names and each not in schema.names]
    wanted = [*schema.names, *ids[:1]]
    require_unique([name for name in names if name in wanted])
    return wanted


def _parquet(path: Path, schema: pa.Schema, size: int) -> Rows:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # which would read ahead without a bound
            wanted = _wanted(file.schema_arrow.names, schema, path)
            for batch in file.iter_batches(size, columns=wanted):
                rows = pa.table(batch)
                shaped = _in_shape(rows, schema)
                if len(wanted) > len(schema):
                    shaped = shaped.append_column(ROW_ID, rows.column(wanted[-1]))
                yield shaped
    except (pa.ArrowInvalid, OSError) as error:  # Arrow calls a damaged page an error of input
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path} is no Parquet file that can be read: {first_line(error)}") from error


def _in_shape(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast rows to a schema; lists of numbers are accepted as tensors, since few programs write Arrow's tensors."""
    tensors = _tensors(schema)
    if all(isinstance(rows.column(name).type, pa.BaseExtensionType) for name in tensors):
        return cast_table(rows, schema)
    columns = {name: rows.column(name) for name in schema.names}
    return to_table(
        {name: each.to_pylist() if name in tensors else each.combine_chunks() for name, each in columns.items()}, schema
    )


def _tensors(schema: pa.Schema) -> list[str]:
    return [each.name for each in schema if isinstance(each.type, pa.FixedShapeTensorType)]


def _delimited(path: Path, schema: pa.Schema, _: int, delimiter: str) -> Rows:
    tensors = _tensors(schema)
    if tensors:
        msg = f"{path}: column {tensors[0]!r} holds arrays, which text cannot hold; give Parquet or JSON lines"
        raise DataError(msg)
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            names = next(csv.reader(text, delimiter=delimiter), [])
        wanted = _wanted(names, schema, path)
        options = pa.csv.ConvertOptions(
            include_columns=wanted,
            column_types={**dict.fromkeys(wanted, pa.string()), **{each.name: each.type for each in schema}},
            null_values=[""],
            strings_can_be_null=True,
        )
        with pa.csv.open_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=options,
        ) as batches:
            for batch in batches:
                yield pa.table(batch).rename_columns([*schema.names, *([ROW_ID] if len(wanted) > len(schema) else [])])
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from error


def _json_lines(path: Path, schema: pa.Schema, size: int) -> Rows:
    with path.open("rb") as lines:
        numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        while chosen := list(islice(numbered, size)):
            records = [_record(path, number, line) for number, line in chosen]
            names = list(dict.fromkeys(name for record in records for name in record))
            wanted = _wanted(names, schema, path)
            columns: dict[str, Any] = {name: [record.get(name) for record in records] for name in wanted}
            rows = to_table(columns, schema)
            if len(wanted) > len(schema):
                ids = [None if name is None else str(name) for name in columns[wanted[-1]]]
                rows = rows.append_column(ROW_ID, to_column(ids, pa.field(ROW_ID, pa.string())))
            yield rows


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: line {number} is no JSON object with a value for each column")
    return record


def _resized(tables: Rows, size: int) -> Rows:
    """Cut tables of any size into tables of one size, so that predictions do not depend on how rows arrived."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size).combine_chunks()
            count -= size
            # A copy: a slice would hold on to all that was read before it.
            waiting = [joined.slice(size).combine_chunks()] if count else []
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def _numbered(tables: Rows, source: str) -> Rows:
    start = 0
    for table in tables:
        if ROW_ID in table.column_names:
            names = table.column(ROW_ID)
            if names.null_count:
                raise DataError(f"{source}: a row has no {GIVEN_ID}; give each row one, or leave the column out")
            rows = table.drop_columns([ROW_ID])
        else:
            rows, names = table, pa.array(range(start, start + table.num_rows))
        yield rows.add_column(0, ROW_ID, names.cast(pa.string()))
        start += table.num_rows
    if not start:
        raise DataError(f"{source} holds no rows")
