"""Text as values of a column's type."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.cells.rules import CellRules
from headframe.errors import DataError
from headframe.series.zones import cast_times, is_zoned, parse_zoned, why_no_time

WHOLE_NUMBER = r"^-?[0-9]+$"
"""Arrow alone would read `0x10` as 16."""


def parse_cells(wanted: pa.Field, raw: pa.Array, rules: CellRules) -> tuple[pa.Array, dict[int, str]]:
    """Return cells of text as values of one type; what is no such value becomes null.

    Args:
        wanted: name, type and nullability of the column.
        raw: strings, as they stand in the file.
        rules: what the file means by them.

    Returns:
        The values, and by position what is wrong with those that cannot stay, such as a missing one in a column
        that is not nullable.

    Raises:
        DataError: no text is a value of that type.
    """
    wrong: dict[int, str] = {}
    cells = rules.clean(wanted.name, raw)
    reasons: dict[int, str] = {}
    try:
        if is_zoned(wanted.type):
            array, reasons = parse_zoned(cells, wanted.type)
        else:
            array = cast_cells(cells, wanted)
    except pa.ArrowInvalid:
        array = pa.array([_value(wanted, cell) for cell in cells], wanted.type)
    for index in np.flatnonzero(np.asarray(array.is_null()) & np.asarray(cells.is_valid())).tolist():
        reason = reasons.get(index) or why_no_time(cells[index].as_py(), wanted) or _why_none(cells[index], wanted.type)
        wrong[index] = f"column {wanted.name!r} holds {_short(cells[index])}, {reason}"
    if pa.types.is_floating(wanted.type):
        numbers, valid = array.to_numpy(zero_copy_only=False), np.asarray(array.is_valid())
        strange = valid & ~np.isfinite(numbers)
        for index in np.flatnonzero(strange).tolist():
            if np.isinf(numbers[index]) or not wanted.nullable:  # else NaN means "no value", too
                wrong[index] = f"column {wanted.name!r} holds {_short(cells[index])}, which is no finite number"
        if strange.any():
            array = pa.array(numbers, wanted.type, mask=strange | ~valid)
    if pa.types.is_integer(wanted.type) or pa.types.is_floating(wanted.type):
        array = rules.clean_numbers(array)
    if not wanted.nullable:
        for index in np.flatnonzero(np.asarray(array.is_null())).tolist():
            wrong.setdefault(index, f"column {wanted.name!r} holds no value")
    return array, wrong


def cast_cells(cells: pa.Array, wanted: pa.Field) -> pa.Array:
    """Return cells in the type of a column.

    Raises:
        DataError: no cell of this kind can be read as that type.
        ArrowInvalid: of `pyarrow`; some of the cells cannot.
    """
    if pa.types.is_string(cells.type) and pa.types.is_integer(wanted.type):
        decimal = pc.match_substring_regex(cells, WHOLE_NUMBER)
        if not pc.all(decimal, min_count=0).as_py():
            raise pa.ArrowInvalid("a cell holds no whole number in decimal digits")
    try:
        is_time = pa.types.is_timestamp(wanted.type) and pa.types.is_string(cells.type)
        return cast_times(cells, wanted.type) if is_time else cells.cast(wanted.type)
    except pa.ArrowNotImplementedError as error:
        raise DataError(
            f"column {wanted.name!r} is {wanted.type}, which cannot be read from cells of {cells.type}; give it "
            "another dtype in dataset.contract"
        ) from error


def _value(wanted: pa.Field, cell: pa.Scalar) -> Any:
    try:
        return cast_cells(pa.array([cell.as_py()], pa.string()), wanted)[0].as_py()
    except pa.ArrowInvalid:
        return None


def _why_none(cell: pa.Scalar, kind: pa.DataType) -> str:
    """Return why a cell is no value of a type, in words that need no knowledge of Arrow."""
    if pa.types.is_integer(kind):
        whole = re.match(WHOLE_NUMBER, cell.as_py())
        return "which is no whole number" + (f" that {kind.bit_width} bits hold" if whole else "")
    if pa.types.is_boolean(kind):
        return "which is no truth value (true or false)"
    return f"which is no {'number' if pa.types.is_floating(kind) else kind}"


def _short(cell: pa.Scalar) -> str:
    return repr(str(cell.as_py())[:100])
