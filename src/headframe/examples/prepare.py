"""What a learner is trained and measured on: the rows of a table, and the positions of the examples of each split."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.build import build
from headframe.config.plan.data import ROW_ID, TrainingDataConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets.splits import assign, require_rows
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError, DataError, some
from headframe.examples.framing import Framing, gather_each
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

    Which rows make an example is up to a learner's framing; see `Framing` for its position. It belongs to the split
    that holds all rows it predicts; what its inputs are read from may lie in another one.

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

    def schema(self, framing: Framing) -> pa.Schema:
        """Return names and types of the raw columns that a model may need: the inputs, and what its framing reads."""
        return pa.schema(
            [self.rows.schema.field(name) for name in dict.fromkeys((*self.dataset.inputs, *framing.columns))]
        )

    def training_rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the raw rows that transforms may be fitted to, with some columns or all."""
        rows = self.rows if columns is None else self.rows.select(columns)
        return self.storage.rows(rows.schema, filtered(rows.to_batches(), self.splits == "train"))

    def positions(self, split: str, framing: Framing) -> np.ndarray:
        """Return the positions of the examples of one split, int64, ascending."""
        return framing.examples(self.rows, self.splits == split, self.laid_out)

    def targets(self, positions: np.ndarray, framing: Framing) -> dict[str, np.ndarray]:
        """Return the targets of examples: each (examples, ...), of windows (examples, horizon, ...)."""
        return gather_each(self.target, framing.targets(positions))

    def measured(self, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and splits of the validation and test examples, in table order."""
        positions = [self.positions(split, framing) for split in MEASURED]
        splits = np.repeat(np.array(MEASURED), [len(found) for found in positions])
        joined = np.concatenate(positions)
        ascending = np.argsort(joined, kind="stable")
        return joined[ascending], splits[ascending]

    def row_ids(self, positions: np.ndarray) -> pa.Array:
        """Return each example's `row_id`."""
        return self.rows.column(ROW_ID).combine_chunks().take(pa.array(positions))

    def probe(self, framing: Framing) -> pa.Table:
        """Return raw rows by which the first test example can be predicted, or several where a row is an example."""
        positions = self.positions("test", framing)
        rows = self.rows.select(self.schema(framing).names)
        if framing.alone:
            chosen = positions[:PROBE_ROWS]
            first, last = int(chosen[0]), int(chosen[-1])
            # `take` lays out in memory all rows that it takes from.
            return rows.slice(first, last - first + 1).take(pa.array(chosen - first))
        return framing.context(rows, int(positions[0]))


def filtered(batches: Iterable[pa.RecordBatch], mask: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield those rows of consecutive batches that a mask, bool (rows of all,), chooses."""
    start = 0
    for batch in batches:
        chosen = batch.filter(pa.array(mask[start : start + batch.num_rows]))
        if chosen.num_rows:
            yield chosen
        start += batch.num_rows


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
    dataset: TrainingDataConfig, component: TaskConfig, table: Table, storage: Storage | None = None
) -> PreparedData:
    """Read a table, split it and fit the task on its training rows.

    Args:
        dataset: the data set.
        component: the task as the plan has it.
        table: the version of the data.
        storage: where rows and arrays lie.

    Raises:
        ConfigurationError: windows need a column of time, and the data set names none.
        DataError: a column is missing, a split is empty, the targets cannot be learned, or the rows of a series are not
            in order or have no frequency.
    """
    time = (dataset.time,) if dataset.time else ()
    columns = dict.fromkeys((ROW_ID, *dataset.inputs, *dataset.target_columns, *time, *dataset.group))
    missing = [name for name in columns if name not in table.schema.names]
    if missing:
        raise DataError(f"table {dataset.name} has no column {missing[0]!r}; it has: {some(table.schema.names)}")
    splits = assign(dataset, table)
    require_rows(dataset.name, table, splits)
    storage, names = storage or Storage(), list(columns)
    schema = pa.schema([table.schema.field(name) for name in names])
    batches = (batch.select(names) for batch in table.batches(names))
    task = build_task(component)
    used = splits != "unused"
    if not task.horizon:
        rows = storage.rows(schema, filtered(batches, used))
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
