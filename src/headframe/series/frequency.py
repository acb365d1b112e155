"""The frequency of a series: an offset of pandas between moments, a number between counts."""

from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.tseries.frequencies import to_offset

from headframe.errors import DataError, RowError

Times: TypeAlias = pd.DatetimeIndex | np.ndarray
"""The column of time of a series: moments, or counts as int64 or float64 (rows,)."""

REGULAR = 0.5
"""Share of the rows that must follow one step after the row before them, so that a frequency is found."""

CALENDAR = ((28, 31, "MS"), (89, 92, "QS"), (365, 366, "YS"))
"""Frequencies whose steps are of several lengths: fewest and most days, offset."""

WEEK = 7  # days
TOLERANCE = 1e-6  # of a step, for counts that are no whole numbers
DIGITS = 12  # of their frequency; the others differ from row to row, as sums of 0.1 do


def read_times(rows: pa.Table, name: str) -> Times:
    """Read the column of time.

    Raises:
        DataError: a cell is empty, or the column holds neither moments nor numbers.
    """
    column = rows.column(name)
    if column.null_count:
        empty = column.is_null().index(value=True).as_py()
        raise RowError(f"column {name!r} has no time", empty + 1, "; each row of a series has one")
    if pa.types.is_date(column.type):
        column = pc.cast(column, pa.timestamp("us"))
    if pa.types.is_timestamp(column.type):
        return pd.DatetimeIndex(column.to_pandas())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.to_numpy()
    raise DataError(f"column {name!r} holds {column.type}, but a series is ordered by moments or numbers")


def ordinals(times: Times, every: str) -> tuple[np.ndarray, np.ndarray]:
    """Return on which step each ascending time lies, counted from the first one, and whether it lies on it exactly.

    Steps of a day or longer are counted in local time: one row for each day, working day, week, month, and so on,
    whatever its hour. Shorter ones are counted as `on_clock` says.

    Returns:
        int64 (rows,) and bool (rows,).

    Raises:
        DataError: the frequency is one of moments and the times are counts, or the reverse.
    """
    counted = every.replace(".", "", 1).isdigit()
    if counted == isinstance(times, pd.DatetimeIndex):
        kind = "moments, whose frequency is an offset such as 1h" if counted else "numbers, whose frequency is a number"
        raise DataError(f"the rows are to come every {every}, but their times are {kind}")
    if not isinstance(times, pd.DatetimeIndex):
        counts = (times - times[:1]) / float(every)
        return np.rint(counts).astype(np.int64), np.abs(counts - np.rint(counts)) < TOLERANCE
    offset = to_offset(every)
    if isinstance(offset, pd.offsets.Tick):
        steps, rest = np.divmod(_passed(on_clock(times, every)), offset.nanos)
        return steps, rest == 0
    days = times.tz_localize(None).normalize()
    if isinstance(offset, pd.offsets.Day):
        passed = (days - days[:1].repeat(len(days))).days.to_numpy()
        steps, rest = np.divmod(passed, offset.n)
        return steps.astype(np.int64), rest == 0
    grid = pd.date_range(offset.rollback(days[0]), days[-1], freq=offset)
    steps = grid.searchsorted(days, side="right") - 1
    # A row of a month may have any day of it, one of a working day is on it.
    exact = grid[steps] == days if isinstance(offset, pd.offsets.BusinessDay) else np.ones(len(days), dtype=bool)
    return (steps - steps[:1]).astype(np.int64), exact


def on_clock(times: pd.DatetimeIndex, every: str) -> pd.DatetimeIndex:
    """Return ascending moments as a frequency shorter than a day counts them.

    That is in time that has passed, where a local hour that occurs twice is two. Where rows of a time zone lie on such
    steps only by its clocks, as those at 0, 6, 12 and 18 o'clock with daylight saving, it is in local time.

    Returns:
        The times, without their zone where local time counts.
    """
    offset = to_offset(every)
    if times.tz is None or not isinstance(offset, pd.offsets.Tick) or not (_passed(times) % offset.nanos).any():
        return times
    local = times.tz_localize(None)
    return times if (_passed(local) % offset.nanos).any() else local


def _passed(times: pd.DatetimeIndex) -> np.ndarray:
    """Return the nanoseconds since the first of some moments."""
    passed: np.ndarray = (times - times[:1].repeat(len(times))).as_unit("ns").asi8
    return passed


def find_frequency(times: Times) -> str | None:
    """Find the frequency of ascending times that may have gaps; None where most of them are not equally far apart."""
    best, most = None, REGULAR
    for every in _candidates(times):
        steps, exact = ordinals(times, every)
        apart = np.diff(steps)
        share = (apart == 1).mean()
        if exact.all() and (apart > 0).all() and (share > most or (best is None and share == most)):
            best, most = every, share
    return best


def _candidates(times: Times) -> list[str]:
    """Return what may be the frequency, by the most common distance of two times; of equal ones the first counts."""
    if len(times[1:]) == 0:
        return []
    if not isinstance(times, pd.DatetimeIndex):
        common = _most_common(np.diff(times))
        return [
            np.format_float_positional(common, DIGITS, fractional=False, trim="-") if common % 1 else f"{common:.0f}"
        ]
    days = times.tz_localize(None).normalize()
    between = (days[1:] - days[:-1]).days.to_numpy()
    apart = int(_most_common(between))
    distances = (times[1:] - times[:-1]).as_unit("ns").asi8
    nanos = int(_most_common(distances))
    exact = [to_offset(pd.Timedelta(nanos, "ns")).freqstr] if nanos > 0 else []
    if not apart or (times[1:] - times[:-1] < pd.Timedelta(hours=23)).mean() > REGULAR:
        return exact
    found = [every for fewest, most, every in CALENDAR if fewest <= apart <= most]
    if apart == 1:
        # More than a week without a single Saturday or Sunday is a series of working days.
        working = np.is_busday(days.to_numpy().astype("datetime64[D]")).all() and (days[-1] - days[0]).days > WEEK
        return ["B", "D", *exact] if working else ["D", *exact]
    if apart == WEEK:
        return [f"W-{days[0].strftime('%a').upper()}"]
    return [*found, f"{apart}D", *exact]


def _most_common(values: np.ndarray) -> float:
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()].item()


def moved(times: Times, every: str, steps: int) -> Times:
    """Return times so many steps later."""
    if not isinstance(times, pd.DatetimeIndex):
        return times + times.dtype.type(float(every) * steps)
    return times + steps * to_offset(every)
