"""Rows to predict for, streamed from a file or a data set with the columns that a model takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.plan.data import ROW_ID
from headframe.config.targets.nearest import nearest
from headframe.datasets.readers.base import READ_BYTES, ReadBatch, Reader, RejectedRow, numbered_lines, open_text
from headframe.datasets.readers.delimited import Delimited, text_reader
from headframe.datasets.readers.lines import Row, rows_of
from headframe.datasets.table import TABLE, Table
from headframe.errors import ConfigurationError, DataError, RowError, first_line, some
from headframe.exhaustion import bounded_memory
from headframe.features.columns import is_text
from headframe.prediction.schema import (
    parse_json,
    require_columns,
    require_unique,
    to_column,
    to_table,
    type_family,
    type_name,
)

IDS = (ROW_ID, "row_id")
"""How a table and other files call the column of the rows' ids."""

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""What stands between cells in files with these endings, if they are none of the data set's own files."""

Rows = Iterator[pa.Table]
"""Tables of some size: the rows' ids (string), then the model's columns, in order."""


def open_rows(source: str, root: Path, schema: pa.Schema, reader: Reader, size: int) -> Rows:
    """Stream rows.

    Args:
        source: a Parquet file; JSON lines; text with a header, or a file as the data set's are, plain or gzip, or
            where these are images, a folder of them; or the name of a data set that was collected.
        root: the project's folder.
        schema: the raw columns that the model takes; others are left out, except `row_id`, which names the rows where
            it is none of them. Without it the rows' numbers, from 1, are their ids.
        reader: of the files of the data set that the model was trained on.
        size: rows of each table but the last.

    Raises:
        ConfigurationError: there is no such file or data set.
        DataError: a column is missing, came twice or is of another type, a row cannot be read, there are no rows,
            or the data set's table was changed.
    """
    path = find_rows(source, root)
    if path.is_dir() and not reader.reads_folders:
        raise ConfigurationError(f"{source} is a folder, but this model takes rows of a file; name one in it")
    readers: dict[str, Callable[[Path, pa.Schema, int], Rows]] = {
        ".parquet": _parquet, ".pq": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines,
    }  # fmt: skip
    read = readers.get(_ending(path))
    rows = read(path, schema, size) if read else _text(path, schema, reader)
    return _numbered(_resized(rows, size), source, schema)


def find_rows(source: str, root: Path) -> Path:
    """Return the file or folder with the rows to predict for, without reading them; see `open_rows`.

    Raises:
        ConfigurationError: there is no such file or data set.
        DataError: the file is empty, or the data set's table was changed.
    """
    path = Path(source)
    if not path.suffix and "/" not in source:
        folder = root / "data" / source
        if not (folder / TABLE).is_file():
            known = [each.parent.name for each in (root / "data").glob(f"*/{TABLE}")]
            msg = f"there is no data set {source!r} in {root / 'data'}; {nearest(source, known)}, or name a file"
            raise ConfigurationError(msg)
        table = Table.open(folder)
        table.verify()
        return table.folder / TABLE
    if path.is_dir():
        return path
    if not path.is_file():
        raise ConfigurationError(f"{source} is no file; name a Parquet, JSON-lines or text file, or a data set")
    if path.stat().st_size == 0:
        raise DataError(f"{source} is empty; rows were expected")
    return path


def _ending(path: Path) -> str:
    """Return how a file's name ends, without `.gz`: what is packed is recognised by its bytes."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _text(path: Path, schema: pa.Schema, reader: Reader) -> Rows:
    """Read a file of the data set's kind, or text that the ending of its name describes."""
    if _ending(path) == ".json":
        raise DataError(
            f"{path} is JSON, of which only JSON lines are read: write one object a line into a .jsonl file"
        )
    delimiter = DELIMITERS.get(_ending(path))

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
            raise DataError(f"{source}: line {first.position}{first.joined}{further}; correct it or leave it out")
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
        with bounded_memory(path):
            # Which would read ahead without a bound, and whole columns of a group of rows.
            opened = pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES)
        with opened as file:
            wanted = _wanted(file.schema_arrow.names, schema, path)
            start = 1
            batches = file.iter_batches(size, columns=wanted)
            while True:
                with bounded_memory(path):  # also what the cells of a dictionary take when they are written out
                    batch = next(batches, None)
                    if batch is None:
                        return
                    rows = pa.table(batch)
                    rows.validate(full=True)  # text may be no UTF-8
                    with _rows_from(path, start):
                        shaped = _in_shape(rows, schema)
                        if len(wanted) > len(schema):
                            shaped = shaped.append_column(ROW_ID, _ids(rows.column(wanted[-1]), wanted[-1]))
                yield shaped
                start += rows.num_rows
    except (pa.ArrowException, OSError) as error:  # Arrow calls a damaged page an error of input
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise DataError(f"{path} is no Parquet file that can be read: {first_line(error)}") from error


