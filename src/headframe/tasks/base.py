"""The promise that every task keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import pyarrow as pa
from torch import Tensor
from torch.nn import functional as F

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

    Three spellings of an answer occur. *Outputs* are what a network gives (logits, standardised values).
    *Scores* are outputs in the unit in which members of an ensemble may be averaged: probabilities of
    classes, or values in the target's own unit. *Predictions* are columns a person reads.

    Attributes:
        kind: as the plan has it.
        predicts_probabilities: whether scores are probabilities of classes; otherwise they are values.
        interval_note: what is to be said of the intervals of its metrics besides resampling.
        caveats: what a reader of its metrics should know, in sentences.
        hit_rate: name of the metric that is the share of rows whose prediction equals their target, where there is one.
        primary_metric: name of the metric that decides between models.
        higher_is_better: direction of `primary_metric`.
        horizon: 0 where one row is one target; else how many consecutive rows are predicted at once.
    """

    kind: ClassVar[str]
    predicts_probabilities: ClassVar[bool] = False
    hit_rate: ClassVar[str | None] = None
    interval_note: ClassVar[str] = ""
    caveats: ClassVar[tuple[str, ...]] = ()
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
        """Spell target columns as training takes them: int64 (rows,) classes, float32 (rows, variables) values.

        Values have the shape of one step of `outputs`; estimators and combiners of ensembles are fitted to them, so a
        task with several answers for one number, such as quantiles, repeats the number.

        Raises:
            DataError: a target was not seen in training, or is NaN or infinite.
        """

    @property
    @abstractmethod
    def outputs(self) -> tuple[int, ...]:
        """The shape of a network's output for one example: (classes,), (1,), (horizon, variables)."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Give the mean loss of a batch; outputs (batch, *outputs), target as `encode` spells it."""

    def example_weights(self, target: np.ndarray) -> np.ndarray | None:
        """Give each training example's weight for models that do not use `loss`; None where all weigh the same.

        Args:
            target: as `encode` spells it.
        """
        del target
        return None

    @abstractmethod
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs (examples, *outputs) into scores of the same shape, float64."""

    @abstractmethod
    def decode(self, scores: np.ndarray) -> pa.Table:
        """Turn scores into the columns that a user reads, one row an example (a forecast: one row a step)."""

    @abstractmethod
    def predictions(self, scores: np.ndarray, target: np.ndarray) -> pa.Table:
        """Give the columns of the predictions table: `target`, `prediction` and scores, one row an example."""

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
        statistics = self.statistics(predictions)
        chosen = statistics if names is None else {name: statistics[name] for name in names if name in statistics}
        return values_of(chosen, predictions.num_rows)

    @abstractmethod
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        """Draw what a person looks at first, by file name without ending.

        Args:
            predictions: what is drawn.
            validation: predictions of other rows, which show how wrong such predictions usually are.
        """

    def legend(self) -> dict[str, str]:
        """Explain the short names that plots put in the place of text their font cannot draw; mostly empty."""
        return {}

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Give what was learned, as JSON values."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
