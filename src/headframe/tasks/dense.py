"""Tasks whose predictions are one dense array, and what tasks that predict numbers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.features.columns import number_columns
from headframe.tasks.base import Task, require_target, with_truth

if TYPE_CHECKING:
    from headframe.models.ensembles import Combiner

TARGET = "target"
"""The one array of `targets`, and the one column of `truth`."""


class DenseTask(Task):
    """A task with one array as target and one of the same shape as prediction, whose columns hold exactly that array.

    A prediction has three forms. *Outputs* are what a network returns (logits, standardised values). *Scores* are
    outputs in the unit in which members of an ensemble may be averaged: probabilities of classes, or values in the
    target's own unit. *Columns* are what a person reads.

    Attributes:
        predicts_probabilities: whether scores are probabilities of classes; otherwise they are values.
    """

    predicts_probabilities: ClassVar[bool] = False

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

    def class_weighting(self) -> np.ndarray | None:
        """Return the weight that each class has in training, float64 (classes,); None where all examples weigh 1."""
        return None

    @abstractmethod
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Convert outputs (examples, *outputs) to scores of the same shape, float64."""

    @abstractmethod
    def columns(self, scores: np.ndarray) -> pa.Table:
        """Convert scores to prediction columns, one row an example."""

    @abstractmethod
    def scores_in(self, predictions: pa.Table) -> np.ndarray:
        """Return the scores (examples, *outputs) of which prediction columns were made, to the last bit."""

    @final
    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        return {TARGET: self.encode(target)}

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return self.columns(np.zeros((0, *self.outputs))).schema

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        target = targets[TARGET]
        return self.columns(np.eye(self.outputs[0])[target] if self.predicts_probabilities else self.scores(target))

    @final
    def decode(self, scores: np.ndarray) -> pa.Table:
        """Convert scores to what a user reads."""
        return self.answer(self.columns(scores))

    @final
    def predictions(self, scores: np.ndarray, target: np.ndarray) -> pa.Table:
        """Return truth and prediction columns of examples with these scores and encoded targets."""
        return with_truth(self.truth({TARGET: target}), self.columns(scores))

    @override
    def fit_merge(self, members: Sequence[pa.Table], targets: Mapping[str, np.ndarray], combiner: Combiner) -> None:
        target = targets[TARGET] if self.predicts_probabilities else self.scores(targets[TARGET])
        combiner.fit(self._stacked(members), target, probabilities=self.predicts_probabilities)

    @override
    def merge(self, members: Sequence[pa.Table], combiner: Combiner) -> pa.Table:
        return self.columns(combiner.combine(self._stacked(members)))

    def _stacked(self, members: Sequence[pa.Table]) -> np.ndarray:
        return np.stack([self.scores_in(each) for each in members])


class NumericTask(DenseTask):
    """A task that predicts numbers; training sees them standardised by mean and deviation of training rows."""

    mergeable: ClassVar[bool] = True
    estimators: ClassVar[str] = "headframe.miners.regressor.RegressorModel"

    def __init__(self) -> None:
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
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.astype(np.float64) * self.deviation_ + self.mean_

    @override
    def state(self) -> dict[str, Any]:
        return {"columns": list(self.columns_), "mean": self.mean_.tolist(), "deviation": self.deviation_.tolist()}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.columns_ = tuple(state["columns"])
        self.mean_, self.deviation_ = np.array(state["mean"]), np.array(state["deviation"])
