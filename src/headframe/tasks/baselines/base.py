"""The interface of a natural baseline, and the data that it may look at."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.build import build
from headframe.config.plan.data import TrainingDataConfig
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError
from headframe.series.series import Series
from headframe.tasks.base import Task
from headframe.tasks.dense import DenseTask


@dataclass(frozen=True)
class BaselineData:
    """A table with the examples that a baseline predicts; columns are read when they are asked for.

    Attributes:
        task: fitted.
        dataset: which columns are inputs and targets, and how rows are split.
        table: the data.
        positions: int64 (examples,): the row of each example; of a window the first row that it predicts.
        left_out: which of the rows that are in use the model, or a member of it, did not learn from, as for its
            features they are copies of measured ones; see `ModelManifest`.
    """

    task: Task
    dataset: TrainingDataConfig
    table: Table
    positions: np.ndarray
    left_out: Sequence[int] = ()

    @cached_property
    def training(self) -> np.ndarray:
        """Which rows are training rows, bool (rows,): those that the model has learned from."""
        splits = np.asarray(assign(self.dataset, self.table))
        found = splits == "train"
        if len(self.left_out):
            found[np.flatnonzero(splits != "unused")[list(self.left_out)]] = False
        return found

    @property
    def learns_from_copies(self) -> bool:
        """Whether rows that equal measured ones are cases of their own, as the model takes them, too."""
        return self.dataset.repeats or not build(self.dataset.split).disjoint

    @cached_property
    def targets(self) -> pa.Table:
        """The target columns of all rows."""
        return self.table.read(self.task.target_columns(self.dataset.inputs, self.dataset.target))

    @property
    def dense_task(self) -> DenseTask:
        """The task, for baselines that predict one array."""
        if not isinstance(self.task, DenseTask):
            raise ConfigurationError(f"task {self.task.kind} names a baseline that predicts one array, as it does not")
        return self.task

    @cached_property
    def training_targets(self) -> np.ndarray:
        """The targets of the training rows as `DenseTask.encode` returns them."""
        return self.dense_task.encode(self.targets.filter(pa.array(self.training)))

    @cached_property
    def steps(self) -> np.ndarray:
        """On which step of the series each row lies, as `Series.steps` returns them."""
        if self.dataset.time is None:
            raise ConfigurationError("a forecast needs rows in order of time, but dataset.time names no column")
        rows = self.table.read([self.dataset.time])
        return Series.of(self.dataset, rows).steps(rows)


class NaturalBaseline(ABC):
    """Predicts without a model worth the name; it learns from training rows alone, in seconds and without torch.

    Attributes:
        name: in records, tables and messages.
        absence: sentence of reports where it does not apply; empty where nobody misses it.
    """

    name: ClassVar[str]
    absence: ClassVar[str] = ""

    @abstractmethod
    def predictions(self, data: BaselineData) -> pa.Table | None:
        """Return prediction columns of the examples, as the task has them; None where it does not apply.

        Raises:
            DataError: a target is none of the task's.
        """


class DenseBaseline(NaturalBaseline):
    """A baseline of tasks that predict one array."""

    @override
    def predictions(self, data: BaselineData) -> pa.Table | None:
        scores = self.scores(data)
        return None if scores is None else data.dense_task.columns(scores)

    @abstractmethod
    def scores(self, data: BaselineData) -> np.ndarray | None:
        """Return the scores of the examples, (examples, *outputs), as `DenseTask.scores` does; None as above."""
