from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from sklearn.preprocessing import StandardScaler

from headframe.errors import DataError
from headframe.features.windows import Windows
from headframe.tasks.forecasting import Forecasting


def test_agrees_with_scikit_learn_on_the_transformer_temperatures(raw_data: Callable[[str], Path]) -> None:
    rows = pyarrow.csv.read_csv(raw_data("etth1") / "ett" / "ETTh1.csv").drop_columns(["date"])
    train = rows.slice(0, 8640)
    encoder = Windows(336)
    encoder.fit(train, tuple(rows.column_names))
    values = rows.to_pandas().to_numpy()
    expected = StandardScaler().fit(values[:8640]).transform(values)
    np.testing.assert_allclose(encoder.encode(rows), expected, atol=1e-5)
    assert encoder.spec().shape == (336, 7)
    assert encoder.lookback == 336


def test_the_task_standardises_in_the_same_way() -> None:
    rows = pa.table({"a": np.random.default_rng(0).normal(5, 3, 50), "b": np.arange(50.0)})
    encoder, task = Windows(4), Forecasting(2)
    encoder.fit(rows, ("a", "b"))
    task.fit(rows)
    np.testing.assert_array_equal(encoder.encode(rows), task.encode(rows))


def test_state_restores_equal_encodings() -> None:
    rows = pa.table({"a": [1.0, 2.5, 9.0], "b": [0.1, 0.1, 0.1]})
    encoder, restored = Windows(2), Windows(2)
    encoder.fit(rows, ("a", "b"))
    restored.restore(encoder.state())
    np.testing.assert_array_equal(restored.encode(rows), encoder.encode(rows))
    np.testing.assert_array_equal(restored.encode(rows)[:, 1], 0)


def test_gaps_are_refused() -> None:
    encoder = Windows(2)
    with pytest.raises(DataError, match="'a' is empty or NaN in row 2"):
        encoder.fit(pa.table({"a": [1.0, None, 2.0]}), ("a",))
    with pytest.raises(DataError, match="'a' holds infinity in row 1"):
        encoder.fit(pa.table({"a": [float("-inf"), 2.0]}), ("a",))
