"""Metrics of parts of the rows."""

import numpy as np
import pyarrow as pa
import pytest

from headframe.config.plan.data import ROW_ID
from headframe.errors import ConfigurationError, DataError
from headframe.evaluation.intervals import Resampling
from headframe.evaluation.slices import slice_metrics, slice_parts

HOW = Resampling(0.95, 120, 17)


def cut(column: list[object]) -> tuple[list[str], list[str]]:
    """The slice of each row, and all slices in their order; every row is in one of them."""
    found = slice_parts("column", pa.chunked_array([pa.array(column)]))
    masks = np.stack([part.mask for part in found])
    assert (masks.sum(axis=0) == 1).all()
    values = [part.value for part in found]
    return [values[place] for place in masks.argmax(axis=0)], values


def test_a_slice_holds_the_metrics_of_its_rows(classified):
    task, predictions = classified(300, 2)
    inputs = pa.table({ROW_ID: predictions["row_id"], "shop": ["north", "south", "south"] * 100})
    shuffled = inputs.take(pa.array(np.random.default_rng(1).permutation(300)))
    south, north = slice_metrics(task, predictions, shuffled, ["shop"], HOW)["shop"]
    assert (south.value, south.rows, north.value, north.rows) == ("south", 200, "north", 100)
    expected = task.measure(predictions.take(pa.array(np.arange(0, 300, 3))))
    assert {name: each.value for name, each in north.metrics.items()} == pytest.approx(expected)
    assert all(each.low <= each.value <= each.high for each in south.metrics.values())


def test_a_slice_of_one_class_has_the_metrics_that_are_defined(classified):
    task, predictions = classified(300, 2)
    inputs = pa.table({ROW_ID: predictions["row_id"], "class": predictions["target"].cast(pa.string())})
    only, _ = slice_metrics(task, predictions, inputs, ["class"], HOW)["class"]
    assert "accuracy" in only.metrics
    assert "roc_auc" not in only.metrics


def test_few_rows_are_counted_but_not_measured(classified):
    task, predictions = classified(50, 2)
    inputs = pa.table({ROW_ID: predictions["row_id"], "shop": ["a"] * 45 + ["b"] * 5})
    found = slice_metrics(task, predictions, inputs, ["shop"], HOW)["shop"]
    assert [(each.value, each.rows, bool(each.metrics)) for each in found] == [("a", 45, True), ("b", 5, False)]


def test_numbers_are_cut_into_quarters_from_low_to_high():
    rows, values = cut([float(number) for number in range(1, 101)])
    assert values == ["1 to 25", "over 25 to 50", "over 50 to 75", "over 75 to 100"]
    assert [rows.count(value) for value in values] == [25, 25, 25, 25]
    assert rows[24] == "1 to 25"
    assert rows[25] == "over 25 to 50"


def test_repeated_numbers_make_fewer_ranges_that_hold_every_row():
    rows, values = cut([0] * 90 + [7] * 10)
    assert set(rows) == set(values)
    assert cut([3, 3, 3])[1] == ["3 to 3"]


def test_what_is_missing_has_a_slice_of_its_own():
    assert cut([1.0, None, float("nan"), 2.0])[0].count("missing") == 2
    assert cut([1.0, None, float("nan"), 2.0])[1][-1] == "missing"
    assert cut(["东边", None, "东边"]) == (["东边", "missing", "东边"], ["东边", "missing"])
    assert cut([True, False, True, None])[1] == ["true", "false", "missing"]


def test_rare_values_are_put_together():
    rows, values = cut([f"country-{number}" for number in range(40) for _ in range(1 + (number < 5))])
    assert len(values) == 20
    assert values[-1] == "all others"
    assert rows.count("all others") == 21
    assert set(values[:5]) == {f"country-{number}" for number in range(5)}


def test_long_texts_are_cut_by_their_length():
    _, values = cut(["x" * number for number in range(40, 140)])
    assert values[0] == "40 to 64 characters"


def test_images_cannot_be_cut():
    images = pa.chunked_array([pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8(), 2))])
    with pytest.raises(ConfigurationError, match=r"evaluation\.slices: picture holds .* name a number or text column"):
        slice_parts("picture", images)


def test_rows_that_the_table_does_not_have_are_refused(classified):
    task, predictions = classified(20, 2)
    inputs = pa.table({ROW_ID: predictions["row_id"], "shop": ["a"] * 20}).slice(2)
    with pytest.raises(DataError, match="2 predicted rows are not in the table"):
        slice_metrics(task, predictions, inputs, ["shop"], HOW)


def test_a_slice_without_an_error_is_not_certain(classified):
    task, predictions = classified(300, 3, skill=60)
    inputs = pa.table({ROW_ID: predictions["row_id"], "shop": ["a"] * 12 + ["b"] * 288})
    for each in slice_metrics(task, predictions, inputs, ["shop"], HOW)["shop"][1].metrics.values():
        assert each.low is not None
        assert each.low < each.high


def test_a_text_is_told_apart_from_what_a_slice_is_called():
    rare = [f"rare-{number}" for number in range(30)]
    texts = ["missing", None, "all others", "", '"missing"', "missing", None, "all others", "", *rare]
    rows, values = cut(texts)
    assert len(set(values)) == len(values) == 20 + 1
    assert (rows[0], rows[1]) == ('"missing"', "missing")
    assert (rows[2], rows[-1]) == ('"all others"', "all others")
    assert rows[3] == '""'
    assert len({rows[0], rows[4]}) == 2
    parts = slice_parts("column", pa.chunked_array([pa.array(texts)]))
    whats = {part.value: part.what for part in parts}
    assert [whats[each] for each in ('"missing"', "missing", '"all others"', "all others")] == [
        "value", "missing", "value", "others",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "column",
    [
        [48.13715166 + number * 1e-8 for number in range(100)],
        [1e9 + number for number in range(100)],
        [2**53 + number for number in range(100)],  # integers that floats cannot tell apart
        [-float("inf"), *map(float, range(100)), float("inf")],
    ],
    ids=["near", "large", "integers", "infinite"],
)
def test_ranges_that_differ_are_called_differently_and_hold_what_they_say(column: list[float]):
    rows, values = cut(column)
    assert len(set(values)) == len(values) == 4
    assert "missing" not in rows
    kind = type(column[0])
    for number, called in zip(column, rows, strict=True):
        low, high = (kind(each) for each in called.removeprefix("over ").split(" to "))
        assert low < number <= high if called.startswith("over") else low <= number <= high
    edges = [kind(value.split(" to ")[1]) for value in values]
    assert edges == [sorted(column)[-(-len(column) * quarter // 4) - 1] for quarter in (1, 2, 3, 4)]
