"""The interface of a task, and what tasks that predict numbers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import pyarrow as pa
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from headframe.errors import DataError, some
from headframe.features.columns import number_columns
from headframe.tasks.statistics import Statistic, values_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ErrorName = Literal["squared", "absolute", "huber"]
ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": F.mse_loss,
    "absolute": F.l1_loss,
    "huber": F.huber_loss,
}
"""The losses of tasks that predict numbers; `huber` is squared up to 1 and absolute beyond."""


class Task(ABC):
    """Knows targets and scores, and nothing of networks or rows' inputs.

    A prediction has three forms. *Outputs* are what a network returns (logits, standardised values). *Scores* are
    outputs in the unit in which members of an ensemble may be averaged: probabilities of classes, or values in the
    target's own unit. *Predictions* are columns a person reads.

    Attributes:
        kind: as the plan has it.
        predicts_probabilities: whether scores are probabilities of classes; otherwise they are values.
        interval_note: how intervals of its metrics are computed where they are not resampled.
        caveats: what a reader of its metrics should know, in sentences.
        short_name: what plots show in the place of a name that their font cannot draw; `{}` is its position.
        natural_baselines: paths of the classes (`tasks.baselines`) whose predictions every model is compared with.
        training_settings: settings that change what training lowers and no metric: versions that differ in them only
            are measured alike.
        binary_metrics: primary metrics that are for two classes alone.
        hit_rate: name of the metric that is the share of rows whose prediction equals their target, where there is one.
        primary_metric: name of the metric that decides between models.
        higher_is_better: direction of `primary_metric`.
        horizon: 0 where one row is one target; else how many consecutive rows are predicted at once.
    """

    kind: ClassVar[str]
    predicts_probabilities: ClassVar[bool] = False
    natural_baselines: ClassVar[tuple[str, ...]] = ()
    training_settings: ClassVar[tuple[str, ...]] = ()
    binary_metrics: ClassVar[tuple[str, ...]] = ()
    hit_rate: ClassVar[str | None] = None
    interval_note: ClassVar[str] = ""
    caveats: ClassVar[tuple[str, ...]] = ()
    short_name: ClassVar[str] = "v{}"
    primary_metric: str
    higher_is_better: bool
    horizon: int = 0

    @abstractmethod
    def fit(self, target: pa.Table) -> None:
        """Learn classes or scales from the target columns of training rows.

        Raises:
            DataError: nothing can be learned from them, e.g. one class only.
        """

    @abstractmethod
    def encode(self, target: pa.Table) -> np.ndarray:
        """Encode target columns as training takes them: int64 (rows,) classes, float32 (rows, variables) values.

        Values have the shape of one step of `outputs`; estimators and combiners of ensembles are fitted to them, so a
        task with several outputs for one number, such as quantiles, repeats the number.

        Raises:
            DataError: a target was not seen in training, or is NaN or infinite.
        """

    @property
    @abstractmethod
    def outputs(self) -> tuple[int, ...]:
        """The shape of a network's output for one example: (classes,), (1,), (horizon, variables)."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Compute the mean loss of a batch; outputs (batch, *outputs), target as `encode` returns it."""

    def example_weights(self, target: np.ndarray) -> np.ndarray | None:
        """Return the weight of each encoded target for models that do not use `loss`; None where all are equal."""
        del target
        return None

    @abstractmethod
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Convert outputs (examples, *outputs) to scores of the same shape, float64."""

    @abstractmethod
    def decode(self, scores: np.ndarray) -> pa.Table:
        """Convert scores to the columns that a user reads, one row an example (a forecast: one row a step)."""

    @abstractmethod
    def predictions(self, scores: np.ndarray, target: np.ndarray) -> pa.Table:
        """Return the columns of the predictions table: `target`, `prediction` and scores, one row an example."""

    @abstractmethod
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        """Return the metrics of a predictions table by name (`[a-z0-9_]+`), `primary_metric` among them.

        Values, intervals, slices and gates all come from these. A metric that has no formula in draw counts is one
        too, by `statistics.from_table`.
        """

    @final
    def measure(self, predictions: pa.Table, names: Collection[str] | None = None) -> dict[str, float]:
        """Compute metrics of a predictions table, all or those of some names; all are finite.

        A metric that these rows do not define, such as the area under a ROC curve of one class, is left out.
        """
        found = self.statistics(predictions)
        chosen = {name: statistic for name, statistic in found.items() if names is None or name in names}
        return values_of(chosen, predictions.num_rows)

    @abstractmethod
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        """Draw what a person looks at first, by file name without ending.

        Args:
            predictions: what is drawn.
            validation: predictions of other rows, which show how wrong such predictions usually are.
        """

    @property
    def names(self) -> list[str]:
        """The names that plots show, of classes or columns."""
        return []

    @property
    def plot_names(self) -> list[str]:
        """The names, or short ones in their place where the font of plots lacks a letter."""
        from headframe.pages.plot_style import drawable  # noqa: PLC0415 - training and serving draw nothing

        if all(map(drawable, self.names)):
            return self.names
        return [self.short_name.format(position) for position in range(len(self.names))]

    def legend(self) -> dict[str, str]:
        """Return the name behind each short name in the plots; mostly empty."""
        return {} if self.plot_names == self.names else dict(zip(self.plot_names, self.names, strict=True))

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what was learned, as JSON values."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


class NumericTask(Task):
    """A task that predicts numbers; training sees them standardised by mean and deviation of training rows.

    Args:
        loss: what training lowers: squared or absolute error on the standardised scale, or `huber`, which is squared
            up to one deviation and absolute beyond.
    """

    training_settings: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, loss: ErrorName) -> None:
        self.error = ERRORS[loss]
        self.columns_: tuple[str, ...] = ()
        self.mean_, self.deviation_ = np.zeros(0), np.ones(0)

    @property
    @override
    def names(self) -> list[str]:
        return list(self.columns_)

    def values(self, target: pa.Table) -> np.ndarray:
        """Return the target columns in their own unit, float64 (rows, columns)."""
        require_target(target, self.columns_)
        return number_columns(target, self.columns_)

    @override
    def encode(self, target: pa.Table) -> np.ndarray:
        return ((self.values(target) - self.mean_) / self.deviation_).astype(np.float32)

    @override
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return self.error(outputs.float(), target)

    @override
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.astype(np.float64) * self.deviation_ + self.mean_

    @override
    def state(self) -> dict[str, Any]:
        return {"columns": list(self.columns_), "mean": self.mean_.tolist(), "deviation": self.deviation_.tolist()}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.columns_ = tuple(state["columns"])
        self.mean_, self.deviation_ = np.array(state["mean"]), np.array(state["deviation"])


def single_target(target: pa.Table, kind: str) -> str:
    """Return the name of the one target column; raise a DataError where there are more or none."""
    if target.num_columns != 1:
        raise DataError(f"a {kind} has one target column, but there are {target.num_columns}")
    return str(target.column_names[0])


def require_target(target: pa.Table, columns: Iterable[str]) -> None:
    """Raise a DataError where a target column is missing."""
    missing = [name for name in columns if name not in target.column_names]
    if missing:
        raise DataError(f"target column {missing[0]!r} is missing; came: {some(target.column_names) or 'none'}")
