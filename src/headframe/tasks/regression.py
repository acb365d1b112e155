"""Which number belongs to a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from torch import Tensor
from typing_extensions import override

from headframe.errors import DataError
from headframe.features.columns import mean_and_std, number_columns
from headframe.tasks.base import ERRORS, ErrorName, Task
from headframe.tasks.statistics import Statistic, mean, r2, root_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Regression(Task):
    """One number a row. Training sees it standardised by the mean and deviation of training rows.

    Args:
        primary_metric: the metric that decides between models.
        loss: what training lowers: squared or absolute error on the standardised scale, or `huber`, which is squared
            up to one deviation and absolute beyond.
    """

    kind: ClassVar[str] = "regression"

    def __init__(
        self,
        *,
        primary_metric: Literal["rmse", "mae", "r2"] = "rmse",
        loss: ErrorName = "squared",
    ) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = primary_metric == "r2"
        self.error = ERRORS[loss]
        self.column_ = ""
        self.mean_ = 0.0
        self.deviation_ = 1.0

    @override
    def fit(self, target: pa.Table) -> None:
        if target.num_columns != 1:
            msg = f"a regression has one target column, but there are {target.num_columns}"
            raise DataError(msg)
        self.column_ = target.column_names[0]
        values = self._values(target)
        if not len(values):
            msg = f"target {self.column_!r} has no training rows"
            raise DataError(msg)
        if values.min() == values.max():
            msg = f"target {self.column_!r} is {values[0, 0]:g} in every training row, so there is nothing to learn"
            raise DataError(msg)
        mean, deviation = mean_and_std(values)
        self.mean_, self.deviation_ = float(mean[0]), float(deviation[0])

    def _values(self, target: pa.Table) -> np.ndarray:
        if self.column_ not in target.column_names:
            msg = f"target column {self.column_!r} is missing; came: {', '.join(target.column_names) or 'none'}"
            raise DataError(msg)
        return number_columns(target, (self.column_,))

    @override
    def encode(self, target: pa.Table) -> np.ndarray:
        return ((self._values(target) - self.mean_) / self.deviation_).astype(np.float32)

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        return (1,)

    @override
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return self.error(outputs.float(), target)

    @override
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.astype(np.float64) * self.deviation_ + self.mean_

    @override
    def decode(self, scores: np.ndarray) -> pa.Table:
        return pa.table({"prediction": pa.array(scores[:, 0], pa.float64())})

    @override
    def predictions(self, scores: np.ndarray, target: np.ndarray) -> pa.Table:
        return pa.table({"target": self.scores(target)[:, 0], "prediction": scores[:, 0]})

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        target, predicted = _read(predictions)
        error = predicted - target
        found = {"rmse": root_mean(error**2), "mae": mean(np.abs(error)), "r2": r2(target, predicted)}
        if (target != 0).all():
            found["mape"] = mean(np.abs(error / target))
        return found

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import plots  # noqa: PLC0415 - training and serving draw nothing

        target, predicted = _read(predictions)
        name = self._plot_name()
        return {
            "predicted_true": plots.predicted_true(target, predicted, name),
            "residuals": plots.residuals(target, predicted, name),
        }

    def _plot_name(self) -> str:
        from headframe.pages.plot_style import drawable  # noqa: PLC0415 - training and serving draw nothing

        return self.column_ if drawable(self.column_) else "target"

    @override
    def legend(self) -> dict[str, str]:
        name = self._plot_name()
        return {} if name == self.column_ else {name: self.column_}

    @override
    def state(self) -> dict[str, Any]:
        return {"column": self.column_, "mean": self.mean_, "deviation": self.deviation_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.column_ = state["column"]
        self.mean_ = state["mean"]
        self.deviation_ = state["deviation"]


def _read(predictions: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    return predictions.column("target").to_numpy(), predictions.column("prediction").to_numpy()
