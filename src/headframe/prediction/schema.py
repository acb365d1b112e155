"""The raw columns that a model takes: their schema as JSON, and rows in Arrow, JSON, CSV or pandas cast to it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.cells.rules import CellRules
from headframe.digests import load_json
from headframe.errors import DataError, RowError, first_line, some
from headframe.features.columns import first_empty, is_text
from headframe.prediction.nested import is_nested, nested_column
from headframe.series.zones import cast_times, is_zoned, parse_zoned, why_no_time

if TYPE_CHECKING:
    import pandas as pd


EXACT = 2**53
"""From here on a float may stand for several whole numbers, so which of them is meant cannot be known."""

SHOWN = 40
"""Characters of a value or a type that a message shows."""


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
    if pa.types.is_struct(kind):
        return {"struct": {field.name: _type_to_json(field.type) for field in kind}}
    if pa.types.is_timestamp(kind) and kind.tz:
        return {"unit": kind.unit, "zone": kind.tz}
    return "string" if is_text(kind) else str(kind)


def _type_from_json(content: Any) -> pa.DataType:
    match content:
        case {"tensor": inner, "shape": shape}:
            return pa.fixed_shape_tensor(_type_from_json(inner), shape)
        case {"list": inner}:
            return pa.list_(_type_from_json(inner))
        case {"struct": fields}:
            return pa.struct([(name, _type_from_json(inner)) for name, inner in fields.items()])
        case {"zone": zone, "unit": unit}:
            return pa.timestamp(unit, zone)
        case _:
            return pa.type_for_alias(content)


def cast_table(rows: pa.Table, schema: pa.Schema, cells: CellRules) -> pa.Table:
    """Return the columns of `schema` in its types and order; further columns are left out.

    A number may come in another width as long as its value stays, and text dictionary-encoded; text is never
    read as a number nor a number as text. What a text means, `cells` say.

    Raises:
        DataError: a column is missing or of another type, or has no value in a row though it is not nullable.
    """
    require_columns(rows.column_names, schema)
    return pa.table([_cast_filled(rows.column(field.name), field, cells) for field in schema], schema=schema)


def _cast_filled(column: pa.ChunkedArray, field: pa.Field, cells: CellRules) -> pa.ChunkedArray:
    cast = cast_column(column, field)
    if is_text(field.type):
        cast = cells.clean(field.name, cast)
    elif pa.types.is_floating(field.type):  # where NaN means that there is no number
        cast = pc.if_else(pc.is_nan(cast), pa.scalar(None, field.type), cast)
    if type_family(field.type) == "number":
        cast = cells.clean_numbers(cast)
    if cast.null_count and not field.nullable:
        row = first_empty(cast)
        raise RowError(f"column {field.name!r} has no value", row, ", which the data set's contract forbids")
    return cast


def require_columns(names: Iterable[Any], schema: pa.Schema) -> None:
    """Raise a DataError if a column of `schema` is not among `names`."""
    names = list(names)
    missing = [name for name in schema.names if name not in names]
    if missing:
        raise DataError(
            f"column {missing[0]!r} is missing; came: {some(names) or 'none'}; expected: {some(schema.names)}"
        )


def cast_column(column: Any, field: pa.Field, *, parse_times: bool = False) -> Any:
    """Return an Arrow column in the type of `field`; text only becomes a time, and only where `parse_times`.

    Times without a zone are local ones where the field has a zone; those of another zone stay the same points in time.

    Raises:
        DataError: it is of another family of types, or a value would change.
    """
    if column.type == field.type:
        return column
    if is_zoned(field.type) and (type_family(column.type) == "time" or (parse_times and is_text(column.type))):
        return _zoned(column, field)
    families = type_family(column.type), type_family(field.type)
    expected = f"but {type_name(field.type)} was expected"
    related = families[0] == families[1] or (parse_times and families == ("text", "time"))
    if not (related or pa.types.is_null(column.type)):
        raise DataError(f"column {field.name!r} holds {type_name(column.type)}, {expected}")
    try:
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if pa.types.is_floating(column.type) and pa.types.is_integer(field.type):
            _require_exact(column, field.name)
        return cast_times(column, field.type) if families == ("text", "time") else pc.cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {field.name!r} holds {type_name(column.type)}, {expected}: {first_line(error)}"
        ) from error


def _zoned(column: Any, field: pa.Field) -> pa.Array:
    """Return local times, or text with offsets or without, as points in time."""
    try:
        cells = column if is_text(column.type) else pc.cast(column, pa.timestamp(field.type.unit))
    except pa.ArrowInvalid as error:
        raise DataError(f"column {field.name!r} holds {type_name(column.type)}: {first_line(error)}") from error
    texts = pc.cast(cells, pa.string())
    times, wrong = parse_zoned(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts, field.type)
    lost = np.flatnonzero(np.asarray(times.is_null()) & np.asarray(texts.is_valid()))
    if len(lost):
        row = int(lost[0])
        reason = wrong.get(row) or why_no_time(texts[row].as_py(), field)
        raise RowError(f"column {field.name!r} holds {texts[row].as_py()!r}", row + 1, f", {reason}")
    return times


def _require_exact(floats: Any, name: str) -> None:
    """Refuse floats that stand for several whole numbers."""
    wide = pc.cast(floats, pa.float64())
    inexact = np.flatnonzero(np.asarray(pc.fill_null(pc.greater_equal(pc.abs(wide), float(EXACT)), False)))
    if len(inexact):
        row = int(inexact[0])
        held = str(wide[row].as_py()).removesuffix(".0")
        raise RowError(
            f"column {name!r} holds {held} as a float",
            row + 1,
            f"; from {EXACT} on a float stands for several whole numbers, so give whole numbers as such, without a "
            "decimal point",
        )


def type_family(kind: pa.DataType) -> str:
    """Return a name that types share whose values are cast to each other: text, number, time, or the type itself."""
    if is_text(kind):
        return "text"
    if pa.types.is_dictionary(kind):
        return type_family(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "point in time" if is_zoned(kind) else "time"  # Arrow would turn the one into the other
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {type_family(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"structs of {sorted((field.name, type_family(field.type)) for field in kind)}"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return "bytes"
    return str(kind)


def type_name(kind: pa.DataType) -> str:
    """Return the name of a type as error messages have it."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return f"{kind.value_type} tensor of shape {tuple(kind.shape)}"
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"objects with {some(field.name for field in kind)}"
    if pa.types.is_binary(kind):
        return "bytes (in JSON as text in base64)"
    name = str(kind)
    return "text" if is_text(kind) else name if len(name) <= SHOWN else f"{name[:SHOWN]}..."


