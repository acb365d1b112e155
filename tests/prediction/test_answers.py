"""How two answers differ, on small tables whose difference can be read off."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headframe.prediction.answers import AnswerDifference, compare_answers, differing_rows

NAN, INF = math.nan, math.inf
STRUCT = pa.struct([("a", pa.int64()), ("x", pa.float64())])
TRUE = {"a": 1, "x": 0.5}


def tensors(values: list[list[float]]) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(values, dtype=np.float32))


def column(kind: Any, values: list[Any]) -> pa.Array:
    return tensors(values) if kind == "tensor" else pa.array(values, kind)


@pytest.mark.parametrize(
    ("kind", "one", "other", "largest", "scale"),
    [
        (pa.float64(), [0.5, -3.0], [0.5, -3.25], 0.25, 3.0),
        (pa.float64(), [0.5, -3.0], [-0.5, -3.0], 1.0, 3.0),
        (pa.float64(), [0.25, 0.5], [0.5, 0.5], 0.25, 1.0),
        (pa.float64(), [NAN, 1.0], [NAN, 1.0], 0.0, 1.0),
        (pa.float64(), [NAN, 1.0], [2.0, 1.0], INF, 1.0),
        (pa.float64(), [2.0, 1.0], [NAN, 1.0], INF, 2.0),
        (pa.float64(), [INF, 4.0], [INF, 4.5], 0.5, 4.0),
        (pa.float64(), [INF, 4.0], [1.0, 4.0], INF, 4.0),
        (pa.float32(), [None, 2.0], [None, 2.5], 0.5, 2.0),
        (pa.float64(), [], [], 0.0, 1.0),
        (pa.list_(pa.float64()), [[1.0, 2.0], [], [3.0]], [[1.0, 2.5], [], [2.0]], 1.0, 3.0),
        (pa.list_(pa.float64(), 2), [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 6.0]], 2.0, 4.0),
        (STRUCT, [{"a": 1, "x": 7.0}, None], [{"a": 1, "x": 9.0}, None], 2.0, 7.0),
        (pa.list_(STRUCT), [[{"a": 1, "x": 1.0}, TRUE]], [[{"a": 1, "x": 1.5}, TRUE]], 0.5, 1.0),
        ("tensor", [[1, 2], [3, 4]], [[1, 2], [3, 8]], 4.0, 4.0),
    ],
)
def test_numbers_differ_by_their_distance(
    kind: Any, one: list[Any], other: list[Any], largest: float, scale: float
) -> None:
    found = compare_answers(pa.table({"c": column(kind, one)}), pa.table({"c": column(kind, other)}))
    assert found == AnswerDifference(largest, scale, {})
    assert found.within(largest / scale) is True
    assert found.within(largest / scale * 0.99 - 1e-9) is False or largest == INF


def shown(value: object) -> str:
    """A cell as messages have it, in 60 characters at most."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


TIME = pa.timestamp("s", "UTC")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "one", "other", "rows"),
    [
        (pa.int64(), [1, 2, 3], [1, 5, 9], [1, 2]),
        (pa.int64(), [2**53, None], [2**53 + 1, None], [0]),
        (pa.string(), ["a", None, "c"], ["a", "b", None], [1, 2]),
        (pa.bool_(), [True, False, None], [True, True, None], [1]),
        (TIME, [NOON, None], [NOON, NOON], [1]),
        (pa.float64(), [0.5, None, 0.5], [0.5, 0.5, None], [1, 2]),
        (pa.list_(pa.string()), [["a"], [], None], [["a", "b"], [], []], [0, 2]),
        (pa.list_(pa.string()), [["a", "b"], ["a"]], [["b", "b"], ["a"]], [0]),
        (pa.list_(pa.int64()), [[1, 2], [3, None]], [[1, 3], [3, 4]], [0, 1]),
        (pa.list_(pa.float64()), [[1.0, 2.0], [1.0, None]], [[1.0], [1.0, 2.0]], [0, 1]),
        (pa.list_(pa.float64()), [[1.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, None]], [0, 1]),
        (pa.list_(pa.int64(), 2), [[1, 2], [3, 4]], [[1, 2], [3, 5]], [1]),
        (pa.list_(pa.float64(), 2), [[1.0, 2.0], None], [[1.0, 2.0], [3.0, 4.0]], [1]),
        (pa.list_(pa.float64(), 2), [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], None], [1]),
        (pa.list_(pa.float64(), 2), [[1.0, None], [3.0, 4.0]], [[1.0, 2.0], [3.0, None]], [0, 1]),
        (pa.list_(pa.float64(), 2), [[1.0, 2.0], [3.0, 4.0]], [[1.0, None], [3.0, 4.0]], [0]),
        (pa.float64(), [0.5, 0.5], [0.5, None], [1]),
        (pa.float64(), [None, 0.5], [0.5, 0.5], [0]),
        (STRUCT, [TRUE, None, TRUE], [None, TRUE, {"a": 2, "x": 0.5}], [0, 1, 2]),
        (pa.list_(STRUCT), [[TRUE], [TRUE, TRUE]], [[TRUE], [TRUE, {"a": 2, "x": 0.5}]], [1]),
    ],
)
def test_everything_else_differs_row_by_row(kind: Any, one: list[Any], other: list[Any], rows: list[int]) -> None:
    expected, answer = pa.table({"c": column(kind, one)}), pa.table({"c": column(kind, other)})
    found = compare_answers(expected, answer)
    first = rows[0]
    # As the table has it: a time comes back with its zone.
    not_, came = (shown(each["c"][first].as_py()) for each in (expected, answer))
    assert found == AnswerDifference(0.0, found.scale, {"c": len(rows)}, f", first in row {first}: {came}, not {not_}")
    assert not found.within(1e9)
    assert differing_rows(expected["c"], answer["c"]).tolist() == rows
    assert differing_rows(expected["c"], answer["c"], 1.0).tolist() == rows
    assert differing_rows(expected["c"], expected["c"]).tolist() == []
    assert compare_answers(expected, expected).within(0.0)


