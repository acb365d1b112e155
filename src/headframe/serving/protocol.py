"""MLflow's scoring protocol: requests, parsed into the columns that a model takes.

`mlflow.pyfunc.scoring_server` returns the same numbers for the same requests (a test compares them). Its parser is
not used: it guesses types through pandas, checks images in Python number by number, and reports errors in
paragraphs that repeat the data.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from headframe.datasets.readers.base import LONGEST_SIGNATURE, Reader, RejectedRow, refuse_foreign
from headframe.datasets.readers.delimited import Delimited, text_reader
from headframe.datasets.readers.lines import Row, rows_in
from headframe.errors import ConfigurationError, DataError, some
from headframe.prediction.schema import parse_json, require_unique, to_table
from headframe.registry.loader import OUTPUTS, requested_output
from headframe.serving.input_files import readable_rows

JSON, CSV = "application/json", "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
PARAMS = "params"


class UnsupportedContentType(DataError):
    """A request has a content type that is not supported."""


class TooManyRows(DataError):
    """A request has more rows than one request may have."""


class ScoringRequest(NamedTuple):
    """A parsed request."""

    rows: pa.Table  # raw columns as the model takes them
    output: str  # what to return: `predictions` or `scores`


def parse_request(body: bytes, content_type: str, schema: pa.Schema, reader: Reader, max_rows: int) -> ScoringRequest:
    """Parse a request: JSON or CSV in UTF-8; columns that are not in the model's schema are left out.

    Cells of CSV mean what they mean in the files that `reader` reads.

    Raises:
        UnsupportedContentType: another content type or encoding.
        TooManyRows: more rows than `max_rows`.
        DataError: the body is not of its content type, or the rows are not what the model takes.
        ConfigurationError: `params` has an unknown parameter or value.
    """
    kind = _media_type(content_type)
    columns, params = _from_csv(body, schema, reader) if kind == CSV else _from_json(body, schema)
    unknown = sorted(set(params) - {"output"})
    if unknown:
        raise ConfigurationError(f"params has {unknown[0]!r}; the only parameter is output, {' or '.join(OUTPUTS)}")
    output = requested_output(params)
    count = max((len(values) for values in columns.values()), default=0)
    if count > max_rows:
        msg = f"{count} rows came in one request, but at most {max_rows} are allowed; send several requests"
        raise TooManyRows(msg)
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


def _from_csv(body: bytes, schema: pa.Schema, reader: Reader) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse CSV with a header, or as it stands in the data set's own files where these are CSV."""
    tensors = [each.name for each in schema if isinstance(each.type, pa.FixedShapeTensorType)]
    if tensors:
        raise DataError(f"column {tensors[0]!r} holds arrays, which CSV cannot carry; send {JSON}")

    def split(each: Delimited) -> Iterator[Row | RejectedRow]:
        return rows_in("the body", io.BytesIO(body), ",", quoted=each.quoted, comment=each.comment)

    refuse_foreign("the body", body[:LONGEST_SIGNATURE])
    chosen = text_reader(reader, ",", schema, split) or Delimited()
    batches = [*readable_rows(chosen.read_text("the body", split, schema, (), foreign=True), "the body")]
    if not batches:
        return {name: [] for name in schema.names}, {}
    rows = pa.Table.from_batches(batches)
    return {name: rows.column(place).combine_chunks() for place, name in enumerate(schema.names)}, {}


def _from_json(body: bytes, schema: pa.Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        content = parse_json(body)
    except ValueError as error:
        raise DataError(f"the body is no JSON: {error}") from error
    _require_type(content, dict, "the body", f"an object with one of {', '.join(FORMATS)}")
    unknown = [key for key in content if key not in (*FORMATS, PARAMS)]
    if unknown:
        raise DataError(f"the body has {unknown[0]!r}; expected one of {', '.join(FORMATS)}, and optionally {PARAMS}")
    given = [key for key in FORMATS if key in content]
    if len(given) != 1:
        msg = f"the body has {' and '.join(given) or 'no rows'}; expected exactly one of {', '.join(FORMATS)}"
        raise DataError(msg)
    params = {} if content.get(PARAMS) is None else content[PARAMS]
    _require_type(params, dict, PARAMS, "an object")
    value = content[given[0]]
    columns = _from_split(value) if given[0] == "dataframe_split" else _from_rows(given[0], value, schema)
    return columns, params


def _from_split(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise DataError("dataframe_split needs an object with columns (a list of names) and data (a list of rows)")
    unknown = [key for key in value if key not in ("columns", "data", "index")]
    names = value.get("columns")
    if unknown or not isinstance(names, list):
        raise DataError(f"dataframe_split has {some(value)}; expected columns, data and optionally index")
    require_unique(names)
    for position, row in enumerate(value["data"], start=1):
        which, expected = f"row {position} of dataframe_split", f"a list of {len(names)} values"
        _require_type(row, list, which, expected)
        if len(row) != len(names):
            raise DataError(f"{which} is {len(row)} values; expected {expected}")
    return {str(name): [row[place] for row in value["data"]] for place, name in enumerate(names)}


def _from_rows(key: str, value: Any, schema: pa.Schema) -> dict[str, Any]:
    """Parse a list of records, an object of columns, or a list of the values of the only column."""
    if isinstance(value, dict) and key != "dataframe_records":
        for name, cells in value.items():
            _require_type(cells, list, f"{key}.{name}", "a list with one value for each row")
        return dict(value)
    _require_type(value, list, key, "a list of records")
    are_records = bool(value) and all(isinstance(each, dict) for each in value)
    if len(schema) == 1 and key != "dataframe_records" and not are_records:
        return {schema.names[0]: value}
    expected = f"an object with {some(schema.names)}"
    if not value:
        raise DataError(f"{key} has no row; expected {expected}")
    for position, record in enumerate(value, start=1):
        _require_type(record, dict, f"row {position} of {key}", expected)
    return _from_records(key, value, schema)


def _from_records(key: str, records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    misspelt = any(name not in schema.names for record in records for name in record)  # possibly
    for each in schema:
        present = [each.name in record for record in records]
        if not any(present) and (misspelt or not each.nullable):
            continue  # reported by `to_table`, with the columns that came
        if not all(present) and not each.nullable:
            raise DataError(f"row {present.index(False) + 1} of {key} has no {each.name!r}")
        columns[each.name] = [record.get(each.name) for record in records]
    if len(columns) < len(schema):
        # Names that the model does not know help only where one that it needs is missing.
        columns.update({name: [] for name in records[0] if name not in columns})
    return columns


def _require_type(value: Any, kind: type, what: str, expected: str) -> None:
    """Raise a DataError if a JSON value is of another type than `kind`."""
    if not isinstance(value, kind):
        names = {dict: "object", list: "list", str: "string", bool: "truth value", int: "number", float: "number"}
        raise DataError(f"{what} is a JSON {names.get(type(value), 'null')}; expected {expected}")
