"""The rows of a series laid out so that a window is a number of rows that follow each other."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.build import build
from headframe.config.plan.data import GapsConfig, TrainingDataConfig
from headframe.digests import Record
from headframe.errors import ConfigurationError, DataError
from headframe.series.findings import disorder, examine, gap, off_step
from headframe.series.frequency import Times, moved, on_clock, ordinals, read_times
from headframe.series.gaps import Gaps


@dataclass(frozen=True)
class LaidOutRows:
    """Rows of a series, with those that were filled.

    Attributes:
        rows: in order of time.
        runs: which rows follow each other without a gap: those of one number, int64 (rows,), ascending.
        filled: which rows did not come but were filled, bool (rows,).
        before: index of the row that came, for those that were filled that of the last one before it, int64 (rows,).
    """

    rows: pa.Table
    runs: np.ndarray
    filled: np.ndarray
    before: np.ndarray


class Series(Record):
    """How the rows of a series follow each other. It is part of a model, so that a history is treated as training rows.

    Attributes:
        time: the column that orders the rows.
        every: the frequency; None only where gaps do not count.
        gaps: how gaps are filled; None: no window spans one.
    """

    time: str
    every: str | None
    gaps: GapsConfig | None = None

    @classmethod
    def of(cls, dataset: TrainingDataConfig, rows: pa.Table) -> Self:
        """Return the series of a data set, whose frequency is found in all of its rows where the plan gives none.

        Raises:
            ConfigurationError: the data set names no column of time.
            DataError: the rows do not ascend, or have no frequency, or not that of the plan.
        """
        if dataset.time is None:
            raise ConfigurationError("a forecast needs rows in order of time, but dataset.time names no column")
        found = examine(read_times(rows, dataset.time), dataset.time, dataset.every)
        if found.fault:
            raise DataError(f"{dataset.name}: {found.fault}")
        adjacent = dataset.gaps is not None and build(dataset.gaps).closes
        if found.every is None and not adjacent:
            raise DataError(
                f"{dataset.name}: the rows are not equally far apart in {dataset.time!r}, so a window of so many rows "
                "is no stretch of time; resample the source, or, where rows count and not time, set "
                "dataset.gaps._target_=headframe.series.gaps.Adjacent"
            )
        return cls(time=dataset.time, every=found.every, gaps=dataset.gaps)

    def in_order(self, rows: pa.Table, numbers: np.ndarray | None = None) -> pa.Table:
        """Return rows sorted by time.

        Args:
            rows: in any order.
            numbers: of the rows, for messages; from 1 without them.

        Raises:
            DataError: a time is missing or came twice.
        """
        order = pc.sort_indices(rows, [(self.time, "ascending")])
        ordered = rows.take(order)
        numbers = np.asarray(order) + 1 if numbers is None else numbers[np.asarray(order)]
        if fault := disorder(read_times(ordered, self.time), self.time, numbers):
            raise DataError(fault)
        return ordered

    def lay_out(self, rows: pa.Table) -> LaidOutRows:
        """Fill the gaps of rows in order of time, as far as the plan says how, and number what lies between others.

        Raises:
            DataError: the rows do not ascend, or come at another frequency.
        """
        gaps: Gaps | None = None if self.gaps is None else build(self.gaps)
        times = read_times(rows, self.time)
        if fault := disorder(times, self.time):
            raise DataError(fault)
        unchanged = np.arange(rows.num_rows)
        if self.every is None or (gaps is not None and gaps.closes):
            none = np.zeros(rows.num_rows, dtype=np.int64)
            return LaidOutRows(rows, none, none.astype(bool), unchanged)
        if fault := off_step(times, self.time, self.every):
            raise DataError(fault)
        steps, _ = ordinals(times, self.every)
        missing = np.diff(steps, append=steps[-1:] + 1) - 1
        added = np.where(missing <= gaps.limit, missing, 0) if gaps is not None else np.zeros_like(missing)
        before = np.repeat(unchanged, 1 + added)
        behind = np.arange(len(before)) - np.repeat(np.cumsum(1 + added) - (1 + added), 1 + added)
        runs = np.cumsum(np.diff(steps[before] + behind, prepend=steps[:1]) > 1)
        filled = behind > 0
        if gaps is not None and filled.any():
            rows = gaps.fill(rows, before, behind / np.repeat(1 + added, 1 + added))
            position = rows.schema.get_field_index(self.time)
            column = pa.array(_moments(times, before, behind, self.every)).cast(rows.schema.field(position).type)
            rows = rows.set_column(position, rows.schema.field(position), column)
        return LaidOutRows(rows, runs, filled, before)

    def steps(self, rows: pa.Table) -> np.ndarray:
        """Return on which step each row lies, int64 (rows,), from 0; where gaps do not count, one after the other.

        Args:
            rows: in order of time.

        Raises:
            DataError: the times are not of the kind that the frequency is of.
        """
        if self.every is None or (self.gaps is not None and build(self.gaps).closes):
            return np.arange(rows.num_rows)
        return ordinals(read_times(rows, self.time), self.every)[0]

    def name_gap(self, laid: LaidOutRows, first: int, last: int) -> str:
        """Describe the first gap between two rows that lie in different runs."""
        row = first + int(np.flatnonzero(np.diff(laid.runs[first : last + 1]))[0])
        return gap(read_times(laid.rows, self.time), row, str(self.every))


def _moments(times: Times, before: np.ndarray, behind: np.ndarray, every: str) -> Times:
    """Return the times of all rows, `behind` steps after the row that came before each; those of a zone in UTC."""
    clock = on_clock(times, every) if isinstance(times, pd.DatetimeIndex) else times
    base = clock[before]
    found = pd.Series(base)
    for steps in np.unique(behind[behind > 0]).tolist():
        found[behind == steps] = moved(base[behind == steps], every, steps)
    if not isinstance(times, pd.DatetimeIndex):
        return found.to_numpy()
    moments = pd.DatetimeIndex(found)
    if times.tz is None:
        return moments
    if moments.tz is None:
        first = np.ones(len(moments), dtype=bool)  # of two equal local times
        moments = moments.tz_localize(times.tz, ambiguous=first, nonexistent="shift_forward")
        moments = moments.where(behind > 0, times[before])  # what came keeps its own
    return moments.tz_convert(None)