@pytest.mark.parametrize(
    ("kind", "one", "other", "tolerance", "rows"),
    [
        (pa.float64(), [1.0, 2.0, 4.0], [1.5, 2.0, 4.0], 0.125, []),
        (pa.float64(), [1.0, 2.0, 4.0], [1.5, 2.25, 4.0], 0.1, [0]),
        (pa.float64(), [1.0, -4.0], [-1.0, -4.0], 0.25, [0]),
        (pa.float64(), [INF, 1.0], [2.0, 1.0], 0.5, [0]),
        (pa.float64(), [None, 4.0, 4.0], [None, 5.0, 6.0], 0.25, [2]),
        (pa.float64(), [0.0, 0.0], [0.0, 1e-9], 0.5, [1]),
        ("tensor", [[1, 4], [1, 4]], [[2, 4], [1, 6]], 0.25, [1]),
        ("tensor", [[1, 4], [1, 4]], [[2, 4], [3, 4]], 0.5, []),
        (pa.list_(pa.float64(), 2), [[1.0, 4.0], [1.0, 4.0]], [[2.0, 4.0], [1.0, 6.0]], 0.25, [1]),
        (pa.list_(pa.float64()), [[INF, 4.0], [1.0]], [[INF, 5.0], [3.0]], 0.25, [1]),
        (pa.list_(pa.float64()), [[1.0], [4.0, 1.0]], [[2.0], [4.0, 3.0]], 0.25, [1]),
        (pa.list_(pa.float64()), [[1.0, 4.0], []], [[2.0, 5.0], []], 0.25, []),
        (pa.list_(pa.float64()), [[1.0, 4.0], [1.0, 2.0]], [[9.0, 4.0], [1.0, 2.0]], 0.25, [0]),
    ],
)
def test_targets_may_differ_by_rounding(
    kind: Any, one: list[Any], other: list[Any], tolerance: float, rows: list[int]
) -> None:
    columns = [pa.chunked_array([column(kind, each)]) for each in (one, other)]
    assert differing_rows(*columns, tolerance).tolist() == rows
    assert differing_rows(columns[0], columns[0], tolerance).tolist() == []


def test_a_column_of_another_type_length_or_name_differs_everywhere() -> None:
    three, four = pa.table({"c": [1, 2, 3]}), pa.table({"c": [1, 2, 3, 3]})
    assert compare_answers(three, four) == AnswerDifference(
        0.0, 1.0, {"c": 4}, ", where int64 came in the place of int64"
    )
    assert compare_answers(four, three).changed == {"c": 4}
    text = pa.table({"c": ["1", "2", "3"]})
    assert compare_answers(three, text) == AnswerDifference(
        0.0, 1.0, {"c": 3}, ", where text came in the place of int64"
    )
    renamed = compare_answers(three, three.rename_columns(["d"]))
    assert renamed == AnswerDifference(0.0, 1.0, {"c": 3, "d": 3}, ", where nothing came in the place of int64")
    assert compare_answers(three.select([]).append_column("d", three["c"]), three.append_column("d", three["c"])) == (
        AnswerDifference(0.0, 1.0, {"c": 3}, ", where int64 came in the place of nothing")
    )
    for other in (four["c"], text["c"]):
        assert differing_rows(three["c"], other).tolist() == [0, 1, 2]


def test_the_largest_distance_and_the_first_change_are_those_of_all_columns() -> None:
    one = pa.table({"a": [1.0, 8.0], "b": [1.0, 2.0], "c": ["x", "y"], "d": [1, 2]})
    other = pa.table({"a": [1.5, 8.0], "b": [1.25, 2.0], "c": ["x", "z"], "d": [3, 2]})
    found = compare_answers(one, other)
    assert found == AnswerDifference(0.5, 8.0, {"c": 1, "d": 1}, ", first in row 1: 'z', not 'y'")
    assert str(found) == "by 0.5 at most and in 'c' of 1 row and in 'd' of 1 row, first in row 1: 'z', not 'y'"
    back = compare_answers(one.select(["d", "c", "b", "a"]), other)
    assert (back.largest, back.scale, back.first) == (0.5, 8.0, ", first in row 0: 3, not 1")


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (AnswerDifference(0.0, 1.0, {}), "by 0 at most"),
        (AnswerDifference(0.25, 1.0, {}), "by 0.25 at most"),
        (AnswerDifference(0.0, 1.0, {"a": 1234}, "!"), "in 'a' of 1,234 rows!"),
        (AnswerDifference(0.25, 1.0, {"a": 1}), "by 0.25 at most and in 'a' of 1 row"),
    ],
)
def test_a_difference_is_said_in_words(difference: AnswerDifference, text: str) -> None:
    assert str(difference) == text


@pytest.mark.parametrize(("letters", "shown"), [(58, "'" + "x" * 58 + "'"), (59, "'" + "x" * 56 + "...")])
def test_a_long_cell_is_shortened(letters: int, shown: str) -> None:
    found = compare_answers(pa.table({"c": ["a"]}), pa.table({"c": ["x" * letters]}))
    assert found.first == f", first in row 0: {shown}, not 'a'"
