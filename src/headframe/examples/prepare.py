"""What a learner is trained and measured on: the rows of a table, and the indices of the examples of each split."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.build import build
from headframe.config.plan.data import ROW_ID, TrainingDataConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets.splits import assign, require_rows
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError, DataError, some
from headframe.examples.storage import Storage
from headframe.series.series import LaidOutRows, Series
from headframe.tasks.base import Task

MEASURED = ("validation", "test")
SPLITS = ("train", *MEASURED)

PROBE_ROWS = 32
"""Raw rows kept beside a model, by whose predictions a copy of it is recognised; a forecast keeps one window."""


@dataclass(frozen=True)
class PreparedData:
    """A table's rows for one run of the program, whatever is trained on them.

    An example is a row, and its index is the row's; with a `lookback` above 0, it is the window that begins at that
    row. A window belongs to the split that holds all rows it predicts; what it looks back on may lie in an earlier one.
    No window spans a gap, and only rows that it looks back on may have been filled, not the last of them.

    Attributes:
        dataset: the data set.
        rows: `ROW_ID` and the raw columns, without rows that no example needs, in table order.
        splits: for each row `train`, `validation`, `test` or `unused`.
        task: fitted on all training rows: members of an ensemble, which leave out different copies, share it.
        component: the task as the plan has it.
        series: how the rows follow each other, where an example is a window of them.
        laid_out: the same rows, and where their gaps are.
        storage: where rows and arrays lie.
    """

    dataset: TrainingDataConfig
    rows: pa.Table
    splits: np.ndarray
    task: Task
    component: TaskConfig
    series: Series | None = None
    laid_out: LaidOutRows | None = None
    storage: Storage = field(default_factory=Storage)

    @property
    def target_columns(self) -> list[str]:
        """The columns that the task learns or is measured by."""
        return self.task.target_columns(self.dataset.inputs, self.dataset.target)

    @cached_property
    def target(self) -> dict[str, np.ndarray]:
        """The targets of all rows as `Task.targets` returns them."""
        found: dict[str, np.ndarray] = self.storage.encoded(
            self.task.targets, self.rows.select(self.target_columns), self.task.padding
        )
        return found

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the raw columns that a model may need: the inputs, and for windows the column of time."""
        names = dict.fromkeys((*self.dataset.inputs, *([self.series.time] if self.series else [])))
        return pa.schema([self.rows.schema.field(name) for name in names])

    def training_rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the raw rows that transforms may be fitted to, with some columns or all."""
        rows = self.rows if columns is None else self.rows.select(columns)
        return self.storage.rows(rows.schema, _filtered(rows.to_batches(), self.splits == "train"))

    def indices(self, split: str, lookback: int) -> np.ndarray:
        """Return the indices of the examples of one split, int64, ascending."""
        in_split = self.splits == split
        if not lookback:
            return np.flatnonzero(in_split)
        horizon = self.task.horizon
        windows = max(0, len(in_split) - lookback - horizon + 1)
        before = np.concatenate([[0], np.cumsum(in_split)])
        first = np.arange(windows) + lookback
        usable = before[first + horizon] - before[first] == horizon
        if self.laid_out is not None:
            runs, filled = self.laid_out.runs, self.laid_out.filled
            # The last row before a forecast is always known when it is asked for, so it must have been in training.
            usable &= (runs[first - lookback] == runs[first + horizon - 1]) & ~filled[first - 1]
        return np.flatnonzero(usable)

    def targets(self, indices: np.ndarray, lookback: int) -> dict[str, np.ndarray]:
        """Return the targets of examples: each (examples, ...), for windows (examples, horizon, ...)."""
        return gather_each(self.target, indices, lookback, self.task.horizon if lookback else 0)

    def measured(self, lookback: int) -> tuple[np.ndarray, np.ndarray]:
        """Return indices and splits of the validation and test examples, in table order."""
        indices = [self.indices(split, lookback) for split in MEASURED]
        splits = np.repeat(np.array(MEASURED), [len(found) for found in indices])
        joined = np.concatenate(indices)
        ascending = np.argsort(joined, kind="stable")
        return joined[ascending], splits[ascending]

    def row_ids(self, indices: np.ndarray, lookback: int) -> pa.Array:
        """Return each example's `row_id`: its row's, or that of the first row that its window predicts."""
        return self.rows.column(ROW_ID).combine_chunks().take(pa.array(indices + lookback))

    def probe(self, lookback: int) -> pa.Table:
        """Return the raw rows of the first test examples."""
        indices = self.indices("test", lookback)
        inputs = self.rows.select(self.schema.names)
        if lookback:
            return inputs.slice(int(indices[0]), lookback)
        return inputs.take(pa.array(indices[:PROBE_ROWS]))


def _filtered(batches: Iterable[pa.RecordBatch], mask: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield those rows of consecutive batches that a mask, bool (rows of all,), chooses."""
    start = 0
    for batch in batches:
        chosen = batch.filter(pa.array(mask[start : start + batch.num_rows]))
        if chosen.num_rows:
            yield chosen
        start += batch.num_rows


