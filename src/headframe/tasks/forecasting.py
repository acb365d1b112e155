"""The next values of several series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.ranges import Count
from headframe.errors import DataError
from headframe.features.columns import column_statistics, free_name
from headframe.metrics.statistics import Statistic, mean, root_mean
from headframe.tasks.dense import TARGET, NumericTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP = "step"


class Forecasting(NumericTask):
    """The next `horizon` rows of all variables at once, standardised by their means and deviations in training rows.

    `mse` and `mae` are errors on the standardised scale, averaged over windows, steps and variables, as public tables
    of long-term forecasting have them; `raw_rmse` and `raw_mae` are the same in the variables' own units.

    Args:
        horizon: rows that are predicted, 1 or more.
        primary_metric: the metric that decides between models.
    """

    kind: ClassVar[str] = "forecasting"
    predicts_inputs: ClassVar[bool] = True
    captions: ClassVar[Mapping[str, str]] = {
        "forecasts": "Three forecasts with the true values and what preceded them",
        "errors": "Forecast errors by step and by variable",
    }
    natural_baselines: ClassVar[tuple[str, ...]] = (
        "headframe.tasks.baselines.naive.LastValue",
        "headframe.tasks.baselines.naive.SeasonalLastValue",
    )
    higher_is_better = False

    def __init__(self, horizon: Count, *, primary_metric: Literal["mse", "mae"] = "mse") -> None:
        if horizon < 1:
            raise ValueError(f"horizon is a number of rows, at least 1, not {horizon}")
        super().__init__()
        self.horizon = horizon
        self.primary_metric = primary_metric

    @override
    def fit(self, target: pa.Table) -> None:
        if target.num_rows <= self.horizon:
            msg = f"{target.num_rows} training rows are too few to learn a forecast of {self.horizon} rows from"
            raise DataError(msg)
        self.columns_ = tuple(target.column_names)
        self.mean_, self.deviation_ = column_statistics(target, self.columns_)

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        return (self.horizon, len(self.columns_))

    @override
    def answer(self, predictions: pa.Table) -> pa.Table:
        """Return one row a step."""
        scores = self.scores_in(predictions)
        columns = {free_name(STEP, self.columns_): np.tile(np.arange(1, self.horizon + 1), len(scores))}
        for position, name in enumerate(self.columns_):
            columns[name] = scores[:, :, position].ravel()
        return pa.table(columns)

    @override
    def columns(self, scores: np.ndarray) -> pa.Table:
        return pa.table({"prediction": self._tensors(scores)})

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({TARGET: self._tensors(self.scores(targets[TARGET]))})

    @override
    def scores_in(self, predictions: pa.Table) -> np.ndarray:
        return self._values(predictions, "prediction")

    def _tensors(self, values: np.ndarray) -> pa.FixedShapeTensorArray:
        flat = pa.array(np.ascontiguousarray(values, dtype=np.float64).ravel())
        size = self.horizon * len(self.columns_)
        kind = pa.fixed_shape_tensor(pa.float64(), self.outputs, dim_names=["step", "variable"])
        return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(flat, size))

    def _read(self, predictions: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return target and prediction (examples, horizon, variables) of a predictions table, in raw units."""
        return self._values(predictions, TARGET), self.scores_in(predictions)

    def _values(self, predictions: pa.Table, name: str) -> np.ndarray:
        chunks = [chunk.to_numpy_ndarray() for chunk in predictions.column(name).chunks if len(chunk)]
        return np.concatenate(chunks) if chunks else np.empty((0, *self.outputs))

    def errors(self, predictions: pa.Table) -> np.ndarray:
        """Return prediction minus target on the standardised scale, float64 (examples, horizon, variables)."""
        target, predicted = self._read(predictions)
        return (predicted - target) / self.deviation_

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        error = self.errors(predictions)
        raw = error * self.deviation_
        return {
            "mse": mean(error**2),
            "mae": mean(np.abs(error)),
            "raw_rmse": root_mean(raw**2),
            "raw_mae": mean(np.abs(raw)),
        }

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import plots  # noqa: PLC0415 - training and serving draw nothing

        target, predicted = self._read(predictions)
        names = self.plot_names
        earlier = None if validation is None else np.subtract(*self._read(validation))
        return {
            "forecasts": plots.forecasts(target, predicted, names, earlier),
            "errors": plots.forecast_errors((predicted - target) / self.deviation_, names),
        }
