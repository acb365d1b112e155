"""What breaks the frequency of a series, in sentences: order, repetitions, rows between two steps, gaps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from headframe.series.frequency import Times, find_frequency, moved, ordinals
from headframe.series.interleaved import doubt

NAMED = 3
"""Gaps that a sentence lists."""

WORDS = {"s": "second", "min": "minute", "h": "hour", "D": "day", "B": "working day", "W": "week", "MS": "month",
         "QS": "quarter", "YS": "year"}  # fmt: skip
"""Offsets of pandas in words, by their name before a hyphen."""

CLOCKS = ("Europe/London", "Europe/Berlin", "Europe/Athens", "America/New_York", "Australia/Sydney", "Pacific/Auckland")
"""Zones that between them change their clocks at most of the local times at which clocks are changed."""


@dataclass(frozen=True)
class SeriesFindings:
    """What was found of a series.

    Attributes:
        every: its frequency; None where it has none.
        found: whether that was found, and not given.
        fault: why its rows cannot be taken one after the other, as the end of a sentence; empty where they can.
        gaps: the first `NAMED` gaps in words, in order of time.
        count: how many gaps there are.
        missing: rows in all gaps.
        doubt: why the rows may be several series, see `interleaved.doubt`; empty where nothing shows that.
    """

    every: str | None
    found: bool
    fault: str
    gaps: tuple[str, ...] = ()
    count: int = 0
    missing: int = 0
    doubt: str = ""

    def __str__(self) -> str:
        if self.fault:
            return self.fault
        if self.every is None:
            return "no frequency: most rows are not equally far apart"
        step = WORDS.get(self.every.split("-")[0], self.every)
        text = f"a row every {step}{' (found)' if self.found else ''}"
        if not self.gaps:
            return f"{text}, without gaps{self.doubt}"
        more = self.count - len(self.gaps)
        listed = "; ".join(self.gaps) + (f"; and {more:,} more gap{'s' if more > 1 else ''}" if more else "")
        return f"{text}, {self.missing:,} missing: {listed}{self.doubt}"


def examine(times: Times, name: str, every: str | None, first: pa.Table | None = None) -> SeriesFindings:
    """Look at the times of a series in table order.

    Args:
        times: of all rows.
        name: of their column.
        every: the frequency that they should have; None: find it.
        first: the first rows with more columns, which may show that they are several series.
    """
    fault = disorder(times, name)
    chosen = every if fault or every is not None else find_frequency(times)
    if not fault and chosen is not None:
        fault = off_step(times, name, chosen)
    if fault or chosen is None:
        return SeriesFindings(chosen, every is None, fault)
    apart = np.diff(ordinals(times, chosen)[0])
    behind = np.flatnonzero(apart > 1)
    named = tuple(gap(times, int(row), chosen) for row in behind[:NAMED])
    doubted = "" if first is None else doubt(first, name, chosen)
    return SeriesFindings(chosen, every is None, "", named, len(behind), int((apart - 1).sum()), doubted)


def disorder(times: Times, name: str, numbers: np.ndarray | None = None) -> str:
    """Describe the first row that is not later than the row before it; empty where there is none.

    Args:
        times: of the rows.
        name: of their column.
        numbers: of the rows, for the message; from 1 without them.
    """
    back = np.flatnonzero(~(times[1:] > times[:-1]))
    if not len(back):
        return ""
    row = int(back[0]) + 1
    before, number = (row, row + 1) if numbers is None else sorted(numbers[row - 1 : row + 1].tolist())
    again = times[row : row + 1]
    repeated = (times[:row] == again[0]).any()
    if repeated and (zone := _clocks(again, "ambiguous")):
        return (
            f"column {name!r} has {again[0]} twice, the second time in row {number}, as where clocks are set back at "
            f"the end of daylight saving, and both are true; name the time zone, as contract.columns.{name}.zone={zone}"
        )
    if again[0] == times[row - 1]:
        return (
            f"column {name!r} has {again[0]} in rows {before} and {number}, but a series has one row for each time; "
            "where several series share the table, choose one, and where a reading repeats, keep one of them"
        )
    if repeated:
        return (
            f"column {name!r} has {again[0]} again in row {number}, but a series has one row for each time; where "
            "several series share the table, choose one"
        )
    return f"column {name!r} does not ascend: row {number} has {again[0]} after {times[row - 1]}; sort it by time"


def off_step(times: Times, name: str, every: str) -> str:
    """Describe the first of some ascending times that is not on a step of its own; empty where there is none."""
    steps, exact = ordinals(times, every)
    off = np.flatnonzero(~exact[1:] | (np.diff(steps) <= 0))
    if not len(off):
        return ""
    row, nearby = int(off[0]) + 1, find_frequency(times)
    hint = f"; they come every {nearby}" if nearby else ""
    came = f"the rows do not come every {every}: {name!r} has {times[row]} after {times[row - 1]}{hint}"
    return f"{came}; resample them, or where several series share the table, choose one"


def gap(times: Times, row: int, every: str) -> str:
    """Describe the gap behind a row (counted from 0)."""
    before, after = times[row], times[row + 1]
    missing = int(np.diff(ordinals(times[row : row + 2], every)[0])[0]) - 1
    rows = f"{missing:,} row{'s' if missing > 1 else ''} between {before} and {after}"
    return rows + _reason(times[row : row + 2], every)


def _reason(around: Times, every: str) -> str:
    """Return why rows may be missing between two moments: a leap day, or an hour that clocks skipped."""
    if not isinstance(around, pd.DatetimeIndex):
        return ""
    missing = pd.DatetimeIndex([*moved(around[:1], every, 1), *moved(around[1:], every, -1)])
    if ((missing.month == 2) & (missing.day == 29)).all():  # noqa: PLR2004 - the leap day
        return " (the leap day)"
    zone = _clocks(missing, "nonexistent")
    return f" (an hour that clocks skip for daylight saving, as in {zone})" if zone else ""


def _clocks(times: Times, kind: str) -> str:
    """Return a zone in which local times are all `ambiguous` or all `nonexistent`, as clocks change; else nothing."""
    if not isinstance(times, pd.DatetimeIndex) or times.tz is not None:
        return ""
    settings: dict[str, Any] = {
        "ambiguous": np.ones(len(times), dtype=bool),
        "nonexistent": "shift_forward",
        kind: "NaT",
    }
    return next((zone for zone in CLOCKS if times.tz_localize(zone, **settings).isna().all()), "")
