"""The interface of a natural baseline, and the data that it may look at."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa

from headframe.config.plan.data import TrainingDataConfig
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError
from headframe.series.series import Series
from headframe.tasks.base import Task


@dataclass(frozen=True)
class BaselineData:
    """A table with the examples that a baseline predicts; columns are read when they are asked for.

    Attributes:
        task: fitted.
        dataset: which columns are inputs and targets, and how rows are split.
        table: the data.
        positions: int64 (examples,): the row of each example; of a window the first row that it predicts.
    """

    task: Task
    dataset: TrainingDataConfig
    table: Table
    positions: np.ndarray

    @cached_property
    def training(self) -> np.ndarray:
        """Which rows are training rows, bool (rows,)."""
        return np.asarray(assign(self.dataset, self.table) == "train")

    @cached_property
    def targets(self) -> pa.Table:
        """The target columns of all rows."""
        return self.table.read(list(self.dataset.target_columns))

    @cached_property
    def training_targets(self) -> np.ndarray:
        """The targets of the training rows as `Task.encode` returns them."""
        return self.task.encode(self.targets.filter(pa.array(self.training)))

    @cached_property
    def steps(self) -> np.ndarray:
        """On which step of the series each row lies, as `Series.steps` returns them."""
        if self.dataset.time is None:
            raise ConfigurationError("a forecast needs rows in order of time, but dataset.time names no column")
        rows = self.table.read([self.dataset.time])
        return Series.of(self.dataset, rows).steps(rows)

    @property
    def true_targets(self) -> np.ndarray:
        """The targets of the examples as training takes them; of windows (examples, horizon, variables)."""
        horizon = self.task.horizon
        rows = self.positions[:, np.newaxis] + np.arange(horizon) if horizon else self.positions
        encoded = self.task.encode(self.targets.take(pa.array(rows.ravel())))
        return encoded.reshape(*rows.shape, *encoded.shape[1:])


class NaturalBaseline(ABC):
    """Predicts without a model worth the name; it learns from training rows alone, in seconds and without torch.

    Attributes:
        name: in records, tables and messages.
    """

    name: ClassVar[str]

    @abstractmethod
    def scores(self, data: BaselineData) -> np.ndarray | None:
        """Return the scores of the examples, (examples, *outputs), as `Task.scores` does; None where it does not apply.

        Raises:
            DataError: a target is none of the task's.
        """
