"""Framings: which rows of a table an example is read from, and which of them name one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.build import build
from headframe.config.plan.features import FeaturesConfig
from headframe.errors import ConfigurationError, DataError
from headframe.features.base import Encoder
from headframe.features.spec import InputSpec
from headframe.series.series import LaidOutRows, Series

Reads: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From positions of examples, int64 (examples,), to the positions of the rows that their inputs are read from, int64
(examples,) or (examples, rows); -1 where there is none, whose input is zero."""


class Framing(ABC):
    """What one example is, in training as in a request.

    A row names an example: its `row_id` is the example's, and an example's position is that of this row. Its target is
    the row's too, or that of so many rows from it on. Its inputs may be read from any rows.

    One that a plan names in `features.framing` is built of its settings there; encoders encode single rows.

    Attributes:
        columns: raw columns that it reads besides those of the encoders.
        alone: whether inputs are the row's own, so that each row can be predicted without any other.
        ahead: whether a request asks for what follows its last row; otherwise it asks for each of its rows.
        reach: how many rows the inputs of an example are read from at most; of an ensemble, the member's that needs
            most decides which examples there are.
    """

    alone: ClassVar[bool] = False
    ahead: ClassVar[bool] = False
    columns: tuple[str, ...] = ()
    reach: int = 1

    @abstractmethod
    def reads(self, rows: pa.Table) -> Reads:
        """Return which of these rows the inputs of examples among them are read from."""

    def spec(self, row: InputSpec) -> InputSpec:
        """Return the layout of one example's inputs, given that of an encoded row."""
        return row

    def examples(self, rows: pa.Table, in_split: np.ndarray, laid_out: LaidOutRows | None = None) -> np.ndarray:
        """Return the positions of the examples of a split, int64, ascending.

        Args:
            rows: of the table, or as they were laid out.
            in_split: which of them are in the split, bool (rows,).
            laid_out: how the rows of a series follow each other.
        """
        del rows, laid_out
        return np.flatnonzero(in_split)

    def targets(self, positions: np.ndarray) -> np.ndarray:
        """Return the positions of the rows whose targets examples have: (examples,), or (examples, rows)."""
        return positions

    def requested(
        self,
        rows: pa.Table,
        positions: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
        *,
        last: bool = False,
    ) -> tuple[pa.Table, np.ndarray]:
        """Return rows of a request as `reads` takes them, and the positions of the examples that it asks for.

        Args:
            rows: the model's columns.
            positions: of examples among the rows; all that there are without it.
            numbers: of the rows, for messages; from 1 without them.
            last: whether only what follows the newest row is wanted, where the framing is `ahead`.

        Raises:
            DataError: the rows do not hold what examples are read from.
        """
        del numbers, last
        return rows, np.arange(rows.num_rows) if positions is None else positions

    def span(self, positions: np.ndarray) -> tuple[int, int] | None:
        """Return the first row, and the one behind the last, that examples are read from; None: any of the rows."""
        del positions
        return None

    def kept(self, rows: pa.Table) -> pa.Table:
        """Return those of the rows of a request, of which more may come, that its examples may be read from."""
        return rows

    def context(self, rows: pa.Table, position: int) -> pa.Table:
        """Return the rows by which an example can be predicted alone; if it is read from its own row, that is first."""
        index = np.unique(self.reads(rows)(np.array([position])))
        own = index == position
        return rows.take(pa.array(np.concatenate([index[own], index[~own & (index >= 0)]])))


class RowFraming(Framing):
    """A row is an example."""

    alone: ClassVar[bool] = True

    @override
    def reads(self, rows: pa.Table) -> Reads:
        return lambda positions: positions

    @override
    def requested(
        self,
        rows: pa.Table,
        positions: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
        *,
        last: bool = False,
    ) -> tuple[pa.Table, np.ndarray]:
        taken = rows if positions is None else rows.take(pa.array(positions))
        return taken, np.arange(taken.num_rows)

    @override
    def span(self, positions: np.ndarray) -> tuple[int, int] | None:
        return int(positions.min()), int(positions.max()) + 1


