"""Raw Arrow columns as NumPy arrays, with the checks that all encoders need."""

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.errors import DataError, RowError

AT_ONCE = 16_384
"""Rows of several columns that are summed up at once."""


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
    return _standard(mean, deviation, values.min(axis=0), values.max(axis=0))


def column_statistics(rows: pa.Table, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return `mean_and_std` of `number_columns`, to the same bits, without laying several columns out as a whole."""
    if len(names) == 1:  # whose numbers are added up in pairs
        return mean_and_std(number_columns(rows, names))
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _sum(_blocks(rows, names)) / rows.num_rows
        deviation = np.sqrt(_sum((block - mean) ** 2 for block in _blocks(rows, names)) / rows.num_rows)
    bounds = [(block.min(axis=0), block.max(axis=0)) for block in _blocks(rows, names)]
    least, most = np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)
    return _standard(mean, deviation, least, most)


def _blocks(rows: pa.Table, names: tuple[str, ...]) -> Iterator[np.ndarray]:
    for start in range(0, rows.num_rows, AT_ONCE):
        try:
            yield number_columns(rows.slice(start, AT_ONCE), names)
        except RowError as error:
            raise error.behind(start) from error


def _sum(blocks: Iterator[np.ndarray]) -> np.ndarray:
    """Add up the rows of several columns, one row after the other as `sum` of all of them does."""
    total: np.ndarray = next(blocks).sum(axis=0)
    for block in blocks:
        total = np.concatenate([total[np.newaxis], block]).sum(axis=0)
    return total


def _standard(
    mean: np.ndarray, deviation: np.ndarray, least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not (np.isfinite(mean) & np.isfinite(deviation)).all():
        largest = np.maximum(np.abs(least), np.abs(most)).max()
        raise DataError(f"training rows hold numbers up to {largest:.3g}, too large to standardise; rescale them")
    constant = least == most
    return np.where(constant, least, mean), np.where(constant, 1.0, deviation)
