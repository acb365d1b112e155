"""Where a column is cut, and what its slices are called, at the edges."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headframe.config.plan.data import ROW_ID
from headframe.evaluation.intervals import Resampling, metric_intervals
from headframe.evaluation.slices import quoted, slice_metrics, slice_parts


def parts(values: list[object], kind: pa.DataType | None = None) -> dict[str, list[int]]:
    column = pa.chunked_array([pa.array(values, kind)])
    return {f"{part.what}: {part.value}": np.flatnonzero(part.mask).tolist() for part in slice_parts("c", column)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a", "a"), ("a b", "a b"), ("红", "红"), ("", '""'), ("missing", '"missing"'),
        ("all others", '"all others"'), (" a", '" a"'),
        ("a ", '"a "'), ('"a"', '"\\"a\\""'), ('a"b', 'a"b'), ("a=b", '"a=b"'), ("Missing", "Missing"),
    ],
)  # fmt: skip
def test_texts_that_could_be_taken_for_something_else_are_called_by_their_json(text: str, name: str) -> None:
    assert quoted(text) == name


def test_long_texts_are_cut_by_length_only_where_there_are_many_of_them() -> None:
    few = ["x" * 60, "y" * 50] * 6
    assert list(parts(few)) == [f"value: {'x' * 60}", f"value: {'y' * 50}"]
    many = [f"{number:04}" * 10 for number in range(21)]
    assert list(parts(many)) == ["range: 40 to 40 characters"]
    assert next(iter(parts([text[:39] for text in many]))).startswith("value: ")
    assert len(parts(many[:20])) == 20, "twenty values are shown one by one"


def test_of_more_than_twenty_values_the_rarest_are_put_together() -> None:
    values = [f"v{number:02}" for number in range(21)] + [f"v{number:02}" for number in range(18)]
    found = parts([*values, None])
    assert list(found)[:19] == [f"value: v{number:02}" for number in range(19)], "as often by name"
    assert found["others: all others"] == [19, 20]
    assert found["missing: missing"] == [39]
    assert sorted(row for rows in found.values() for row in rows) == list(range(40))


def test_numbers_are_cut_into_quarters_that_hold_their_upper_end() -> None:
    assert parts([4, 1, 3, 2, 8, 7, 6, 5]) == {
        "range: 1 to 2": [1, 3],
        "range: over 2 to 4": [0, 2],
        "range: over 4 to 6": [6, 7],
        "range: over 6 to 8": [4, 5],
    }
    assert parts([5, 5, None]) == {"range: 5 to 5": [0, 1], "missing: missing": [2]}
    assert parts([float("nan"), None], pa.float64()) == {"missing: missing": [0, 1]}
    assert parts([1.0, float("nan"), 2.0]) == {"range: 1 to 2": [0, 2], "missing: missing": [1]}


def test_numbers_beyond_2_to_53_are_told_apart() -> None:
    big = 2**53
    found = parts([big, big + 1, big + 2, big + 3])
    assert list(found.values()) == [[0, 1], [2], [3]]
    assert f"range: over {big + 1} to {big + 2}" in found


def test_a_slice_of_few_windows_draws_shorter_blocks(forecasted) -> None:
    task, predictions = forecasted(84, 6, 2)
    inputs = pa.table({ROW_ID: predictions["row_id"], "shop": ["a"] * 42 + ["b"] * 33 + ["c"] * 9})
    how = Resampling(0.9, 40, 3, block=12)
    found = slice_metrics(task, predictions, inputs, ["shop"], how)["shop"]
    assert [(each.value, each.rows, bool(each.metrics)) for each in found] == [
        ("a", 42, True), ("b", 33, True), ("c", 9, False)
    ]  # fmt: skip
    for each, start, block in ((found[0], 0, 10), (found[1], 42, 8)):
        own = predictions.slice(start, each.rows)
        assert each.metrics == metric_intervals(task, own, replace(how, block=block))
    whole = slice_metrics(task, predictions, inputs, ["shop"], replace(how, block=2))["shop"][0]
    assert whole.metrics == metric_intervals(task, predictions.slice(0, 42), replace(how, block=2))
