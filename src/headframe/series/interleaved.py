"""Whether rows that look like one series may be several that take turns, as two stations half an hour apart do."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.tseries.frequencies import to_offset

from headframe.errors import some
from headframe.series.frequency import WEEK, Times, ordinals, read_times

SAMPLE = 20_000
"""Rows that are looked at, the first ones."""

MOST = 12  # series that may take turns
MOST_LEVELS = 4  # that numbers alone may show
LEAST = 6  # rows of each
NATURAL = pd.Timedelta(hours=12)  # tides, days and weeks have turns of their own
LEVELS = 2.0
"""How many times as far apart as rows of one turn neighbours must be on average. Of 58 series of the Numenta Anomaly
Benchmark, ETTh1, ILINet, AirPassengers and electricity prices none exceeds 1.5."""


def plain_columns(schema: pa.Schema) -> list[str]:
    """Return the columns whose cells are single values."""
    plain = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_temporal, pa.types.is_boolean)
    return [each.name for each in schema if any(is_kind(each.type) for is_kind in plain)]


def doubt(rows: pa.Table, time: str, every: str) -> str:
    """Return why a series may be several, as the end of a sentence; empty where nothing shows that.

    It is a doubt and no proof: a reading may alternate by itself. Turns of half a day and more are not looked at.

    Args:
        rows: in the order of time.
        time: the column of time.
        every: the frequency of all rows together.
    """
    times = read_times(rows, time)
    steps = ordinals(times, every)[0]
    for turns in _turns(every):
        if len(steps) < LEAST * turns:
            return ""
        for name in rows.column_names:
            values = rows.column(name)
            if name == time or values.null_count or _is_of_the_clock(values, times):
                continue
            if not pa.types.is_floating(values.type) and (labels := _labels(values, steps % turns, turns)):
                shared = f"{name!r} takes turns between {some(labels)}"
            elif turns <= MOST_LEVELS and _alternates(values, steps, turns):
                shared = f"{name!r} alternates between {turns} levels"
            else:
                continue
            return f"; but {shared} from row to row, as where {turns} series share the table: if so, keep one of them"
    return ""


def _turns(every: str) -> Iterator[int]:
    """Yield how many series may take turns, without the turns that a clock or a calendar has."""
    if every.replace(".", "", 1).isdigit():
        yield from range(2, MOST + 1)
        return
    offset = to_offset(every)
    for turns in range(2, MOST + 1):
        is_short = isinstance(offset, pd.offsets.Tick) and turns * pd.Timedelta(offset.nanos, "ns") < NATURAL
        if is_short or (isinstance(offset, pd.offsets.Day) and turns * offset.n % WEEK):
            yield turns


def _is_of_the_clock(values: pa.ChunkedArray, times: Times) -> bool:
    """Return whether a column repeats the minute or second of the time."""
    if not isinstance(times, pd.DatetimeIndex) or not pa.types.is_integer(values.type):
        return False
    numbers = values.to_numpy()
    return any(np.array_equal(numbers, part) for part in (times.minute, times.second))


def _labels(values: pa.ChunkedArray, turn: np.ndarray, turns: int) -> list[object]:
    """Return the values of a column by turn, where the turn of a row decides its value; else nothing."""
    encoded = values.combine_chunks().dictionary_encode()
    codes, known = encoded.indices.to_numpy(), encoded.dictionary
    of_turn = np.full(turns, -1)
    of_turn[turn] = codes
    different = dict.fromkeys(of_turn[of_turn >= 0].tolist())
    if len(different) == 1 or not (of_turn[turn] == codes).all():
        return []
    return [known[code].as_py() for code in different]


def _alternates(values: pa.ChunkedArray, steps: np.ndarray, turns: int) -> bool:
    """Return whether neighbours are much further apart than rows of one turn."""
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        return False
    numbers = values.to_numpy().astype(np.float64)
    near, same = (np.abs(numbers[lag:] - numbers[:-lag])[steps[lag:] - steps[:-lag] == lag] for lag in (1, turns))
    return min(len(near), len(same)) >= LEAST and bool(near.mean() > LEVELS * same.mean())
