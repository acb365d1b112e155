"""Loose values, as JSON, CSV or pandas have them, as the Arrow columns that a model takes, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def to_table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Spell named columns as an Arrow table.

    Args:
        columns: sequences, NumPy or Arrow arrays or pandas Series of one length; those not in `schema` are left out.
        schema: the raw columns that a model takes.

    Raises:
        DataError: a column is missing, is of another length than the first, or holds what its type does not.
    """
    missing = [name for name in schema.names if name not in columns]
    if missing:
        came = ", ".join(map(str, columns)) or "none"
        msg = f"column {missing[0]!r} is missing; came: {came}; expected: {', '.join(schema.names)}"
        raise DataError(msg)
    arrays = [to_column(columns[field.name], field) for field in schema]
    for field, array in zip(schema, arrays, strict=True):
        if len(array) != len(arrays[0]):
            msg = f"column {field.name!r} has {len(array)} values, but {schema.names[0]!r} has {len(arrays[0])}"
            raise DataError(msg)
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in schema]))


def require_once(names: Sequence[Any]) -> None:
    """Make sure that no column came twice: which of them is meant cannot be known.

    Raises:
        DataError: one did.
    """
    twice = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if twice is not None:
        msg = f"column {twice!r} came twice; leave one of them out"
        raise DataError(msg)


def to_column(values: Any, field: pa.Field) -> pa.Array:
    """Spell one column; text is never read as a number nor a number as text, and no number loses its value.

    Raises:
        DataError: a value does not fit the type.
    """
    if isinstance(field.type, pa.FixedShapeTensorType):
        return _tensors(values, field)
    try:
        loose = values if isinstance(values, pa.Array) else pa.array(_plain(values), from_pandas=True)
    except UnicodeEncodeError as error:
        msg = f"column {field.name!r} holds text that is no Unicode: {_first_line(error)}"
        raise DataError(msg) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        msg = f"column {field.name!r} mixes what cannot stand in one column: {_first_line(error)}"
        raise DataError(msg) from error
    if isinstance(values, list) and not pa.types.is_boolean(loose.type) and bool in set(map(type, values)):
        position = next(place for place, value in enumerate(values) if isinstance(value, bool))
        msg = f"column {field.name!r} holds a truth value in row {position}, but {_say(field.type)} was expected"
        raise DataError(msg)  # Arrow would take it for 0 or 1 where it stands among numbers
    if loose.type == field.type:
        return loose
    if not (pa.types.is_null(loose.type) or _kind(loose.type) == _kind(field.type) or _is_date(loose, field)):
        msg = f"column {field.name!r} holds {_say(loose.type)}, but {_say(field.type)} was expected"
        raise DataError(msg)
    try:
        return pc.cast(loose, field.type)
    except pa.ArrowInvalid as error:
        msg = f"column {field.name!r} does not fit {_say(field.type)}: {_first_line(error)}"
        raise DataError(msg) from error


def to_frame(rows: pa.Table) -> pd.DataFrame:
    """Give rows as pandas takes them; a tensor cell becomes nested lists."""
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
    try:
        given = np.asarray(values if isinstance(values, np.ndarray) else list(values))
        if given.dtype == object:
            given = np.stack([np.asarray(cell.tolist() if isinstance(cell, np.ndarray) else cell) for cell in given])
    except ValueError as error:
        msg = f"{wanted}, all of one shape"
        raise DataError(msg) from error
    size = int(np.prod(shape))
    if given.ndim == 0 or (len(given) and given.size != len(given) * size):
        msg = f"{wanted}, but came {given.shape[1:]}"
        raise DataError(msg)
    if len(given) and given.dtype.kind not in "iuf":
        msg = f"{wanted} that hold numbers, but came {given.dtype.name}"
        raise DataError(msg)
    with np.errstate(invalid="ignore"):
        cast = given.astype(value_type)
    if not np.array_equal(cast, given):
        limits = np.iinfo(value_type) if np.issubdtype(value_type, np.integer) else np.finfo(value_type)
        msg = f"{wanted} that hold {np.dtype(value_type).name} numbers, {limits.min} to {limits.max}"
        raise DataError(msg)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(cast.reshape(-1)), size)
    return pa.ExtensionArray.from_storage(field.type, flat)


def _plain(values: Any) -> Any:
    if isinstance(values, np.ndarray) and values.dtype.kind in "OU":
        return values.tolist()
    return values if isinstance(values, Sequence | np.ndarray) or hasattr(values, "array") else list(values)


def _is_date(loose: pa.Array, field: pa.Field) -> bool:
    """JSON and CSV have no type for points in time, so text stands for them."""
    return _kind(field.type) == "time" and _kind(loose.type) == "text"


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_kind(kind.value_type)}"
    return str(kind)


def _say(kind: pa.DataType) -> str:
    return "text" if _kind(kind) == "text" else str(kind)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
