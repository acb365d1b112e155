"""Values as people send them, read as one column of a schema or refused, one case a row."""

import math
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headframe.cells.rules import CellRules
from headframe.errors import DataError
from headframe.prediction.schema import (
    cast_column,
    cast_table,
    parse_json,
    require_unique,
    schema_from_json,
    schema_to_json,
    to_column,
    to_frame,
    to_table,
    type_family,
    type_name,
)  # fmt: skip

TIME = pa.timestamp("us")


@pytest.mark.parametrize(
    ("kind", "family", "name"),
    [
        (pa.string(), "text", "text"),
        (pa.large_string(), "text", "text"),
        (pa.dictionary(pa.int8(), pa.string()), "text", None),
        (pa.dictionary(pa.int8(), pa.int64()), "number", None),
        (pa.uint8(), "number", "uint8"),
        (pa.float32(), "number", "float"),
        (pa.bool_(), "bool", "bool"),
        (TIME, "time", "timestamp[us]"),
        (pa.timestamp("s", "Europe/Oslo"), "point in time", None),
        (pa.date32(), "time", "date32[day]"),
        (pa.list_(pa.int8()), "list of number", None),
        (pa.large_list(pa.large_string()), "list of text", None),
        (pa.fixed_shape_tensor(pa.uint8(), (2, 3)), None, "uint8 tensor of shape (2, 3)"),
    ],
)
def test_types_have_families_and_names(kind: pa.DataType, family: str | None, name: str | None) -> None:
    assert family is None or type_family(kind) == family
    assert name is None or type_name(kind) == name


def test_wide_types_are_written_as_the_usual_ones() -> None:
    wide = pa.schema(
        [pa.field("a", pa.large_list(pa.large_string())), pa.field("b", pa.large_string(), nullable=False)]
    )
    assert schema_from_json(schema_to_json(wide)) == pa.schema(
        [pa.field("a", pa.list_(pa.string())), pa.field("b", pa.string(), nullable=False)]
    )
    assert schema_to_json(pa.schema([pa.field("t", pa.fixed_shape_tensor(pa.uint8(), (2, 3)))])) == [
        {"name": "t", "nullable": True, "type": {"tensor": "uint8", "shape": [2, 3]}}
    ]


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, None, 3], pa.int64(), [1, None, 3]),
        ([1.0, 2.0], pa.int64(), [1, 2]),
        (np.array([1, 2], np.int8), pa.float64(), [1.0, 2.0]),
        ((1, 2), pa.int64(), [1, 2]),
        (range(2), pa.int64(), [0, 1]),
        (iter([1, 2]), pa.int64(), [1, 2]),
        (pd.Series([1.5, float("nan")]), pa.float64(), [1.5, None]),
        (pd.Series(["a", None]), pa.string(), ["a", None]),
        (np.array(["a", None], dtype=object), pa.string(), ["a", None]),
        (np.array(["a", "bc"]), pa.string(), ["a", "bc"]),
        (pa.array([1, 2], pa.int8()), pa.int64(), [1, 2]),
        (pa.array(["a"]).dictionary_encode(), pa.string(), ["a"]),
        ([None, None], pa.int64(), [None, None]),
        ([], pa.int64(), []),
        ([True, None], pa.bool_(), [True, None]),
        ([["a"], []], pa.list_(pa.string()), [["a"], []]),
        (["2026-03-01T12:00:00"], TIME, [datetime(2026, 3, 1, 12)]),  # noqa: DTZ001
    ],
)
def test_values_become_the_column_that_is_wanted(values: Any, kind: pa.DataType, found: list[Any]) -> None:
    column = to_column(values, pa.field("c", kind))
    assert (column.type, column.to_pylist()) == (kind, found)


