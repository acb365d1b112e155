"""Tasks that predict numbers: regression and forecasting."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as reference

from headframe.errors import DataError
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression

random = np.random.default_rng(5)
PRICES = random.gamma(2.0, 100.0, 300)
SERIES = pa.table({"load": random.normal(20, 4, 200), "油温": random.normal(-3, 0.5, 200), "flat": np.full(200, 0.3)})


def regression(**settings: object) -> Regression:
    task = Regression(**settings)  # type: ignore[arg-type]
    task.fit(pa.table({"price": PRICES}))
    return task


def forecasting(horizon: int = 4, **settings: object) -> Forecasting:
    task = Forecasting(horizon, **settings)  # type: ignore[arg-type]
    task.fit(SERIES)
    return task


def windows(task: Forecasting, count: int = 20) -> np.ndarray:
    encoded = task.encode(SERIES)
    return np.stack([encoded[start : start + task.horizon] for start in range(count)])


def test_regression_metrics_agree_with_scikit_learn() -> None:
    task = regression()
    target = task.encode(pa.table({"price": PRICES}))
    guess = PRICES[:, None] + np.random.default_rng(0).normal(0, 30, (300, 1))
    table = task.predictions(guess, target)
    found = task.measure(table)
    truth = table["target"].to_numpy()
    np.testing.assert_allclose(truth, PRICES, rtol=1e-5)
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(truth, guess[:, 0]))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth, guess[:, 0]))
    assert found["r2"] == pytest.approx(reference.r2_score(truth, guess[:, 0]))
    assert found["mape"] == pytest.approx(reference.mean_absolute_percentage_error(truth, guess[:, 0]))


def test_what_rows_do_not_define_is_left_out_of_a_regression() -> None:
    table = pa.table({"target": [0.0], "prediction": [1.0]})
    assert regression().measure(table) == {"rmse": 1.0, "mae": 1.0}


def test_regression_sees_standardised_targets_and_predicts_in_units() -> None:
    task = regression()
    encoded = task.encode(pa.table({"price": PRICES}))
    assert encoded.dtype == np.float32
    assert encoded.shape == (300, 1)
    np.testing.assert_allclose(encoded[:, 0], (PRICES - PRICES.mean()) / PRICES.std(), atol=1e-5)
    np.testing.assert_allclose(task.scores(encoded)[:, 0], PRICES, rtol=1e-5)
    assert task.decode(task.scores(encoded)).column_names == ["prediction"]
    restored = Regression()
    restored.restore(json.loads(json.dumps(task.state())))
    np.testing.assert_array_equal(restored.scores(encoded), task.scores(encoded))


def test_forecast_errors_agree_with_a_plain_loop() -> None:
    task = forecasting()
    target = windows(task)
    guess = task.scores(target + np.random.default_rng(0).normal(0, 0.3, target.shape))
    table = task.predictions(guess, target)
    scale = {name: (np.mean(SERIES[name].to_numpy()), np.std(SERIES[name].to_numpy())) for name in SERIES.column_names}
    scale["flat"] = (0.3, 1.0)
    squares, absolutes = [], []
    for example in range(20):
        for step in range(4):
            for place, (mean, deviation) in enumerate(scale.values()):
                true = (SERIES.column(place)[example + step].as_py() - mean) / deviation
                error = (guess[example, step, place] - mean) / deviation - true
                squares.append(error**2)
                absolutes.append(abs(error))
    found = task.measure(table)
    assert found["mse"] == pytest.approx(np.mean(squares), rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(absolutes), rel=1e-5)


def test_forecasts_are_read_step_by_step() -> None:
    task = forecasting(3)
    scores = np.arange(18.0).reshape(2, 3, 3)
    table = task.decode(scores)
    assert table.column_names == ["step", "load", "油温", "flat"]
    assert table["step"].to_pylist() == [1, 2, 3, 1, 2, 3]
    assert table["油温"].to_pylist() == scores[:, :, 1].ravel().tolist()


def test_forecasts_survive_parquet_and_state_survives_json(tmp_path) -> None:
    task = forecasting()
    target = windows(task)
    table = task.predictions(task.scores(target) + 1, target)
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=7)
    read = pq.read_table(tmp_path / "p.parquet")
    assert read.schema.field("prediction").type.shape == [4, 3]
    restored = Forecasting(4)
    restored.restore(json.loads(json.dumps(task.state())))
    assert restored.measure(read) == task.measure(table)
    assert restored.measure(read.take([5, 5, 0])) == task.measure(table.take([5, 5, 0]))
    np.testing.assert_array_equal(restored.encode(SERIES), task.encode(SERIES))
    assert restored.outputs == (4, 3)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: Regression().fit(pa.table({"y": pa.array([], pa.float64())})), "'y' has no training rows"),
        (lambda: Regression().fit(pa.table({"y": [2.0, 2.0]})), "is 2 in every training row"),
        (lambda: Regression().fit(pa.table({"y": [2.0, float("nan")]})), "'y' is empty or NaN in row 2"),
        (lambda: Regression().fit(pa.table({"y": ["a"]})), "numbers were expected"),
        (lambda: regression().encode(pa.table({"price": [float("inf")]})), "'price' holds infinity"),
        (lambda: regression().encode(pa.table({"other": [1.0]})), "'price' is missing"),
        (lambda: Forecasting(5).fit(SERIES.slice(0, 5)), "5 training rows are too few"),
        (lambda: forecasting().encode(SERIES.select(["load"])), "'油温' is missing"),
    ],
)
def test_mistakes_are_named(act: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        act()  # type: ignore[operator]


def test_errors_in_units_are_those_of_scikit_learn_and_none_of_no_window() -> None:
    task = forecasting()
    target = windows(task)
    guess = task.scores(target) + np.random.default_rng(1).normal(0, 2, target.shape)
    table = task.predictions(guess, target)
    found = task.measure(table, {"raw_rmse", "raw_mae"})
    truth = task.scores(target)
    assert found == {
        "raw_rmse": pytest.approx(np.sqrt(reference.mean_squared_error(truth.ravel(), guess.ravel()))),
        "raw_mae": pytest.approx(reference.mean_absolute_error(truth.ravel(), guess.ravel())),
    }
    for none in (table.slice(0, 0), table.schema.empty_table()):
        assert task.errors(none).shape == (0, 4, 3)
