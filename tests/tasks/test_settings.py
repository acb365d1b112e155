"""Bounds of the settings of tasks, and what they decide."""

import numpy as np
import pyarrow as pa
import pytest

from headframe.tasks.classification import Classification
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression


def test_a_forecast_has_a_row_and_more_training_rows_than_it_predicts() -> None:
    with pytest.raises(ValueError, match="horizon is a number of rows, at least 1, not 0"):
        Forecasting(0)
    task = Forecasting(1)
    task.fit(pa.table({"y": [1.0, 2.0]}))
    assert task.outputs == (1, 1)


def test_relative_errors_are_defined_only_where_no_target_is_zero() -> None:
    task = Regression()
    task.fit(pa.table({"y": [1.0, 2.0]}))
    for target, defined in (([1.0, -2.0], True), ([1.0, 0.0], False), ([0.0, 0.0], False)):
        found = task.measure(pa.table({"target": target, "prediction": [2.0, 2.0]}))
        assert ("mape" in found) is defined
        if defined:
            assert found["mape"] == pytest.approx((1 / 1 + 4 / 2) / 2)


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("accuracy", True), ("roc_auc", True), ("log_loss", False), ("brier", False)],
)
def test_losses_of_a_classification_are_better_where_they_are_lower(metric: str, higher: bool) -> None:
    assert Classification(primary_metric=metric).higher_is_better is higher  # type: ignore[arg-type]


@pytest.mark.parametrize(("metric", "higher"), [("rmse", False), ("mae", False), ("r2", True)])
def test_errors_of_a_regression_are_better_where_they_are_lower(metric: str, higher: bool) -> None:
    assert Regression(primary_metric=metric).higher_is_better is higher  # type: ignore[arg-type]


def test_a_forecast_s_predictions_name_their_axes() -> None:
    task = Forecasting(2)
    task.fit(pa.table({"a": [1.0, 2.0, 4.0], "b": [0.0, 1.0, 5.0]}))
    table = task.predictions(np.ones((3, 2, 2)), np.zeros((3, 2, 2), np.float32))
    for name in ("target", "prediction"):
        kind = table.schema.field(name).type
        assert (kind.shape, kind.dim_names) == ([2, 2], ["step", "variable"])
