"""The rows that are predicted worst, as the report shows them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headframe.config.plan.data import ROW_ID
from headframe.datasets.table import Table
from headframe.evaluation.errors import SHOWN_ERRORS, errors_table, worst_rows
from headframe.pages.numbers import number
from headframe.pages.plot_style import png
from headframe.tasks.classification import Classification
from headframe.tasks.pictures import first_images, grid
from headframe.tasks.regression import Regression


def test_classification_names_wrong_rows_by_how_little_the_true_class_was_believed() -> None:
    task = Classification()
    task.fit(pa.table({"kind": ["a", "b", "c"]}))
    scores = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.05, 0.9, 0.05], [0.3, 0.3, 0.4]])
    rows = task.predictions(scores, np.array([0, 1, 0, 2, 0]))
    assert task.worst(rows).tolist() == [3, 2, 1, 4], "the ones that are right are left out, ties keep their order"


def test_regression_names_rows_by_their_absolute_error() -> None:
    rows = pa.table({"target": [1.0, 2.0, 3.0], "prediction": [1.5, -1.0, 3.0]})
    assert Regression().worst(rows).tolist() == [1, 0, 2]


def test_the_table_holds_what_the_data_set_holds_of_the_rows(evaluated) -> None:
    record, model, root = evaluated
    predictions = pq.read_table(root / model.folder / "predictions.parquet")
    test = predictions.filter(pc.equal(predictions["split"], "test"))
    task, table = _task(), Table.open(root / "data" / "colours")
    worst, rows = worst_rows(task, test, table, [ROW_ID, "width", "shop"])
    wrong = test.filter(pc.not_equal(test["target"], test["prediction"]))
    assert worst.num_rows == min(SHOWN_ERRORS, wrong.num_rows) > 0
    assert set(worst["row_id"].to_pylist()) <= set(wrong["row_id"].to_pylist())
    shown = errors_table(task, worst, rows)
    assert shown.columns == [ROW_ID, "width", "shop", "target", "prediction"]
    by_name = {each[ROW_ID]: each for each in table.read().to_pylist()}
    for row, name in zip(shown.rows, worst["row_id"].to_pylist(), strict=True):
        assert row[:3] == [name, number(by_name[name]["width"]), by_name[name]["shop"] or ""]
    assert "Largest errors" in (root / record.folder / "report.html").read_text()


def test_without_a_wrong_row_there_is_no_table(evaluated) -> None:
    *_, root = evaluated
    task = _task()
    right = task.predictions(np.eye(len(task.names)), np.arange(len(task.names)))
    assert worst_rows(task, right, Table.open(root / "data" / "colours"), ["width"]) is None


def _task() -> Classification:
    task = Classification()
    task.fit(pa.table({"colour": ["amber", "blau", "红色"]}))
    return task


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_of_the_rows_in_order(channels: int) -> None:
    pixels = np.arange(2 * 3 * 4 * channels, dtype=np.uint8).reshape(2, 3, 4, channels)
    cells = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    found = first_images(pa.table({"text": ["a", "b"], "image": cells}))
    assert found is not None
    assert np.array_equal(np.stack(found), pixels)
    assert first_images(pa.table({"text": ["a"]})) is None
    assert png(grid(found, ["one", "two"])) == png(grid(found, ["one", "two"]))