@contextmanager
def _rows_from(path: Path, start: int) -> Iterator[None]:
    """Let an error that counts rows from the beginning of a part of a file say which part, and which file."""
    try:
        yield
    except RowError as error:
        raise DataError(f"{path}: {error.behind(start - 1)}") from error
    except DataError as error:
        where = f", in the part that begins with row {start}" if start > 1 else ""
        raise DataError(f"{path}{where}: {error}") from error


def _ids(column: Any, name: str) -> Any:
    """Return the rows' ids as text.

    Raises:
        DataError: they are of a type that may be written in several ways, such as fractions, or in none.
    """
    inner = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    whole = pa.types.is_integer(inner) or pa.types.is_null(inner)
    if not (whole or is_text(inner) or type_family(inner).startswith("time")):
        msg = f"column {name!r} names the rows, but holds {type_name(inner)}; write its names as text or whole numbers"
        raise DataError(msg)
    return column.cast(inner).cast(pa.string())


def _in_shape(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema; lists of numbers become tensors, since few programs write Arrow's tensors."""
    columns: dict[str, Any] = {name: rows.column(name).combine_chunks() for name in schema.names}
    tensors = [each.name for each in schema if isinstance(each.type, pa.FixedShapeTensorType)]
    lists = [name for name in tensors if not isinstance(columns[name].type, pa.BaseExtensionType)]
    return to_table(columns | {name: columns[name].to_pylist() for name in lists}, schema)


def _json_lines(path: Path, schema: pa.Schema, size: int) -> Rows:
    came: set[str] = set()
    start = 1
    with open_text(path) as lines:
        numbered = ((number, line) for number, line in numbered_lines(path, lines) if line.strip())
        while chosen := list(islice(numbered, size)):
            records = [_record(path, number, line, schema) for number, line in chosen]
            came.update(*records)
            with _rows_from(path, start):
                rows = to_table({name: [record.get(name) for record in records] for name in schema.names}, schema)
                for name in [each for each in IDS if each in came and each not in schema.names][:1]:
                    ids = [_id(record.get(name), name, row) for row, record in enumerate(records, start=1)]
                    rows = rows.append_column(ROW_ID, to_column(ids, pa.field(name, pa.string())))
            yield rows
            start += len(chosen)
    try:
        # An optional column may be left out, but one that never came is misspelt where an unknown name did.
        require_columns(came if came - {*schema.names, *IDS} else schema.names, schema)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _id(value: Any, name: str, row: int) -> str | None:
    """Return the id that a record has, as text."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        held = f"column {name!r} names the rows, but holds a {type(value).__name__}"
        raise RowError(held, row, "; write its names as text or whole numbers")
    return None if value is None else str(value)


def _record(path: Path, number: int, line: bytes, schema: pa.Schema) -> dict[str, Any]:
    try:
        record = parse_json(line)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: line {number} is no JSON object with a value for each column")
    lacking = [each.name for each in schema if not each.nullable and each.name not in record]
    if lacking:
        raise DataError(f"{path}: line {number}: column {lacking[0]!r} is missing; came: {some(record)}")
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
            names = pa.array(range(start + 1, start + 1 + table.num_rows))
        yield table.select(range(len(schema))).add_column(0, ROW_ID, names.cast(pa.string()))
        start += table.num_rows
    if not start:
        raise DataError(f"{source} holds no rows")
