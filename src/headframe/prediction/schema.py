"""What raw rows a model takes: spelled as JSON, and rows brought into that shape or refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import DataError
from headframe.features.columns import is_text


def spell(schema: pa.Schema) -> list[dict[str, Any]]:
    """Spell an Arrow schema as JSON values; names, types, whether cells may be empty, nothing else."""
    return [{"name": field.name, "nullable": field.nullable, "type": _spell(field.type)} for field in schema]


def unspell(spelled: list[dict[str, Any]]) -> pa.Schema:
    """Give back the schema that `spell` spelled."""
    return pa.schema([pa.field(each["name"], _unspell(each["type"]), nullable=each["nullable"]) for each in spelled])


def _spell(kind: pa.DataType) -> Any:
    if isinstance(kind, pa.FixedShapeTensorType):
        return {"tensor": _spell(kind.value_type), "shape": list(kind.shape)}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"list": _spell(kind.value_type)}
    return "string" if is_text(kind) else str(kind)


def _unspell(spelled: Any) -> pa.DataType:
    match spelled:
        case {"tensor": inner, "shape": shape}:
            return pa.fixed_shape_tensor(_unspell(inner), shape)
        case {"list": inner}:
            return pa.list_(_unspell(inner))
        case _:
            return pa.type_for_alias(spelled)


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Take the columns of `schema` out of `rows`, in its types and order; further columns are left out.

    A number may come in another width as long as its value is kept, and text dictionary-encoded; text is never
    read as a number nor a number as text.

    Raises:
        DataError: a column is missing or of another type.
    """
    missing = [name for name in schema.names if name not in rows.column_names]
    if missing:
        came = ", ".join(rows.column_names) or "none"
        msg = f"column {missing[0]!r} is missing; came: {came}; expected: {', '.join(schema.names)}"
        raise DataError(msg)
    return pa.table([_cast(rows.column(field.name), field) for field in schema], schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    if pa.types.is_null(column.type) or _family(column.type) == _family(field.type) != "other":
        try:
            return pc.cast(column, field.type)
        except pa.ArrowInvalid as error:
            reason = str(error).partition("\n")[0]
            msg = f"column {field.name!r} holds {column.type}, but {_say(field.type)} was expected: {reason}"
            raise DataError(msg) from error
    msg = f"column {field.name!r} holds {_say(column.type)}, but {_say(field.type)} was expected"
    raise DataError(msg)


def _family(kind: pa.DataType) -> str:
    if is_text(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    return "other"


def _say(kind: pa.DataType) -> str:
    if isinstance(kind, pa.FixedShapeTensorType):
        return f"{kind.value_type} tensor of shape {tuple(kind.shape)}"
    return "text" if is_text(kind) else str(kind)
