"""Which number belongs to a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import DataError
from headframe.features.columns import mean_and_std
from headframe.metrics.statistics import Statistic, mean, r2, root_mean
from headframe.tasks.base import single_target
from headframe.tasks.dense import TARGET, NumericTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Regression(NumericTask):
    """One number a row.

    Args:
        primary_metric: the metric that decides between models.
    """

    kind: ClassVar[str] = "regression"
    captions: ClassVar[Mapping[str, str]] = {
        "predicted_true": "Predicted and true values",
        "residuals": "Residuals",
    }
    short_name: ClassVar[str] = "target"
    natural_baselines: ClassVar[tuple[str, ...]] = (
        "headframe.tasks.baselines.constant.TargetMean",
        "headframe.tasks.baselines.tfidf.TfIdf",
    )

    def __init__(self, *, primary_metric: Literal["rmse", "mae", "r2"] = "rmse") -> None:
        super().__init__()
        self.primary_metric = primary_metric
        self.higher_is_better = primary_metric == "r2"

    @override
    def fit(self, target: pa.Table) -> None:
        name = single_target(target, self.kind)
        self.columns_ = (name,)
        values = self.values(target)
        if not len(values):
            raise DataError(f"target {name!r} has no training rows")
        if values.min() == values.max():
            raise DataError(f"target {name!r} is {values[0, 0]:g} in every training row, so there is nothing to learn")
        self.mean_, self.deviation_ = mean_and_std(values)

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        return (1,)

    @override
    def columns(self, scores: np.ndarray) -> pa.Table:
        return pa.table({"prediction": pa.array(scores[:, 0], pa.float64())})

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({TARGET: self.scores(targets[TARGET])[:, 0]})

    @override
    def scores_in(self, predictions: pa.Table) -> np.ndarray:
        return np.asarray(predictions.column("prediction").to_numpy())[:, np.newaxis]

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        target, predicted = _read(predictions)
        error = predicted - target
        found = {"rmse": root_mean(error**2), "mae": mean(np.abs(error)), "r2": r2(target, predicted)}
        if (target != 0).all():
            found["mape"] = mean(np.abs(error / target))
        return found

    @override
    def worst(self, predictions: pa.Table) -> np.ndarray:
        target, predicted = _read(predictions)
        return np.argsort(-np.abs(predicted - target), kind="stable")

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import plots  # noqa: PLC0415 - training and serving draw nothing

        target, predicted = _read(predictions)
        [name] = self.plot_names
        return {
            "predicted_true": plots.predicted_true(target, predicted, name),
            "residuals": plots.residuals(target, predicted, name),
        }


def _read(predictions: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    return predictions.column(TARGET).to_numpy(), predictions.column("prediction").to_numpy()
