import json

import numpy as np
import pyarrow as pa
import pytest

from headframe.cells.rules import CellRules
from headframe.errors import DataError
from headframe.prediction.schema import cast_table, schema_from_json, schema_to_json

SCHEMA = pa.schema(
    [
        pa.field("image", pa.fixed_shape_tensor(pa.uint8(), (2, 3, 1)), nullable=False),
        pa.field("text", pa.string()),
        pa.field("age", pa.int64()),
        pa.field("load", pa.float64()),
        pa.field("flag", pa.bool_()),
        pa.field("when", pa.timestamp("us")),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


def test_a_schema_goes_through_json() -> None:
    assert schema_from_json(json.loads(json.dumps(schema_to_json(SCHEMA)))) == SCHEMA


def test_rows_come_in_the_order_and_types_of_the_schema() -> None:
    schema = pa.schema([SCHEMA.field("age"), SCHEMA.field("text"), SCHEMA.field("load")])
    rows = pa.table(
        {
            "load": pa.array([1, 2], pa.int32()),
            "more": [0, 0],
            "text": pa.array(["a", "b"]).dictionary_encode(),
            "age": pa.array([3.0, 4.0]),
        }
    )
    assert cast_table(rows, schema, CellRules()) == pa.table(
        {"age": [3, 4], "text": ["a", "b"], "load": [1.0, 2.0]}, schema=schema
    )


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"other": [1]}, "'age' is missing; came: other; expected: age"),
        ({"age": ["3"]}, "'age' holds text, but int64 was expected"),
        ({"age": [1.5]}, "'age' holds double, but int64 was expected: .*truncated"),
        ({"age": [True]}, "'age' holds bool, but int64 was expected"),
    ],
)
def test_other_types_are_refused(rows: dict[str, list[object]], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        cast_table(pa.table(rows), pa.schema([SCHEMA.field("age")]), CellRules())


def test_images_of_another_size_are_refused() -> None:
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 4, 3, 1), np.uint8))
    with pytest.raises(DataError, match=r"uint8 tensor of shape \(4, 3, 1\), but uint8 tensor of shape \(2, 3, 1\)"):
        cast_table(pa.table({"image": images}), pa.schema([SCHEMA.field("image")]), CellRules())


def test_cells_mean_at_scoring_what_they_meant_to_the_reader() -> None:
    schema = pa.schema([SCHEMA.field("age"), SCHEMA.field("text"), SCHEMA.field("load")])
    rows = pa.table({"age": [-9, 3], "text": [" ? ", "a% "], "load": [-9.0, np.nan]})
    found = cast_table(rows, schema, CellRules(missing=("?", "-9"), trim=True, endings={"text": "%"}))
    assert found.to_pydict() == {"age": [None, 3], "text": [None, "a"], "load": [None, None]}