class WindowFraming(Framing):
    """Consecutive rows of a series are read, and as many of the rows behind them are predicted.

    The first row that is predicted names the example; in a request it need not have come yet. No window spans a gap,
    and only rows that it looks back on may have been filled, not the last of them.

    Args:
        length: rows that are read.
        horizon: rows that are predicted.
        series: how the rows follow each other; None: as they come.
    """

    ahead: ClassVar[bool] = True

    def __init__(self, length: int, horizon: int, series: Series | None) -> None:
        self.reach = length
        self.horizon = horizon
        self.series = series
        self.columns = () if series is None else (series.time,)

    @override
    def reads(self, rows: pa.Table) -> Reads:
        return lambda positions: positions[:, np.newaxis] + np.arange(-self.reach, 0)

    @override
    def targets(self, positions: np.ndarray) -> np.ndarray:
        return positions[:, np.newaxis] + np.arange(self.horizon)

    @override
    def examples(self, rows: pa.Table, in_split: np.ndarray, laid_out: LaidOutRows | None = None) -> np.ndarray:
        before = np.concatenate([[0], np.cumsum(in_split)])
        first = np.arange(self.reach, max(self.reach, len(in_split) - self.horizon + 1))
        usable = before[first + self.horizon] - before[first] == self.horizon
        if laid_out is not None:
            runs, filled = laid_out.runs, laid_out.filled
            # The last row before a forecast is always known when it is asked for, so it must have been in training.
            usable &= (runs[first - self.reach] == runs[first + self.horizon - 1]) & ~filled[first - 1]
        return first[usable]

    @override
    def requested(
        self,
        rows: pa.Table,
        positions: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
        *,
        last: bool = False,
    ) -> tuple[pa.Table, np.ndarray]:
        """Return rows in order of time with their gaps filled, and the positions of the windows among them.

        Args:
            rows: a history, in any order unless positions are given.
            positions: where gaps are filled, windows end where they would without.
            numbers: see `Framing.requested`.
            last: see `Framing.requested`.

        Raises:
            DataError: too few rows for a window; rows of one time, of another frequency than in training, or a gap in a
                window.
        """
        length, given = self.reach, rows.num_rows
        if given == 0:
            raise DataError(f"0 rows came, but a forecast needs the last {length}")
        before = np.arange(given)
        runs = np.zeros(given, dtype=np.int64)
        if self.series is not None:
            if positions is None:
                rows = self.series.in_order(rows, numbers)
            if last:
                rows = rows.slice(max(0, given - length))
            laid_out = self.series.lay_out(rows)
            rows, before, runs = laid_out.rows, laid_out.before, laid_out.runs
        # Of rows that came, not of those that were filled.
        ends = np.flatnonzero(np.diff(before, append=before[-1] + 1))
        if positions is not None:
            if len(positions) and not length <= positions.min() <= positions.max() <= given:
                raise DataError(
                    f"rows {positions.min() + 1} to {positions.max() + 1} are to be predicted from {length} rows "
                    f"before each, but {given} rows came; those that can be predicted are {length + 1} to {given + 1}"
                )
            ends = ends[positions - 1]
        elif len(rows) < length:
            raise DataError(f"{given} rows came, but a forecast needs the last {length}")
        else:
            ends = ends[-1:] if last else ends[ends >= length - 1]
        firsts = ends - length + 1
        broken = np.flatnonzero(runs[firsts] != runs[ends])
        if len(broken) and self.series is not None:
            first = int(firsts[broken[0]])
            raise DataError(
                f"the history has a gap of {self.series.name_gap(laid_out, first, first + length - 1)}, but a forecast "
                f"needs {length} rows every {self.series.every}; add them, or shorten it to what follows the gap"
            )
        return rows, ends + 1

    @override
    def span(self, positions: np.ndarray) -> tuple[int, int] | None:
        return int(positions.min()) - self.reach, int(positions.max())

    @override
    def kept(self, rows: pa.Table) -> pa.Table:
        ordered = rows if self.series is None else rows.sort_by(self.series.time)
        return ordered.slice(max(0, rows.num_rows - self.reach)).combine_chunks()


def gather(values: Any, index: np.ndarray) -> Any:
    """Return examples of an array or CSR matrix (rows, ...), or of each of some named arrays.

    Args:
        values: encoded rows.
        index: rows that each example is read from, int64 (examples,) or (examples, rows); zeros where it is -1.
    """
    if isinstance(values, dict):
        return gather_each(values, index)
    index = index.astype(np.int64, copy=False)  # -1 of unsigned numbers, as Arrow's indices are, is the largest one
    found = values[index]
    if index.size and index.min() < 0:
        found[index < 0] = 0
    return found


def gather_each(arrays: Mapping[str, np.ndarray], index: np.ndarray) -> dict[str, np.ndarray]:
    """Return examples of each of some named arrays; see `gather`."""
    return {name: gather(values, index) for name, values in arrays.items()}


def framing_of(features: FeaturesConfig, encoder: Encoder, horizon: int, series: Series | None) -> Framing:
    """Return the framing of a plan's features: the one that they name, else rows, or windows where they look back.

    Args:
        features: of the plan.
        encoder: of the features.
        horizon: of the task.
        series: how the rows of the data set follow each other, where they are a series.

    Raises:
        ConfigurationError: features that look back meet a task of single rows, or the reverse, or have a framing, too.
    """
    lookback = encoder.lookback
    framing: Framing
    if features.framing is None:
        framing = WindowFraming(lookback, horizon, series) if lookback else RowFraming()
    elif lookback:
        raise ConfigurationError(
            f"features.framing={features.framing.target} reads several rows, and so does an encoder that looks back "
            f"{lookback} of them; leave one of both out"
        )
    else:
        framing = build(features.framing)
    if framing.ahead != bool(horizon):
        raise ConfigurationError(
            f"features that see {lookback or 'no'} rows back do not fit a task that predicts {horizon or 'no'} rows "
            "ahead; take windows with forecasting, and other features with other tasks"
        )
    return framing
