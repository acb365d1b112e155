"""What a learner is trained and measured on: rows encoded once, and the numbers of the examples of each part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from headframe.config.build import build
from headframe.config.plan.data import TrainingDataConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import DataError
from headframe.tasks.base import Task

MEASURED = ("validation", "test")


PROBE_ROWS = 32
"""Raw rows kept beside a model, by whose scores a copy of it is recognised; a forecast keeps one window."""


@dataclass(frozen=True)
class PreparedData:
    """A table's rows for one run of the program, whatever is trained on them.

    Attributes:
        dataset: the data set.
        rows: `row_id` and the raw columns, without rows that no example needs, in table order.
        parts: for each row `train`, `validation`, `test` or `unused`.
        task: fitted on training rows.
        component: the task as the plan has it.
        version: sha256 of the table that the rows are of.
    """

    dataset: TrainingDataConfig
    rows: pa.Table
    parts: np.ndarray
    task: Task
    component: TaskConfig
    version: str

    @cached_property
    def target(self) -> np.ndarray:
        """The targets of all rows as `Task.encode` spells them."""
        return self.task.encode(self.rows.select(list(self.dataset.target_columns)))

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the raw input columns."""
        return pa.schema([self.rows.schema.field(name) for name in self.dataset.inputs])

    def training_rows(self) -> pa.Table:
        """The raw rows that transforms may learn from."""
        return self.rows.filter(pa.array(self.parts == "train"))

    def numbers(self, part: str, lookback: int) -> np.ndarray:
        """Number the examples of one part, int64, ascending.

        Where `lookback` is 0, an example is a row and its number is the row's place. Otherwise it is the window
        that begins at that place; it belongs to the part that holds all rows it predicts, and what it looks
        back on may lie in an earlier part.
        """
        of_part = self.parts == part
        horizon = self.task.horizon
        if not lookback:
            return np.flatnonzero(of_part)
        windows = len(of_part) - lookback - horizon + 1
        if windows < 1:
            return np.zeros(0, np.int64)
        before = np.concatenate([[0], np.cumsum(of_part)])
        first = np.arange(windows) + lookback
        return np.flatnonzero(before[first + horizon] - before[first] == horizon)

    def targets(self, numbers: np.ndarray, lookback: int) -> np.ndarray:
        """Give the targets of examples: (examples, ...), for windows (examples, horizon, variables)."""
        if not lookback:
            return self.target[numbers]
        return self.target[numbers[:, np.newaxis] + lookback + np.arange(self.task.horizon)]

    def measured(self, lookback: int) -> tuple[np.ndarray, np.ndarray]:
        """Give numbers and parts of the validation and test examples, in table order."""
        numbers = {part: self.numbers(part, lookback) for part in MEASURED}
        joined = np.concatenate([numbers[part] for part in MEASURED])
        parts = np.repeat(np.array(MEASURED), [len(numbers[part]) for part in MEASURED])
        ascending = np.argsort(joined, kind="stable")
        return joined[ascending], parts[ascending]

    def names(self, numbers: np.ndarray, lookback: int) -> pa.Array:
        """Give each example's `row_id`: its row's, or that of the first row that its window predicts."""
        return self.rows.column("row_id").combine_chunks().take(pa.array(numbers + lookback))

    def probe(self, lookback: int) -> pa.Table:
        """Give the raw rows of the first test examples."""
        numbers = self.numbers("test", lookback)
        inputs = self.rows.select(list(self.dataset.inputs))
        if lookback:
            return inputs.slice(int(numbers[0]), lookback)
        return inputs.take(pa.array(numbers[:PROBE_ROWS]))


def prepare(dataset: TrainingDataConfig, component: TaskConfig, table: Table) -> PreparedData:
    """Read a table, split it and fit the task on its training rows.

    Raises:
        DataError: a column is missing, a part is empty, or the targets cannot be learned.
    """
    columns = dict.fromkeys(("row_id", *dataset.inputs, *dataset.target_columns))
    lacking = [name for name in columns if name not in table.schema.names]
    if lacking:
        msg = f"table {dataset.name} has no column {lacking[0]!r}; it has: {', '.join(table.schema.names)}"
        raise DataError(msg)
    parts = assign(dataset, table)
    for part in ("train", *MEASURED):
        if not (parts == part).any():
            msg = f"the split of {dataset.name} leaves no {part} rows among {table.num_rows}; change dataset.split"
            raise DataError(msg)
    rows = table.read(list(columns))
    task: Task = build(component)
    if task.horizon:
        # Rows behind the last part are never read; those between parts may be looked back on.
        end = int(np.flatnonzero(parts != "unused")[-1]) + 1
        rows, parts = rows.slice(0, end), parts[:end]
    else:
        used = parts != "unused"
        rows, parts = rows.filter(pa.array(used)), parts[used]
    task.fit(rows.filter(pa.array(parts == "train")).select(list(dataset.target_columns)))
    return PreparedData(dataset, rows, parts, task, component, table.digest)
