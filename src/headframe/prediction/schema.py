"""The raw columns that a model takes: their schema as JSON, and tables cast to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import DataError
from headframe.features.columns import is_text


def schema_to_json(schema: pa.Schema) -> list[dict[str, Any]]:
    """Return names, types and nullability of an Arrow schema as JSON."""
    return [{"name": field.name, "nullable": field.nullable, "type": _type_to_json(field.type)} for field in schema]


def schema_from_json(columns: list[dict[str, Any]]) -> pa.Schema:
    """Return the schema that `schema_to_json` wrote."""
    return pa.schema([pa.field(each["name"], _type_from_json(each["type"]), each["nullable"]) for each in columns])


def _type_to_json(kind: pa.DataType) -> Any:
    if isinstance(kind, pa.FixedShapeTensorType):
        return {"tensor": _type_to_json(kind.value_type), "shape": list(kind.shape)}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"list": _type_to_json(kind.value_type)}
    return "string" if is_text(kind) else str(kind)


def _type_from_json(content: Any) -> pa.DataType:
    match content:
        case {"tensor": inner, "shape": shape}:
            return pa.fixed_shape_tensor(_type_from_json(inner), shape)
        case {"list": inner}:
            return pa.list_(_type_from_json(inner))
        case _:
            return pa.type_for_alias(content)


def cast_table(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of `schema` in its types and order; further columns are left out.

    A number may come in another width as long as its value is kept, and text dictionary-encoded; text is never
    read as a number nor a number as text.

    Raises:
        DataError: a column is missing or of another type.
    """
    require_columns(rows.column_names, schema)
    return pa.table([_cast(rows.column(field.name), field) for field in schema], schema=schema)


def require_columns(names: Iterable[Any], schema: pa.Schema) -> None:
    """Raise a DataError if a column of `schema` is not among `names`."""
    names = list(names)
    missing = [name for name in schema.names if name not in names]
    if missing:
        came = ", ".join(map(str, names)) or "none"
        msg = f"column {missing[0]!r} is missing; came: {came}; expected: {', '.join(schema.names)}"
        raise DataError(msg)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    if pa.types.is_null(column.type) or type_family(column.type) == type_family(field.type):
        try:
            return pc.cast(column, field.type)
        except pa.ArrowInvalid as error:
            reason = str(error).partition("\n")[0]
            msg = f"column {field.name!r} holds {column.type}, but {type_name(field.type)} was expected: {reason}"
            raise DataError(msg) from error
    msg = f"column {field.name!r} holds {type_name(column.type)}, but {type_name(field.type)} was expected"
    raise DataError(msg)


def type_family(kind: pa.DataType) -> str:
    """Return a name that types share whose values are cast to each other: text, number, time, or the type itself."""
    if is_text(kind):
        return "text"
    if pa.types.is_dictionary(kind):
        return type_family(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {type_family(kind.value_type)}"
    return str(kind)


def type_name(kind: pa.DataType) -> str:
    """Return the name of a type as error messages have it."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return f"{kind.value_type} tensor of shape {tuple(kind.shape)}"
    return "text" if is_text(kind) else str(kind)
