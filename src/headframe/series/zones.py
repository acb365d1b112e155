"""Local times of a named zone as points in time, by the zone's own rules."""

import re
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

OFFSET = r"(Z|:[0-9.]+[+-][0-9]{2}(:?[0-9]{2})?)$"
"""What ends a time that says its own distance from UTC."""

ADVICE = "give its offset, as +01:00 or Z, or all rows in order of time"

NEIGHBOURS = 86_400_000_000
"""Microseconds between two rows up to which their order tells which of two equal hours is meant."""


def is_zoned(kind: pa.DataType) -> bool:
    """Return whether values of a type are points in time, of a zone."""
    return bool(pa.types.is_timestamp(kind) and kind.tz)


def parse_zoned(cells: pa.Array, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """Return cells of text as points in time of a type with a zone; what is none becomes null.

    A time with an offset is what it says; one without is local. Of a local hour that occurs twice, as clocks are set
    back, ascending rows tell which is meant where one steps back in local time: those before are in the first, those
    after in the second. Without such a step, as in an hour that lacks rows, nothing tells, and they are refused.

    Returns:
        The points in time, and by position why a cell is none.
    """
    wrong: dict[int, str] = {}
    zone, local_type = kind.tz, pa.timestamp(kind.unit)
    offset = pc.fill_null(pc.match_substring_regex(cells, OFFSET), False)
    local = _cast_each(pc.if_else(offset, pa.scalar(None, pa.string()), cells), local_type)
    first = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    second = pc.assume_timezone(local, zone, ambiguous="latest", nonexistent="earliest")
    skipped = pc.fill_null(pc.not_equal(pc.local_timestamp(first), local), False)
    said = _cast_each(pc.if_else(offset, cells, pa.scalar(None, pa.string())), kind)
    found = pc.if_else(offset, said, pc.if_else(skipped, pa.scalar(None, kind), first))
    for row in np.flatnonzero(np.asarray(skipped)).tolist():
        wrong[row] = f"which clocks in {zone} skip"
    points, later = np.array(found.cast(pa.int64()).fill_null(0)), second.cast(pa.int64())
    doubled = np.flatnonzero(np.asarray(pc.fill_null(pc.not_equal(first, second), False))).tolist()
    taken_first: list[int] = []
    for row in doubled:
        before = points[row - 1] if row and found[row - 1].is_valid and row - 1 not in wrong else None
        early, late = points[row], later[row].as_py()
        if before is not None and early <= before < late:
            points[row] = late
        elif before is None or before >= late or early - before > NEIGHBOURS:
            wrong[row] = f"which occurs twice in {zone}; {ADVICE}"
        else:
            taken_first.append(row)
    for row in reversed(taken_first):
        is_next_known = row + 1 < len(points) and found[row + 1].is_valid and row + 1 not in wrong
        if not is_next_known or points[row + 1] > later[row].as_py():
            wrong[row] = f"which occurs twice in {zone}, and the rows around it do not tell which is meant; {ADVICE}"
    refused = np.isin(np.arange(len(points)), list(wrong))
    return pa.array(points, pa.int64(), mask=refused | np.asarray(found.is_null())).cast(kind), wrong


def near_set_back(text: str, kind: pa.DataType) -> bool:
    """Return whether clocks are set back within a day of a local time; False for what is none."""
    local = _cast_each(pa.array([text]), pa.timestamp(kind.unit))
    day = pa.scalar(timedelta(days=1))
    ends = (change(local, day) for change in (pc.subtract, pc.add))
    before, after = (pc.assume_timezone(each, kind.tz, ambiguous="earliest", nonexistent="earliest") for each in ends)
    return bool(pc.greater(pc.subtract(after, before), pc.add(day, day))[0].as_py())


def why_no_time(text: str, wanted: pa.Field) -> str:
    """Return why text is no time of a column of times; nothing for other columns."""
    if not pa.types.is_timestamp(wanted.type):
        return ""
    if not wanted.type.tz and re.search(OFFSET, text):
        return f"a time with an offset; name the time zone in dataset.contract.columns.{wanted.name}.zone, such as UTC"
    return "which is no time; times are written year first, as 2024-12-31 23:00:00"


def cast_times(cells: Any, kind: pa.DataType) -> Any:
    """Cast text to a type of times; a month, as 1949-01, or a year is the time at which it begins.

    Raises:
        ArrowInvalid: of `pyarrow`; a text is no time.
    """
    try:
        return pc.cast(cells, kind)
    except pa.ArrowInvalid:
        months = pc.replace_substring_regex(cells, r"^([0-9]{4})$", r"\1-01")
        return pc.cast(pc.replace_substring_regex(months, r"^([0-9]{4}-[0-9]{2})$", r"\1-01"), kind)


def _cast_each(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast text to a type of times; null where it is none."""
    try:
        return cast_times(cells, kind)
    except pa.ArrowInvalid:
        return pa.concat_arrays([_cast_one(cells.slice(row, 1), kind) for row in range(len(cells))])


def _cast_one(cell: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return cast_times(cell, kind)
    except pa.ArrowInvalid:
        return pa.nulls(1, kind)
