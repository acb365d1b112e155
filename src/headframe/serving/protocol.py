"""MLflow's scoring protocol: requests, parsed into the columns that a model takes.

`mlflow.pyfunc.scoring_server` returns the same numbers for the same requests (a test compares them). Its parser is
not used: it guesses types through pandas, checks images in Python number by number, and reports errors in
paragraphs that repeat the data.
"""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from headframe.datasets.readers.base import LONGEST_SIGNATURE, Reader, RejectedRow, refuse_foreign
from headframe.datasets.readers.delimited import Delimited, text_reader
from headframe.datasets.readers.lines import Row, rows_in
from headframe.errors import ConfigurationError, DataError, RowError, some
from headframe.prediction.nested import is_nested
from headframe.prediction.schema import json_type, require_columns, require_unique, to_column, to_table, type_name
from headframe.registry.loader import OUTPUTS, requested_output
from headframe.serving.input_files import readable_rows
from headframe.serving.json_stream import JsonStream, TooLarge, require_kind, require_type
from headframe.serving.limits import LONGEST, longest_value

JSON, CSV = "application/json", "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
PARAMS = "params"

OTHER_LINES = 1000
"""Lines of CSV that may hold no row."""

AT_ONCE = 256
"""Cells with nested lists that are turned into an array at once."""


class UnsupportedContentType(DataError):
    """A request has a content type that is not supported."""


class ScoringRequest(NamedTuple):
    """A parsed request."""

    rows: pa.Table  # raw columns as the model takes them
    output: str  # what to return, one of `OUTPUTS`


def parse_request(
    body: bytes | bytearray, content_type: str, schema: pa.Schema, reader: Reader, max_rows: int
) -> ScoringRequest:
    """Parse a request: JSON or CSV in UTF-8; columns that are not in the model's schema are left out.

    Cells of CSV mean what they mean in the files that `reader` reads. Work and memory are bounded by what was read
    until then: the first row that cannot be, or is one too many, ends it.

    Raises:
        UnsupportedContentType: another content type or encoding.
        TooLarge: more rows than `max_rows`, or a row that is longer than any may be.
        DataError: the body is not of its content type, or the rows are not what the model takes.
        ConfigurationError: `params` has an unknown parameter or value.
    """
    kind = _media_type(content_type)
    longest = longest_value(schema)
    if kind == CSV:
        columns: dict[str, Any] = _from_csv(body, schema, reader, max_rows, longest)
        params: dict[str, Any] = {}
    else:
        columns, params = _from_json(body, schema, max_rows, longest)
    unknown = sorted(set(params) - {"output"})
    if unknown:
        raise ConfigurationError(f"params has {unknown[0]!r}; the only parameter is output, {' or '.join(OUTPUTS)}")
    output = requested_output(params)
    rows = to_table(columns, schema)
    if rows.num_rows == 0:
        raise DataError("no rows came; send at least one")
    return ScoringRequest(rows, output)


def _media_type(content_type: str) -> str:
    name, *parameters = (part.strip() for part in content_type.split(";"))
    if name.lower() not in (JSON, CSV):
        came = repr(name) if name else "none"
        raise UnsupportedContentType(f"the content type is {came}; send {JSON} or {CSV}")
    for parameter in filter(None, parameters):
        key, _, value = parameter.partition("=")
        if key.strip().lower() != "charset" or value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedContentType(f"the content type says {parameter!r}; only charset=utf-8 is supported")
    return name.lower()


def _from_csv(
    body: bytes | bytearray, schema: pa.Schema, reader: Reader, max_rows: int, longest: int
) -> dict[str, Any]:
    """Parse CSV with a header, or as it stands in the data set's own files where these are CSV."""
    nested = [each for each in schema if _is_long(each.type)]
    if nested:
        kind = "arrays" if isinstance(nested[0].type, pa.FixedShapeTensorType) else type_name(nested[0].type)
        raise DataError(f"column {nested[0].name!r} holds {kind}, which CSV cannot carry; send {JSON}")
    _require_short_lines(body, longest)
    most = 2 * max_rows + OTHER_LINES

    def split(each: Delimited) -> Iterator[Row | RejectedRow]:
        found = rows_in("the body", io.BytesIO(body), ",", quoted=each.quoted, comment=each.comment)
        for number, row in enumerate(found):
            if number > most:
                raise TooLarge(f"more than {max_rows:,} rows came in one request; send several requests")
            yield row

    refuse_foreign("the body", bytes(body[:LONGEST_SIGNATURE]))
    chosen = text_reader(reader, ",", schema, split) or Delimited()
    batches = [*readable_rows(chosen.read_text("the body", split, schema, (), foreign=True), "the body")]
    if not batches:
        return {name: [] for name in schema.names}
    rows = pa.Table.from_batches(batches)
    if rows.num_rows > max_rows:
        raise TooLarge(f"more than {max_rows:,} rows came in one request; send several requests")
    return {name: rows.column(place).combine_chunks() for place, name in enumerate(schema.names)}