def gather(values: Any, indices: np.ndarray, offset: int, length: int) -> Any:
    """Return examples of an array or CSR matrix (rows, ...), or of each of some named arrays.

    They are the rows with these indices, int64 (examples,); where `length` is not 0, windows of so many rows, which
    begin `offset` rows after their index.
    """
    if isinstance(values, dict):
        return gather_each(values, indices, offset, length)
    return values[indices[:, np.newaxis] + offset + np.arange(length)] if length else values[indices]


def gather_each(
    arrays: Mapping[str, np.ndarray], indices: np.ndarray, offset: int, length: int
) -> dict[str, np.ndarray]:
    """Return examples of each of some named arrays; see `gather`."""
    return {name: gather(values, indices, offset, length) for name, values in arrays.items()}


def build_task(component: TaskConfig) -> Task:
    """Build a task, and check that it states what it is judged by.

    Raises:
        ConfigurationError: it refuses its settings, or does not.
    """
    task: Task = build(component)
    for name in ("primary_metric", "higher_is_better"):
        if not hasattr(task, name):
            raise ConfigurationError(
                f"{component.target} states no {name}; every task states both, see docs/extending.md"
            )
    return task


def prepare(
    dataset: TrainingDataConfig, component: TaskConfig, table: Table, folder: Path | None = None
) -> PreparedData:
    """Read a table, split it and fit the task on its training rows.

    Args:
        dataset: the data set.
        component: the task as the plan has it.
        table: the version of the data.
        folder: where rows lie that are too many for memory; see `Storage`.

    Raises:
        ConfigurationError: windows need a column of time, and the data set names none.
        DataError: a column is missing, a split is empty, the targets cannot be learned, or the rows of a series are not
            in order or have no frequency.
    """
    time = (dataset.time,) if dataset.time else ()
    columns = dict.fromkeys((ROW_ID, *dataset.inputs, *dataset.target_columns, *time))
    missing = [name for name in columns if name not in table.schema.names]
    if missing:
        raise DataError(f"table {dataset.name} has no column {missing[0]!r}; it has: {some(table.schema.names)}")
    splits = assign(dataset, table)
    require_rows(dataset.name, table, splits)
    storage, names = Storage(folder), list(columns)
    schema = pa.schema([table.schema.field(name) for name in names])
    batches = (batch.select(names) for batch in table.batches(names))
    task = build_task(component)
    used = splits != "unused"
    if not task.horizon:
        rows = storage.rows(schema, _filtered(batches, used))
        prepared = PreparedData(dataset, rows, splits[used], task, component, storage=storage)
    else:
        rows = storage.rows(schema, batches)
        series = Series.of(dataset, rows)
        # Rows behind the last split are never read; those between splits may be looked back on.
        last = int(np.flatnonzero(used)[-1])
        laid_out = series.lay_out(rows.slice(0, last + 1))
        splits = np.where(laid_out.filled, "unused", splits[laid_out.before])
        names = pc.if_else(pa.array(laid_out.filled), pa.scalar(None, pa.string()), laid_out.rows[ROW_ID])
        rows = laid_out.rows.set_column(0, ROW_ID, names)  # what was filled is no row of the table
        prepared = PreparedData(dataset, rows, splits, task, component, series, laid_out, storage)
    task.fit(prepared.training_rows(prepared.target_columns))
    return prepared
