"""Lists, structs and images in requests and files: strict, and one sentence for each fault."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headframe.cells.rules import CellRules
from headframe.datasets.readers.delimited import Delimited
from headframe.errors import DataError
from headframe.prediction.schema import cast_table, json_value
from headframe.registry.package import input_schema
from headframe.serving.input_files import open_rows
from headframe.serving.protocol import CSV, JSON, parse_request
from headframe.serving.smoke_request import request_content

BOX = pa.struct([("x", pa.float64()), ("label", pa.string())])
SCHEMA = pa.schema(
    [
        pa.field("boxes", pa.list_(BOX), nullable=False),
        pa.field("series", pa.list_(pa.float64())),
        pa.field("image", pa.binary()),
    ]
)
STREAM = io.BytesIO()
Image.new("L", (2, 2)).save(STREAM, "PNG")
PNG = STREAM.getvalue()
ROW: dict[str, Any] = {
    "boxes": [{"x": 1, "label": "a"}, {"label": "b", "x": 2.5}],
    "series": [1, 2.5],
    "image": base64.b64encode(PNG).decode(),
}
EXPECTED = {
    "boxes": [{"x": 1.0, "label": "a"}, {"x": 2.5, "label": "b"}], "series": [1.0, 2.5], "image": PNG,
}  # fmt: skip
NOTHING = {"boxes": [], "series": None, "image": None}


def parse(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    body = json.dumps({"dataframe_records": rows}).encode()
    return parse_request(body, JSON, SCHEMA, Delimited(), 1000).rows.to_pylist()


def test_a_request_in_each_form_gives_the_same_rows() -> None:
    assert parse(ROW, NOTHING, ROW) == [EXPECTED, NOTHING, EXPECTED]
    assert parse(*[ROW] * 600) == [EXPECTED] * 600  # more than are converted at once
    rows = pa.Table.from_pylist([EXPECTED, NOTHING], SCHEMA)
    body = json.dumps(request_content(rows), default=json_value).encode()
    assert parse_request(body, JSON, SCHEMA, Delimited(), 2).rows.to_pylist() == rows.to_pylist()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"boxes": {"x": 1}}, "'boxes' holds a .* in row 2, but list of objects with x, label was expected"),
        ({"boxes": [1]}, "'boxes' holds a int in row 2, but objects with x, label was expected"),
        ({"boxes": [{"x": 1}]}, "'boxes' holds an entry without 'label' in row 2; each has x, label"),
        ({"boxes": [{"x": 1, "label": "a", "y": 1}]}, "'boxes' holds an entry with 'y' in row 2; each has x, label"),
        ({"boxes": [{"x": "1", "label": "a"}]}, "'boxes' (holds text|mixes types)"),
        ({"boxes": [{"x": True, "label": "a"}]}, "'boxes' holds a truth value in row 2, but double was expected"),
        ({"boxes": None}, "'boxes' has no value in row 2"),
        ({"series": [True]}, "'series' holds a truth value in row 2"),
        ({"series": 3}, "'series' holds a int in row 2, but list of double was expected"),
        ({"image": "no base64!"}, "'image' holds text that is no base64 in row 2"),
        ({"image": [1, 2]}, "'image' holds a list in row 2, but bytes"),
    ],
)
def test_each_fault_is_one_sentence_with_its_row(cells: dict[str, Any], words: str) -> None:
    body = json.dumps({"dataframe_records": [ROW, {**ROW, **cells}]}).encode()
    with pytest.raises(DataError, match=f"^column {words}") as raised:
        cast_table(parse_request(body, JSON, SCHEMA, Delimited(), 10).rows, SCHEMA, CellRules())
    assert "\n" not in str(raised.value)


def test_csv_cannot_carry_them() -> None:
    with pytest.raises(DataError, match="'boxes' holds list of objects with x, label, which CSV cannot carry"):
        parse_request(b"boxes,series,image\n1,2,3\n", CSV, SCHEMA, Delimited(), 10)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_files_to_predict_for_hold_them(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rows.{ending}"
    if ending == "jsonl":
        file.write_text("".join(f"{json.dumps(each)}\n" for each in (ROW, NOTHING)))
    else:
        other = pa.list_(pa.struct([("label", pa.large_string()), ("x", pa.float32())]))
        foreign = pa.schema([("boxes", other), ("series", pa.large_list(pa.float32())), ("image", pa.large_binary())])
        pq.write_table(pa.Table.from_pylist([EXPECTED, NOTHING], foreign), file)
    (rows,) = open_rows(str(file), tmp_path, SCHEMA, Delimited(), 10)
    assert rows.select(SCHEMA.names).to_pylist() == [EXPECTED, NOTHING]


def test_mlflow_knows_their_types() -> None:
    kinds = {each["name"]: each["type"] for each in input_schema(SCHEMA).to_dict()}
    assert kinds == {"boxes": "any", "series": "array", "image": "binary"}