def _require_short_lines(body: bytes | bytearray, longest: int) -> None:
    start = 0
    while len(body) - start > longest:
        end = body.rfind(b"\n", start, start + longest + 1)
        if end < 0:
            raise TooLarge(f"a line of the body has more than {longest:,} bytes; send shorter ones")
        start = end + 1


def _is_long(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.FixedShapeTensorType) or is_nested(kind)


class _Cells:
    """The cells of one column, of which only those that the column can hold are kept."""

    def __init__(self, field: pa.Field) -> None:
        self._field = field
        self._is_long = _is_long(field.type)
        self._cells: list[Any] = []
        self._done: list[pa.Array] = []
        self._rows = self._position = 0

    def add(self, cell: Any, position: int) -> None:
        """Take the cell of the next row, and where in the body it ends."""
        if isinstance(cell, dict) or (isinstance(cell, list) and not self._is_long):
            raise RowError(
                f"column {self._field.name!r} holds a JSON {json_type(cell)}",
                self._rows + len(self._cells) + 1,
                f", but {type_name(self._field.type)} was expected",
            )
        self._cells.append(cell)
        # Nested lists of Python take twenty times the memory of the array that they become, base64 a third more.
        if self._is_long and (len(self._cells) >= AT_ONCE or position - self._position >= LONGEST):
            self._flush()
            self._position = position

    def column(self) -> Any:
        """Return all cells."""
        if not self._done:
            return self._cells
        self._flush()
        return pa.chunked_array(self._done).combine_chunks()

    def _flush(self) -> None:
        if self._cells:
            try:
                self._done.append(to_column(self._cells, self._field))
            except RowError as error:
                raise error.behind(self._rows) from error
            self._rows += len(self._cells)
            self._cells = []


