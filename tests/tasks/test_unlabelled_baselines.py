"""Baselines of tasks that learn from inputs alone: they read numbers of all kinds, and learn from training rows."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from headframe.tasks.anomaly import Anomaly
from headframe.tasks.base import Task
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.deviation import Deviation
from headframe.tasks.baselines.numbers import input_numbers
from headframe.tasks.baselines.principal_axis import PrincipalAxis
from headframe.tasks.clustering import Clustering

ROWS = 300
LEARNED = np.arange(ROWS) < 200


def data_of(task: Task, inputs: dict[str, Any], labels: np.ndarray) -> BaselineData:
    """Rows in memory of which the first are for training and the others are predicted."""
    rows = pa.table(inputs)
    table = SimpleNamespace(read=rows.select)
    task.fit(pa.table({"label": labels[LEARNED]}))
    data = BaselineData(task, SimpleNamespace(inputs=rows.column_names), table, np.flatnonzero(~LEARNED))  # type: ignore[arg-type]
    data.__dict__["training"] = LEARNED
    return data


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(6).normal(size=(ROWS, 6)) * [1, 5, 1, 1, 1, 2] + 3


def columns(numbers: np.ndarray) -> dict[str, Any]:
    cells = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(numbers[:, 2:].reshape(ROWS, 2, 2)))
    return {"a": numbers[:, 0], "text": ["x"] * ROWS, "b": numbers[:, 1], "cells": cells}


def test_numbers_and_arrays_are_read_and_text_is_not(numbers) -> None:
    labels = np.zeros(ROWS, dtype=bool)
    found = input_numbers(data_of(Anomaly(), columns(numbers), labels))
    np.testing.assert_array_equal(found, numbers)
    alone = data_of(Anomaly(), {"text": ["x"] * ROWS}, labels)
    assert input_numbers(alone) is None
    assert Deviation().predictions(alone) is None


def test_an_empty_cell_is_the_mean_of_training_rows(numbers) -> None:
    column = pa.array([None, *numbers[1:, 0]])
    found = input_numbers(data_of(Anomaly(), {"a": column}, np.zeros(ROWS, dtype=bool)))
    assert found[0, 0] == pytest.approx(numbers[1:200, 0].mean())


def test_the_deviation_is_that_from_training_rows_and_flags_their_share(numbers) -> None:
    data = data_of(Anomaly(contamination=0.2), columns(numbers), np.zeros(ROWS, dtype=bool))
    found = Deviation().predictions(data)
    scaled = StandardScaler().fit(numbers[LEARNED]).transform(numbers)
    expected = (scaled**2).mean(axis=1)
    np.testing.assert_allclose(found["score"], expected[~LEARNED], rtol=1e-12)
    assert found["anomaly"].to_pylist() == (expected[~LEARNED] > np.quantile(expected[LEARNED], 0.8)).tolist()
    assert found.schema == data.task.prediction_schema


def test_groups_lie_along_the_first_principal_axis_and_are_as_many_as_labels(numbers) -> None:
    labels = np.arange(ROWS) % 3
    numbers[:, 4] += 2 * numbers[:, 3]
    data = data_of(Clustering(), columns(numbers), labels)
    found = PrincipalAxis().predictions(data)
    scaler = StandardScaler().fit(numbers[LEARNED])
    axis = PCA(1).fit(scaler.transform(numbers[LEARNED]))
    place = axis.transform(scaler.transform(numbers))[:, 0]
    edges = np.quantile(place[LEARNED], [1 / 3, 2 / 3])
    expected = np.searchsorted(edges, place[~LEARNED])
    cluster = found["cluster"].to_numpy()
    assert (cluster == expected).all() or (cluster == 2 - expected).all()
    assert found.schema == data.task.prediction_schema


def test_equal_rows_have_no_groups() -> None:
    data = data_of(Clustering(), {"a": np.ones(ROWS)}, np.arange(ROWS) % 2)
    assert PrincipalAxis().predictions(data) is None