def to_table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Return named sequences, NumPy or Arrow arrays or pandas Series as a table; those not in `schema` are left out.

    Raises:
        DataError: a column is missing, is of another length than the first, or holds what its type does not.
    """
    require_columns(columns, schema)
    arrays = [to_column(columns[field.name], field) for field in schema]
    for field, array in zip(schema, arrays, strict=True):
        if len(array) != len(arrays[0]):
            msg = f"column {field.name!r} has {len(array)} values, but {schema.names[0]!r} has {len(arrays[0])}"
            raise DataError(msg)
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in schema]))


def refuse_equal_names(names: Sequence[Any], what: str = "key", where: str = " in one object") -> None:
    """Raise a ValueError if a name came twice, since which of them is meant cannot be known."""
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name!r} came twice{where}")
        seen.add(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    refuse_equal_names([name for name, _ in pairs])
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON; write null where there is no value")


STRICT: dict[str, Any] = {"object_pairs_hook": _unique, "parse_constant": _refuse_constant}
"""Settings of Python's parser, which would keep the last of two equal keys, and take NaN and Infinity."""


def parse_json(content: bytes) -> Any:
    """Return strict JSON as Python values.

    Raises:
        ValueError: it is no JSON, or nested deeper than Python reads, or an object has a key twice, or it holds a
            number that JSON does not have.
    """
    return load_json(content, **STRICT)


def json_type(value: Any) -> str:
    """Return the type of a value as JSON calls it."""
    names = {dict: "object", list: "list", str: "string", bool: "truth value", int: "number", float: "number"}
    return names.get(type(value), "null")


def require_unique(names: Sequence[Any]) -> None:
    """Raise a DataError if a column came twice."""
    try:
        refuse_equal_names(names, "column", "; leave one of them out")
    except ValueError as error:
        raise DataError(str(error)) from error


def to_column(values: Any, field: pa.Field) -> pa.Array:
    """Return one column as an Arrow array.

    Text is never read as a number nor a number as text, and no number loses its value.

    Raises:
        DataError: a value does not fit the type.
    """
    if isinstance(field.type, pa.FixedShapeTensorType) and not isinstance(values, pa.ExtensionArray):
        return _tensors(values, field)
    if is_nested(field.type) and not isinstance(values, pa.Array):
        return nested_column(values, field, to_column, type_name(field.type))
    if (
        getattr(getattr(values, "dtype", None), "kind", "") == "O"
    ):  # of pandas or NumPy, which may hold values of several types
        values = values.tolist()
    try:
        given = values if isinstance(values, pa.Array) else _to_array(values)
    except UnicodeEncodeError as error:
        raise DataError(f"column {field.name!r} holds text that is no Unicode: {first_line(error)}") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise _fault(field.name, values, error) from error
    if isinstance(values, list) and not pa.types.is_boolean(given.type) and bool in set(map(type, values)):
        position = next(place for place, value in enumerate(values, start=1) if isinstance(value, bool))
        but = f", but {type_name(field.type)} was expected"
        raise RowError(
            f"column {field.name!r} holds a truth value", position, but
        )  # Arrow would take it for 0 or 1 among numbers
    return cast_column(given, field, parse_times=True)  # JSON and CSV have no type for times


