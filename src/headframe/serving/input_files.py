"""Rows to predict for, streamed from a file or a data set with the columns that a model takes."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.plan.data import ROW_ID
from headframe.config.targets.nearest import nearest
from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow
from headframe.datasets.readers.delimited import Delimited, text_reader
from headframe.datasets.readers.lines import Row, rows_of
from headframe.datasets.table import TABLE, Table
from headframe.errors import ConfigurationError, DataError, first_line
from headframe.prediction.schema import parse_json, require_columns, require_unique, to_column, to_table

IDS = (ROW_ID, "row_id")
"""How a table and other files call the column of the rows' ids."""

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""What stands between cells in files with these endings, if they are none of the data set's own files."""

Rows = Iterator[pa.Table]
"""Tables of some size: the rows' ids (string), then the model's columns, in order."""


def open_rows(source: str, root: Path, schema: pa.Schema, reader: Reader, size: int) -> Rows:
    """Stream rows.

    Args:
        source: a Parquet or JSON-lines file; text with a header, or a file as the data set's are; or the name of a
            data set that was collected.
        root: the project's folder.
        schema: the raw columns that the model takes; others are left out, except `row_id`, which names the rows where
            it is none of them. Without it the rows' numbers, from 0, are their ids.
        reader: of the files of the data set that the model was trained on.
        size: rows of each table but the last.

    Raises:
        ConfigurationError: there is no such file or data set.
        DataError: a column is missing, came twice or is of another type, a row cannot be read, there are no rows,
            or the data set's table was changed.
    """
    path = Path(source)
    readers: dict[str, Callable[[Path, pa.Schema, int], Rows]] = {
        ".parquet": _parquet, ".pq": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines,
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
    elif not path.is_file():
        raise ConfigurationError(f"{source} is no file; name a Parquet, JSON-lines or text file, or a data set")
    elif path.stat().st_size == 0:
        raise DataError(f"{source} is empty; rows were expected")
    read = readers.get(path.suffix.lower())
    rows = read(path, schema, size) if read else _text(path, schema, reader)
    return _numbered(_resized(rows, size), source, schema)


def _text(path: Path, schema: pa.Schema, reader: Reader) -> Rows:
    """Read a file of the data set's kind, or text that the ending of its name describes."""
    delimiter = DELIMITERS.get(path.suffix.lower())

    def split(each: Delimited) -> Iterator[Row | RejectedRow]:
        return rows_of(path.name, path, each.delimiter, quoted=each.quoted, comment=each.comment)

    chosen = (text_reader(reader, delimiter, schema, split) if delimiter else None) or reader
    batches = chosen.read_inputs(path, schema, [each for each in IDS if each not in schema.names])
    return (pa.table(batch) for batch in readable_rows(batches, path))


def readable_rows(batches: Iterator[ReadBatch], source: Path | str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of batches.

    Raises:
        DataError: a row cannot be read; predictions for the others would hide it.
    """
    for batch in batches:
        if batch.rejected:
            first, *others = batch.rejected
            further = f" ({len(others):,} of the rows behind it cannot be read, either)" if others else ""
            raise DataError(f"{source}: line {first.position} {first.reason}{further}; correct it or leave it out")
        yield batch.rows


def _wanted(names: list[str], schema: pa.Schema, path: Path) -> list[str]:
    """Return the columns to read: the model's, then that of the rows' ids where one comes that is not the model's."""
    try:
        require_columns(names, schema)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    ids = [each for each in IDS if each in names and each not in schema.names]
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
                    shaped = shaped.append_column(ROW_ID, rows.column(wanted[-1]).cast(pa.string()))
                yield shaped
    except (pa.ArrowInvalid, OSError) as error:  # Arrow calls a damaged page an error of input
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path} is no Parquet file that can be read: {first_line(error)}") from error


def _in_shape(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema; lists of numbers become tensors, since few programs write Arrow's tensors."""
    columns: dict[str, Any] = {name: rows.column(name).combine_chunks() for name in schema.names}
    tensors = [each.name for each in schema if isinstance(each.type, pa.FixedShapeTensorType)]
    lists = [name for name in tensors if not isinstance(columns[name].type, pa.BaseExtensionType)]
    return to_table(columns | {name: columns[name].to_pylist() for name in lists}, schema)


def _json_lines(path: Path, schema: pa.Schema, size: int) -> Rows:
    came: set[str] = set()
    with path.open("rb") as lines:
        numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        while chosen := list(islice(numbered, size)):
            records = [_record(path, number, line, schema) for number, line in chosen]
            came.update(*records)
            rows = to_table({name: [record.get(name) for record in records] for name in schema.names}, schema)
            for name in [each for each in IDS if each in came and each not in schema.names][:1]:
                ids = [None if record.get(name) is None else str(record[name]) for record in records]
                rows = rows.append_column(ROW_ID, to_column(ids, pa.field(name, pa.string())))
            yield rows
    try:
        # An optional column may be left out in any row, but one that never came is misspelt.
        require_columns(came if came else schema.names, schema)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _record(path: Path, number: int, line: bytes, schema: pa.Schema) -> dict[str, Any]:
    try:
        record = parse_json(line)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: line {number} is no JSON object with a value for each column")
    lacking = [each.name for each in schema if not each.nullable and each.name not in record]
    if lacking:
        raise DataError(f"{path}: line {number}: column {lacking[0]!r} is missing; came: {', '.join(record)}")
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


def _numbered(tables: Rows, source: str, schema: pa.Schema) -> Rows:
    start = 0
    named = False
    for table in tables:
        came = len(table.column_names) > len(schema)
        if start and came != named:
            raise DataError(f"{source}: some rows have a {IDS[-1]}, others none; give each row one, or leave it out")
        named = came
        if named:
            names = table.column(len(schema))
            if names.null_count:
                raise DataError(f"{source}: a row has no {IDS[-1]}; give each row one, or leave the column out")
        else:
            names = pa.array(range(start, start + table.num_rows))
        yield table.select(range(len(schema))).add_column(0, ROW_ID, names.cast(pa.string()))
        start += table.num_rows
    if not start:
        raise DataError(f"{source} holds no rows")
