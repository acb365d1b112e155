"""MLflow's scoring protocol: requests, parsed into the columns that a model takes.

`mlflow.pyfunc.scoring_server` returns the same numbers for the same requests (a test compares them). Its parser is
not used: it guesses types through pandas, checks images in Python number by number, and reports errors in
paragraphs that repeat the data.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv

from headframe.errors import ConfigurationError, DataError, first_line
from headframe.prediction.schema import require_unique, to_table
from headframe.registry.loader import OUTPUTS, requested_output

JSON, CSV = "application/json", "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
PARAMS = "params"


class UnsupportedContentType(DataError):
    """A request has a content type that is not supported."""


class TooManyRows(DataError):
    """A request has more rows than one request may have."""


@dataclass(frozen=True)
class ScoringRequest:
    """A parsed request: raw columns as the model takes them, and what to return (`predictions` or `scores`)."""

    rows: pa.Table
    output: str


def parse_request(body: bytes, content_type: str, schema: pa.Schema, max_rows: int) -> ScoringRequest:
    """Parse a request.

    Args:
        body: of the request.
        content_type: its header: JSON or CSV, in UTF-8.
        schema: the raw columns that the model takes; further columns are left out.
        max_rows: how many rows one request may hold.

    Raises:
        UnsupportedContentType: another content type or encoding.
        TooManyRows: more rows than `max_rows`.
        DataError: the body is not of its content type, or the rows are not what the model takes.
        ConfigurationError: `params` has an unknown parameter or value.
    """
    kind = _media_type(content_type)
    columns, params = _from_csv(body, schema) if kind == CSV else _from_json(body, schema)
    unknown = sorted(set(params) - {"output"})
    if unknown:
        msg = f"params has {unknown[0]!r}; the only parameter is output, {' or '.join(OUTPUTS)}"
        raise ConfigurationError(msg)
    output = requested_output(params)
    count = max((len(values) for values in columns.values()), default=0)
    if count > max_rows:
        msg = f"{count} rows came in one request, but at most {max_rows} are allowed; send several requests"
        raise TooManyRows(msg)
    rows = to_table(columns, schema)
    if rows.num_rows == 0:
        msg = "no rows came; send at least one"
        raise DataError(msg)
    return ScoringRequest(rows, output)


def _media_type(content_type: str) -> str:
    name, *parameters = (part.strip() for part in content_type.split(";"))
    if name.lower() not in (JSON, CSV):
        came = repr(name) if name else "none"
        msg = f"the content type is {came}; send {JSON} or {CSV}"
        raise UnsupportedContentType(msg)
    for parameter in filter(None, parameters):
        key, _, value = parameter.partition("=")
        if key.strip().lower() != "charset" or value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            msg = f"the content type says {parameter!r}; only charset=utf-8 is supported"
            raise UnsupportedContentType(msg)
    return name.lower()


def _from_csv(body: bytes, schema: pa.Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse CSV with a header; only empty fields are missing values, as in CSV written by pandas."""
    tensors = [each.name for each in schema if isinstance(each.type, pa.FixedShapeTensorType)]
    if tensors:
        msg = f"column {tensors[0]!r} holds arrays, which CSV cannot carry; send {JSON}"
        raise DataError(msg)
    # What is text for the model stays text, whatever it looks like.
    types = {each.name: pa.string() for each in schema if pa.types.is_string(each.type)}
    options = csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    try:
        rows = csv.read_csv(
            io.BytesIO(body), convert_options=options, parse_options=csv.ParseOptions(newlines_in_values=True)
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        msg = f"the body is no CSV with a header: {first_line(error)}"
        raise DataError(msg) from error
    require_unique(rows.column_names)
    return {name: rows.column(name).combine_chunks() for name in rows.column_names}, {}


def _from_json(body: bytes, schema: pa.Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"the body is no JSON: {error}"
        raise DataError(msg) from error
    if not isinstance(content, dict):
        msg = f"the body is a JSON {_json_type(content)}; expected an object with one of {', '.join(FORMATS)}"
        raise DataError(msg)
    unknown = [key for key in content if key not in (*FORMATS, PARAMS)]
    if unknown:
        msg = f"the body has {unknown[0]!r}; expected one of {', '.join(FORMATS)}, and optionally {PARAMS}"
        raise DataError(msg)
    given = [key for key in FORMATS if key in content]
    if len(given) != 1:
        msg = f"the body has {' and '.join(given) or 'no rows'}; expected exactly one of {', '.join(FORMATS)}"
        raise DataError(msg)
    params = content.get(PARAMS) or {}
    if not isinstance(params, dict):
        msg = f"params is a JSON {_json_type(params)}; expected an object"
        raise DataError(msg)
    value = content[given[0]]
    columns = _from_split(value) if given[0] == "dataframe_split" else _from_rows(given[0], value, schema)
    return columns, params


def _from_split(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        msg = "dataframe_split needs an object with columns (a list of names) and data (a list of rows)"
        raise DataError(msg)
    unknown = [key for key in value if key not in ("columns", "data", "index")]
    names = value.get("columns")
    if unknown or not isinstance(names, list):
        msg = f"dataframe_split has {', '.join(value)}; expected columns, data and optionally index"
        raise DataError(msg)
    require_unique(names)
    for position, row in enumerate(value["data"]):
        if not isinstance(row, list) or len(row) != len(names):
            came = f"{len(row)} values" if isinstance(row, list) else f"a JSON {_json_type(row)}"
            msg = f"row {position} of dataframe_split is {came}; expected a list of {len(names)} values"
            raise DataError(msg)
    return {str(name): [row[place] for row in value["data"]] for place, name in enumerate(names)}


def _from_rows(key: str, value: Any, schema: pa.Schema) -> dict[str, Any]:
    """Parse a list of records, an object of columns, or a list of the values of the only column."""
    if isinstance(value, dict) and key != "dataframe_records":
        for name, cells in value.items():
            if not isinstance(cells, list):
                msg = f"{key}.{name} is a JSON {_json_type(cells)}; expected a list with one value for each row"
                raise DataError(msg)
        return dict(value)
    if not isinstance(value, list):
        msg = f"{key} is a JSON {_json_type(value)}; expected a list of records"
        raise DataError(msg)
    if value and all(isinstance(record, dict) for record in value):
        return _from_records(key, value, schema)
    if key == "dataframe_records" or len(schema) != 1:
        position = next((place for place, record in enumerate(value) if not isinstance(record, dict)), 0)
        came = f"is a JSON {_json_type(value[position])}" if value else "is missing"
        msg = f"row {position} of {key} {came}; expected an object with {', '.join(schema.names)}"
        raise DataError(msg)
    return {schema.names[0]: value}


def _from_records(key: str, records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for each in schema:
        present = [each.name in record for record in records]
        if not any(present):
            continue  # reported by `to_table`, with the columns that came
        if not all(present) and not each.nullable:
            msg = f"row {present.index(False)} of {key} has no {each.name!r}"
            raise DataError(msg)
        columns[each.name] = [record.get(each.name) for record in records]
    if len(columns) < len(schema):
        # Names that the model does not know help only where one that it needs is missing.
        columns.update({name: [] for name in records[0] if name not in columns})
    return columns


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "truth value", int: "number", float: "number"}
    return names.get(type(value), "null")
