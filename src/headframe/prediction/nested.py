"""Lists, structs and bytes from plain Python values, as JSON and pandas have them; strict in every entry."""

import base64
import binascii
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from headframe.errors import RowError, some

Convert = Callable[[Any, pa.Field], pa.Array]
"""Returns values as an Arrow array in the type of a field, whatever that is."""


def is_nested(kind: pa.DataType) -> bool:
    """Return whether values of this type are lists, structs or bytes."""
    return bool(pa.types.is_list(kind) or pa.types.is_struct(kind) or pa.types.is_binary(kind))


def nested_column(values: Iterable[Any], field: pa.Field, convert: Convert, expected: str) -> pa.Array:
    """Return lists, dictionaries or bytes (as text in base64, or as they are) as one Arrow array.

    Args:
        values: None where there is no value.
        field: the column.
        convert: for the entries of lists and the fields of structs.
        expected: the type in words.

    Raises:
        RowError: a value is of another type, or a struct has other fields.
        DataError: as `convert`.
    """
    cells = [each.tolist() if isinstance(each, np.ndarray) else each for each in values]
    kind = field.type
    allowed = list if pa.types.is_list(kind) else dict if pa.types.is_struct(kind) else str | bytes
    for row, cell in enumerate(cells, start=1):
        if cell is not None and not isinstance(cell, allowed):
            held = f"column {field.name!r} holds a {type(cell).__name__}"
            raise RowError(held, row, f", but {expected} was expected")
    missing = np.array([cell is None for cell in cells], dtype=bool)
    if pa.types.is_list(kind):
        ends = [*accumulate(0 if cell is None else len(cell) for cell in cells)]
        entries = [entry for cell in cells if cell is not None for entry in cell]
        try:
            found = convert(entries, pa.field(field.name, kind.value_type))
        except RowError as error:
            raise error.in_rows(ends) from error
        return pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), found, kind, mask=pa.array(missing))
    if pa.types.is_struct(kind):
        names = [each.name for each in kind]
        _require_fields(cells, names, field.name)
        parts = [
            convert([None if cell is None else cell[each.name] for cell in cells], each.with_name(field.name))
            for each in kind
        ]
        return pa.StructArray.from_arrays(parts, fields=[*kind], mask=pa.array(missing))
    return pa.array([_decoded(cell, row, field.name) for row, cell in enumerate(cells, start=1)], kind)


def _require_fields(cells: list[dict[str, Any] | None], names: list[str], column: str) -> None:
    for row, cell in enumerate(cells, start=1):
        if cell is None or cell.keys() == {*names}:
            continue
        lacking = [name for name in names if name not in cell]
        what = f"without {lacking[0]!r}" if lacking else f"with {next(each for each in cell if each not in names)!r}"
        raise RowError(f"column {column!r} holds an entry {what}", row, f"; each has {some(names)}")


def _decoded(cell: str | bytes | None, row: int, column: str) -> bytes | None:
    if not isinstance(cell, str):
        return cell
    try:
        return base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RowError(f"column {column!r} holds text that is no base64", row, f": {error}") from error