def _from_json(
    body: bytes | bytearray, schema: pa.Schema, max_rows: int, longest: int, names: list[str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse JSON; `names` are the columns of a split, once they are known."""
    stream = JsonStream(body, longest)
    require_kind(stream, "object", "the body", f"an object with one of {', '.join(FORMATS)}")
    given: list[str] = []
    columns: dict[str, Any] = {}
    params: Any = {}
    for key in stream.members():
        if key == PARAMS:
            value = stream.value()
            params = {} if value is None else value
            require_type(params, dict, PARAMS, "an object")
            continue
        if key not in FORMATS:
            raise DataError(f"the body has {key!r}; expected one of {', '.join(FORMATS)}, and optionally {PARAMS}")
        given.append(key)
        if len(given) > 1:
            break
        if key == "dataframe_split":
            found = _from_split(stream, schema, max_rows, names)
            if isinstance(found, list):  # the columns are named behind the rows
                return _from_json(body, schema, max_rows, longest, found)
            columns = found
        else:
            columns = _from_rows(stream, key, schema, max_rows)
    if len(given) != 1:
        msg = " and ".join(key for key in FORMATS if key in given) or "no rows"
        raise DataError(f"the body has {msg}; expected exactly one of {', '.join(FORMATS)}")
    stream.end()
    return columns, params


def _from_split(
    stream: JsonStream, schema: pa.Schema, max_rows: int, names: list[str] | None
) -> dict[str, Any] | list[str]:
    """Parse named rows; return the names alone where they came behind the rows and were not known."""
    expected = "dataframe_split needs an object with columns (a list of names) and data (a list of rows)"
    require_kind(stream, "object", "dataframe_split", "an object with columns and data")
    came: list[str] = []
    cells: dict[str, _Cells] | None = None
    for key in stream.members():
        came.append(key)
        if key in ("columns", "data") and stream.kind() != "list":
            raise DataError(expected)
        if key == "columns":
            names = _column_names(stream.value(), schema)
        elif key == "data":
            cells = _split_cells(stream, schema, max_rows, names)
        elif key == "index" and stream.kind() == "list":
            for _ in stream.elements(max_rows, "entries of index"):
                stream.value()
        elif key == "index":
            stream.value()
        else:
            break
    if not {"columns", "data"} <= {*came} <= {"columns", "data", "index"}:
        raise DataError(f"dataframe_split has {some(came)}; expected columns, data and optionally index")
    return (names or []) if cells is None else {name: column.column() for name, column in cells.items()}


def _column_names(found: list[Any], schema: pa.Schema) -> list[str]:
    if not {*map(type, found)} <= {str, int}:
        raise DataError("dataframe_split.columns holds what is no name; expected texts")
    require_unique(found)
    names = [str(name) for name in found]
    require_columns(names, schema)
    return names


def _split_cells(
    stream: JsonStream, schema: pa.Schema, max_rows: int, names: list[str] | None
) -> dict[str, _Cells] | None:
    """Parse the rows of a split; without the names of their columns only skip them."""
    if names is None:
        for _ in stream.elements(max_rows, "rows"):
            stream.value()
        return None
    cells = {each.name: (names.index(each.name), _Cells(each)) for each in schema}
    for position in stream.elements(max_rows, "rows"):
        row = stream.value()
        which, expected = f"row {position} of dataframe_split", f"a list of {len(names)} values"
        require_type(row, list, which, expected)
        if len(row) != len(names):
            raise DataError(f"{which} is {len(row)} values; expected {expected}")
        for place, column in cells.values():
            column.add(row[place], stream.position)
    return {name: column for name, (_, column) in cells.items()}


def _from_rows(stream: JsonStream, key: str, schema: pa.Schema, max_rows: int) -> dict[str, Any]:
    """Parse a list of records, an object of columns, or a list of the values of the only column."""
    cells = {each.name: _Cells(each) for each in schema}
    if stream.kind() == "object" and key != "dataframe_records":
        came = []
        for name in stream.members():
            came.append(name)
            require_kind(stream, "list", f"{key}.{name}", "a list with one value for each row")
            for _ in stream.elements(max_rows, "rows"):
                cell = stream.value()
                if name in cells:
                    cells[name].add(cell, stream.position)
        require_columns(came, schema)
        return {name: column.column() for name, column in cells.items()}
    require_kind(stream, "list", key, "a list of records")
    expected = f"an object with {some(schema.names)}"
    records = _Records(key, schema, cells)
    alone = False
    for position in stream.elements(max_rows, "rows"):
        kind = stream.kind()
        if position == 1:
            alone = kind != "object" and len(schema) == 1 and key != "dataframe_records"
        value = stream.value()
        if alone:
            if kind == "object":
                raise DataError(f"row {position} of {key} is a JSON object among values; expected values alone")
            cells[schema.names[0]].add(value, stream.position)
            continue
        require_type(value, dict, f"row {position} of {key}", expected)
        records.add(value, stream.position)
    return {name: column.column() for name, column in cells.items()} if alone else records.columns(expected)


class _Records:
    """The cells of records, which may leave out what is nullable."""

    def __init__(self, key: str, schema: pa.Schema, cells: dict[str, _Cells]) -> None:
        self._key, self._schema, self._cells = key, schema, cells
        self._lacking: dict[str, int] = {}  # by column the first row without it
        self._came: dict[str, None] = {}
        self._first: list[str] = []
        self._rows = 0
        self._misspelt = False  # possibly

    def add(self, record: dict[str, Any], position: int) -> None:
        """Take the next record, and where in the body it ends."""
        self._rows += 1
        self._first = self._first or [*record]
        self._misspelt = self._misspelt or not record.keys() <= self._cells.keys()
        for name, column in self._cells.items():
            if name in record:
                self._came[name] = None
            else:
                self._lacking.setdefault(name, self._rows)
            column.add(record.get(name), position)

    def columns(self, expected: str) -> dict[str, Any]:
        """Return the cells of all columns.

        Raises:
            DataError: a column is missing, in all rows or in one.
        """
        if not self._rows and len(self._schema) == 1 and self._key != "dataframe_records":
            return {name: [] for name in self._schema.names}
        if not self._rows:
            raise DataError(f"{self._key} has no row; expected {expected}")
        for each in self._schema:
            if each.name not in self._came and (self._misspelt or not each.nullable):
                # Names that the model does not know help only where one that it needs is missing.
                require_columns([*self._came, *(name for name in self._first if name not in self._came)], self._schema)
            if each.name in self._lacking and not each.nullable:
                raise DataError(f"row {self._lacking[each.name]} of {self._key} has no {each.name!r}")
        return {name: column.column() for name, column in self._cells.items()}