def _fault(name: str, values: Any, error: Exception) -> DataError:
    """Return what is wrong with values of which Arrow makes no column."""
    for row, value in enumerate(values, start=1):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            held = f"column {name!r} holds {str(value)[:SHOWN]}"
            return RowError(held, row, ", a whole number that 64 bits cannot hold")
    return DataError(f"column {name!r} mixes types that do not fit one column: {first_line(error)}")


def json_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows as objects of JSON, but for what `json_value` turns; a tensor cell becomes nested lists."""
    columns = [
        column.combine_chunks().to_numpy_ndarray().tolist()
        if isinstance(column.type, pa.FixedShapeTensorType) and len(column)
        else column.to_pylist()
        for column in rows.columns
    ]
    return [dict(zip(rows.column_names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def json_value(value: Any) -> str:
    """Return what JSON has no type for: bytes in base64, anything else, such as a time, as its text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def to_frame(rows: pa.Table) -> pd.DataFrame:
    """Return rows as a data frame; a tensor cell becomes nested lists."""
    import pandas as pd  # noqa: PLC0415 - serving parses JSON without it

    columns: dict[str, Any] = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if isinstance(column.type, pa.FixedShapeTensorType):
            values = column.combine_chunks().to_numpy_ndarray() if len(column) else []
            columns[name] = pd.Series([cell.tolist() for cell in values], dtype=object)
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def _tensors(values: Any, field: pa.Field) -> pa.Array:
    shape = tuple(field.type.shape)
    value_type = field.type.value_type.to_pandas_dtype()
    wanted = f"column {field.name!r} needs cells of shape {shape}"
    shapes = {_outline(cell) for cell in values if isinstance(cell, list)} if isinstance(values, list) else set()
    if len(shapes) > 1:
        raise DataError(f"{wanted}, all of one shape")
    if shapes and _axes(came := shapes.pop()) != _axes(shape):
        raise DataError(f"{wanted}, but came {str(came)[:SHOWN]}")  # before NumPy looks at each entry
    try:
        given = np.asarray(values if isinstance(values, np.ndarray) else list(values))
        if given.dtype == object:
            given = np.stack([np.asarray(cell.tolist() if isinstance(cell, np.ndarray) else cell) for cell in given])
    except ValueError as error:
        raise DataError(f"{wanted}, all of one shape") from error
    # An axis of one entry holds no order, so it may be left out; the others are compared one by one.
    if given.ndim == 0 or (len(given) and _axes(given.shape[1:]) != _axes(shape)):
        raise DataError(f"{wanted}, but came {given.shape[1:]}")
    if len(given) and given.dtype.kind not in "iuf":
        raise DataError(f"{wanted} that hold numbers, but came {given.dtype.name}")
    if isinstance(values, list):
        _require_numbers(values, field.name)
    with np.errstate(invalid="ignore"):
        cast = given.astype(value_type)
    # A fraction is rounded to its nearest float, but no number becomes another whole one, or infinite.
    fits = np.isinf(cast) == np.isinf(given) if cast.dtype.kind == "f" else cast == given
    if not np.all(fits):
        limits = np.iinfo(value_type) if np.issubdtype(value_type, np.integer) else np.finfo(value_type)
        raise DataError(f"{wanted} that hold {np.dtype(value_type).name} numbers, {limits.min} to {limits.max}")
    flat = pa.FixedSizeListArray.from_arrays(pa.array(cast.reshape(-1)), prod(shape))
    return pa.ExtensionArray.from_storage(field.type, flat)


def _require_numbers(cells: list[Any], name: str) -> None:
    """Refuse truth values among the numbers of nested lists, where NumPy takes them for 0 and 1."""
    for row, cell in enumerate(cells, start=1):
        entries: Any = [cell]
        while entries and isinstance(entries[0], list):
            entries = [*chain.from_iterable(entries)]
        if bool in set(map(type, entries)):
            raise RowError(f"column {name!r} holds a truth value", row, ", but numbers were expected")


def _outline(cell: Any) -> tuple[int, ...]:
    """Return the shape of nested lists as their first entries have it."""
    sizes = []
    while isinstance(cell, list):
        sizes.append(len(cell))
        cell = cell[0] if cell else None
    return tuple(sizes)


def _axes(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _to_array(values: Any) -> pa.Array:
    if getattr(getattr(values, "dtype", None), "tz", None) is not None:  # of pandas, which warns of Arrow's way to it
        return pc.assume_timezone(pa.array(values.dt.tz_convert(None).to_numpy(), from_pandas=True), "UTC")
    if isinstance(values, np.ndarray) and values.dtype.kind in "OU":
        values = values.tolist()
    return pa.array(values, from_pandas=True)
