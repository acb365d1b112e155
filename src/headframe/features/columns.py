"""Raw Arrow columns as NumPy arrays, with the checks that all encoders need."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import DataError, RowError


def number_column(rows: pa.Table, name: str) -> np.ndarray:
    """Read a numeric or boolean column as float64 (rows,); an empty cell becomes NaN.

    Raises:
        DataError: the column holds no numbers, or an infinity.
    """
    column = rows.column(name)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(rows.num_rows, np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"column {name!r} holds {kind}, but numbers were expected")
    plain = pc.cast(column, pa.int8()) if pa.types.is_boolean(kind) else column
    values = pc.cast(plain, pa.float64(), safe=False).to_numpy()
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise RowError(f"column {name!r} holds infinity", int(infinite[0]) + 1, "; clean the data or leave the row out")
    return np.asarray(values, dtype=np.float64)


def number_columns(rows: pa.Table, names: tuple[str, ...]) -> np.ndarray:
    """Read several numeric columns as float64 (rows, columns), where every cell must be filled.

    Raises:
        DataError: a column holds no numbers, or an empty cell, NaN or infinity.
    """
    values = np.empty((rows.num_rows, len(names)))
    for position, name in enumerate(names):
        values[:, position] = number_column(rows, name)
        empty = np.flatnonzero(np.isnan(values[:, position]))
        if len(empty):
            raise RowError(f"column {name!r} is empty or NaN", int(empty[0]) + 1, ", but every row needs a number")
    return values


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name for a column of ours beside columns `taken`: `name`, with as many `_` behind it as it needs."""
    while name in taken:
        name += "_"
    return name


def is_text(kind: pa.DataType) -> bool:
    """Return whether cells of this type are strings, dictionary-encoded ones included."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner))


def first_empty(column: pa.ChunkedArray) -> int:
    """Return the number of the first row with an empty cell, counted from 1 as in every message."""
    row: int = column.is_null().index(value=True).as_py()
    return row + 1


def text_column(rows: pa.Table, name: str) -> list[str]:
    """Read a column of strings, where every cell must be filled; the empty string is a filled cell.

    Raises:
        DataError: the column holds no strings, or an empty cell.
    """
    column = rows.column(name)
    if not is_text(column.type):
        raise DataError(f"column {name!r} holds {column.type}, but text was expected")
    if column.null_count:
        row = first_empty(column)
        raise RowError(f"column {name!r} has no text", row, "; every row needs one, even if only a blank")
    return [str(text) for text in column.to_pylist()]


def mean_and_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population standard deviation of each column of float64 (rows, columns); 1 for a constant.

    Raises:
        DataError: the square of a number is beyond float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = values.mean(axis=0), values.std(axis=0)
    if not (np.isfinite(mean) & np.isfinite(deviation)).all():
        msg = f"training rows hold numbers up to {np.abs(values).max():.3g}, too large to standardise; rescale them"
        raise DataError(msg)
    constant = values.min(axis=0) == values.max(axis=0)
    return np.where(constant, values[0], mean), np.where(constant, 1.0, deviation)