@pytest.mark.parametrize(
    ("values", "kind", "sentence"),
    [
        (["3"], pa.int64(), "column 'c' holds text, but int64 was expected"),
        ([3], pa.string(), "column 'c' holds int64, but text was expected"),
        ([1.5], pa.int64(), "column 'c' holds double, but int64 was expected: "),
        ([300], pa.uint8(), "column 'c' holds int64, but uint8 was expected: "),
        ([1, "a"], pa.int64(), "column 'c' mixes types that do not fit one column: "),
        ([1, 2**70], pa.int64(), "column 'c' holds 1180591620717411303424 in row 2, a whole number that 64 bits"),
        ([1, True], pa.int64(), "column 'c' mixes types that do not fit one column: "),
        ([0.5, True], pa.float64(), "column 'c' holds a truth value in row 2, but double was expected"),
        ([1.5, 1, True, False], pa.float64(), "column 'c' holds a truth value in row 3, but double was expected"),
        ([1], pa.bool_(), "column 'c' holds int64, but bool was expected"),
        (["\ud800"], pa.string(), "column 'c' holds text that is no Unicode: "),
        (["noon"], TIME, "column 'c' holds text, but timestamp[us] was expected: "),
        (["noon"], pa.bool_(), "column 'c' holds text, but bool was expected"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: list[Any], kind: pa.DataType, sentence: str) -> None:
    with pytest.raises(DataError) as raised:
        to_column(values, pa.field("c", kind))
    assert str(raised.value).startswith(sentence)


def test_text_becomes_a_time_only_where_the_format_has_none() -> None:
    with pytest.raises(DataError, match="column 'c' holds text, but timestamp"):
        cast_column(pa.array(["2026-03-01"]), pa.field("c", TIME))
    assert cast_column(pa.array(["2026-03-01"]), pa.field("c", TIME), parse_times=True).type == TIME
    with pytest.raises(DataError, match="holds text, but int64"):
        cast_column(pa.array(["3"]), pa.field("c", pa.int64()), parse_times=True)
    with pytest.raises(DataError, match=r"holds timestamp\[us, tz=UTC\], but timestamp\[us\]"):
        cast_column(pa.array([0], pa.timestamp("us", "UTC")), pa.field("c", TIME))


IMAGE = pa.field("c", pa.fixed_shape_tensor(pa.uint8(), (2, 1)))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([[[1], [2]], [[3], [255]]], [[1, 2], [3, 255]]),
        ([[1, 2]], [[1, 2]]),
        (np.array([[[1.0], [2.0]]]), [[1, 2]]),
        (np.array([[1, 2]], np.int8), [[1, 2]]),
        (pd.Series([np.array([1, 2]), np.array([3, 4])]), [[1, 2], [3, 4]]),
        (pd.Series([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ([], []),
        (np.zeros((0, 2, 1)), []),
    ],
)
def test_cells_of_numbers_become_tensors(values: Any, found: list[list[int]]) -> None:
    column = to_column(values, IMAGE)
    assert (column.type, column.storage.to_pylist()) == (IMAGE.type, found)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[1, 2], [3]], "column 'c' needs cells of shape (2, 1), all of one shape"),
        ([[1, 2, 3]], "column 'c' needs cells of shape (2, 1), but came (3,)"),
        ([[[1, 2], [3, 4]]], "column 'c' needs cells of shape (2, 1), but came (2, 2)"),
        ([1, 2], "column 'c' needs cells of shape (2, 1), but came ()"),
        (np.array(3), "column 'c' needs cells of shape (2, 1), but came ()"),
        ([["a", "b"]], "column 'c' needs cells of shape (2, 1) that hold numbers, but came str"),
        ([[True, False]], "column 'c' needs cells of shape (2, 1) that hold numbers, but came bool"),
        ([[1, 256]], "column 'c' needs cells of shape (2, 1) that hold uint8 numbers, 0 to 255"),
        ([[1, -1]], "column 'c' needs cells of shape (2, 1) that hold uint8 numbers, 0 to 255"),
        ([[1, 0.5]], "column 'c' needs cells of shape (2, 1) that hold uint8 numbers, 0 to 255"),
        ([[1, math.nan]], "column 'c' needs cells of shape (2, 1) that hold uint8 numbers, 0 to 255"),
    ],
)
def test_cells_of_another_shape_or_range_are_refused(values: Any, sentence: str) -> None:
    with pytest.raises(DataError) as raised:
        to_column(values, IMAGE)
    assert str(raised.value).startswith(sentence)


def test_a_table_takes_its_columns_from_a_mapping() -> None:
    schema = pa.schema([pa.field("b", pa.int64(), nullable=False), pa.field("a", pa.string())])
    found = to_table({"a": ["x", None], "more": [1], "b": np.array([1, 2])}, schema)
    assert found.to_pydict() == {"b": [1, 2], "a": ["x", None]}
    assert found.column_names == ["b", "a"]
    with pytest.raises(DataError, match="column 'a' has 1 values, but 'b' has 2"):
        to_table({"a": ["x"], "b": [1, 2]}, schema)
    with pytest.raises(DataError, match="column 'b' is missing; came: a; expected: b, a"):
        to_table({"a": ["x"]}, schema)
    with pytest.raises(DataError, match="column 'b' is missing; came: none; expected: b, a"):
        to_table({}, schema)


def test_a_cell_without_a_value_is_named_where_the_contract_wants_one() -> None:
    schema = pa.schema([pa.field("a", pa.float64(), nullable=False), pa.field("b", pa.float64())])
    whole = pa.table({"a": [1.0, 2.0], "b": [math.nan, None]})
    assert cast_table(whole, schema, CellRules()).to_pydict() == {"a": [1.0, 2.0], "b": [None, None]}
    for empty in (None, math.nan):
        lacking = whole.set_column(0, "a", pa.array([1.0, empty]))
        with pytest.raises(DataError, match="column 'a' has no value in row 2, which the data set's contract forbids"):
            cast_table(lacking, schema, CellRules())


def test_an_object_has_each_key_once() -> None:
    assert parse_json(b'{"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}]}') == {"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}]}
    with pytest.raises(ValueError, match="key 'b' came twice in one object"):
        parse_json(b'[{"a": 1, "b": 2, "c": 3, "b": 4}]')
    with pytest.raises(ValueError, match="Expecting value"):
        parse_json(b"[")


@pytest.mark.parametrize("values", [[1.5, True], pd.Series([1.5, True], dtype=object), np.array([True, 2], object)])
def test_a_truth_value_is_no_number_whatever_holds_it(values: Any) -> None:
    with pytest.raises(DataError, match=r"truth value|mixes types"):
        to_column(values, pa.field("x", pa.float64()))


def test_a_column_comes_once() -> None:
    require_unique(["a", "b", 1, None])
    with pytest.raises(DataError, match="column 'b' came twice; leave one of them out"):
        require_unique(["a", "b", "c", "b", "a"])


@pytest.mark.parametrize("rows", [0, 2])
def test_a_frame_holds_tensors_as_nested_lists(rows: int) -> None:
    cells = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(cells)
    found = to_frame(pa.table({"image": images, "n": [1, 2]}).slice(0, rows))
    assert list(found.columns) == ["image", "n"]
    assert found["image"].tolist() == cells.tolist()[:rows]
    assert found["n"].tolist() == [1, 2][:rows]
