"""Raw columns as arrays: which types are read, and which row a message names."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headframe.errors import DataError
from headframe.features.columns import (
    first_empty,
    free_name,
    is_text,
    mean_and_std,
    number_column,
    number_columns,
    text_column,
)  # fmt: skip


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pa.array([1, None, 3]), [1.0, math.nan, 3.0]),
        (pa.array([0.5, math.nan, -0.0]), [0.5, math.nan, 0.0]),
        (pa.array([True, False, None]), [1.0, 0.0, math.nan]),
        (pa.array([None, None, None]), [math.nan] * 3),
        (pa.array([2**53 + 1, 0, 0]), [2.0**53, 0.0, 0.0]),
    ],
)
def test_numbers_are_read_and_what_is_empty_is_no_number(column: pa.Array, found: list[float]) -> None:
    values = number_column(pa.table({"c": column}), "c")
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, found)


def read_all(values: list[Any]) -> None:
    number_columns(pa.table({"a": [1.0] * len(values), "c": pa.array(values)}), ("a", "c"))


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (lambda: read_all([1.0, None, math.nan]), "column 'c' is empty or NaN in row 2, but every row needs a number"),
        (lambda: read_all([1.0, math.inf, -math.inf]), "column 'c' holds infinity in row 2; clean the data"),
        (lambda: read_all(["1"]), "column 'c' holds string, but numbers were expected"),
        (lambda: text_column(pa.table({"c": [1]}), "c"), "column 'c' holds int64, but text was expected"),
        (lambda: text_column(pa.table({"c": ["", None, None]}), "c"), "column 'c' has no text in row 2; every row"),
        (lambda: mean_and_std(np.array([[1.0], [1e300]])), "training rows hold numbers up to 1e+300, too large"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_first_row(read: Any, sentence: str) -> None:
    with pytest.raises(DataError) as raised:
        read()
    assert str(raised.value).startswith(sentence)


def test_columns_stand_side_by_side_in_the_order_asked_for() -> None:
    rows = pa.table({"a": [1, 2], "b": [True, False], "c": [0.5, 0.25]})
    assert number_columns(rows, ("c", "a", "b")).tolist() == [[0.5, 1.0, 1.0], [0.25, 2.0, 0.0]]
    assert text_column(pa.table({"c": pa.array(["", "é"]).dictionary_encode()}), "c") == ["", "é"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.string(), True), (pa.large_string(), True), (pa.string_view(), True), (pa.binary(), False),
        (pa.dictionary(pa.int8(), pa.string()), True), (pa.dictionary(pa.int8(), pa.int64()), False),
        (pa.int64(), False),
    ],
)  # fmt: skip
def test_strings_of_any_width_are_text(kind: pa.DataType, text: bool) -> None:
    assert is_text(kind) is text


def test_a_free_name_has_as_many_underscores_as_it_needs() -> None:
    assert [free_name("a", taken) for taken in ([], ["b"], ["a"], ["a", "a_"], ["a", "a__"])] == [
        "a", "a", "a_", "a__", "a_"
    ]  # fmt: skip
    assert first_empty(pa.chunked_array([["a"], ["b", None, None]])) == 3


def test_a_constant_has_itself_as_mean_and_a_deviation_of_one() -> None:
    values = np.array([[0.1, 1.0, 5.0], [0.1, 3.0, 5.0], [0.1, 2.0, 5.0 + 1e-9]])
    mean, deviation = mean_and_std(values)
    assert mean[0] == 0.1, "not a sum of three divided by three"
    assert mean[1] == 2.0
    assert deviation[0] == 1.0
    assert deviation[1] == pytest.approx(math.sqrt(2 / 3))
    assert 0 < deviation[2] < 1e-8, "nearly constant is not constant"
