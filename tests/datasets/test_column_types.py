"""Columns of every type that holds more than one value a cell: stored, named, checked, split and read again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headframe.cells.images import encode_mask
from headframe.config.dataset_checks import check_dataset
from headframe.config.plan.component import targets
from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.data_versions.diff import compare_rows
from headframe.datasets.constraints import RowConstraints
from headframe.datasets.hashing import content_hashes
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.schema import contract_schema
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.datasets.table_writer import write_table
from headframe.errors import ConfigurationError, RowError
from headframe.prediction.schema import schema_from_json, schema_to_json, to_table
from headframe.serving.limits import row_bytes
from headframe.validation.checks import check, failure_message

OWN_SOURCE = Path("src")
BOX_FIELDS = {
    "x": {"dtype": "float", "min": 0},
    "width": {"dtype": "float", "min": 1},
    "label": {"dtype": "string", "one_of": ["red", "white"]},
    "certain": {"dtype": "bool", "nullable": True},
}


def png(value: int, size: tuple[int, int] = (4, 3)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def box(x: float, width: float = 2.0, label: str = "red", certain: bool | None = None) -> dict[str, Any]:
    return {"x": x, "width": width, "label": label, "certain": certain}


CONTRACTS: dict[str, dict[str, Any]] = {
    "int16": {"dtype": "tensor", "shape": [2, 2], "values": "int16", "min": -300, "max": 300},
    "float32": {"dtype": "tensor", "shape": [2], "values": "float32"},
    "series": {"dtype": "float_list", "min": -5, "min_length": 1, "max_length": 4},
    "basket": {"dtype": "list", "max_length": 3, "matches": "[a-z ]+"},
    "boxes": {"dtype": "struct_list", "fields": BOX_FIELDS, "max_length": 2},
    "image": {"dtype": "encoded_image", "max_pixels": 12},
    "mask": {"dtype": "encoded_mask", "max_pixels": 12, "max": 2},
}
GOOD: dict[str, list[Any]] = {
    "int16": [[[-300, 2], [3, 300]], [[0, 0], [0, 0]]],
    "float32": [[-0.5, 2.0], [1e30, 0.0]],
    "series": [[1.0, 2.5, -5.0], [0.0]],
    "basket": [["milk", "soap"], []],
    "boxes": [[box(1), box(0, label="white", certain=True)], []],
    "image": [png(1), png(2, (3, 4))],
    "mask": [encode_mask(np.array([[0, 1, 2]], np.uint8)), encode_mask(np.zeros((3, 4), np.uint8))],
}
BAD: dict[str, list[tuple[Any, str]]] = {
    "int16": [([[0, 301], [0, 0]], "must be at least -300 and at most 300")],
    "float32": [([float("nan"), 0.0], "must be finite"), ([0.0, float("inf")], "must be finite")],
    "series": [
        ([1.0, -6.0], "must be at least -5"),
        ([], "must have a number of entries of at least 1 and at most 4"),
        ([0.0] * 5, "must have a number of entries of at least 1 and at most 4"),
        ([1.0, None], "must have no missing entries"),
        ([float("nan")], "must have no missing entries"),
    ],
    "basket": [(["a"] * 4, "must have a number of entries of at most 3"), (["Milk"], "must match [a-z ]+")],
    "boxes": [
        ([box(1), box(-1)], "must be at least 0 in field 'x'"),
        ([box(1, label="blue")], "must be one of red, white in field 'label'"),
        ([{**box(1), "x": None}], "must not be missing in field 'x'"),
        ([box(1)] * 3, "must have a number of entries of at most 2"),
    ],
    "image": [
        (b"GIF89a", "must be a whole JPEG or PNG image of at most 12 pixels"),
        (png(1)[:40], "must be a whole JPEG or PNG image of at most 12 pixels"),
        (png(1, (4, 4)), "must be a whole JPEG or PNG image of at most 12 pixels"),
    ],
    "mask": [
        (wrong, "must be a whole PNG mask of at most 12 pixels and numbers of at most 2")
        for wrong in (b"", png(1), *(encode_mask(np.full(size, 3, np.uint8)) for size in ((1, 2), (4, 4))))
    ],
}
WRONG = [(name, cell, text) for name, cells in BAD.items() for cell, text in cells]


def dataset(**columns: dict[str, Any]) -> DatasetConfig:
    return DatasetConfig.model_validate({
        "name": "made", "title": "Made", "licence": "CC0-1.0", "citation": "made up",
        "sources": {"made": {"uri": "file:made"}}, "inputs": [next(iter(columns))],
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.3, "test": 0.3},
        "contract": {"columns": columns},
    })  # fmt: skip


def table_of(folder: Path, config: DatasetConfig, rows: pa.Table) -> Table:
    folder.mkdir()
    batches = (ReadBatch(batch) for batch in rows.to_batches(max_chunksize=7))
    return write_table(folder, config, dict(config.sources), batches)


def rows_of(config: DatasetConfig, **cells: list[Any]) -> pa.Table:
    return to_table(cells, contract_schema(config.contract.columns))


@pytest.mark.parametrize("name", CONTRACTS)
def test_what_keeps_its_contract_is_stored_and_read_again(tmp_path: Path, name: str) -> None:
    config = dataset(c=CONTRACTS[name])
    check_dataset(config.model_copy(update={"reader": own_reader()}), OWN_SOURCE)
    rows = rows_of(config, c=GOOD[name] * 20)
    table = table_of(tmp_path / "t", config, rows)
    assert [failure_message(each, 40) for each in check(table, config.contract) if not each.passed] == []
    assert table.read(["c"])["c"].equals(rows["c"])
    assert Table.open(tmp_path / "t").verify()
    ids = table.read(["__row_id__"])["__row_id__"].to_pylist()
    assert len({*ids}) == 40
    splits = assign(config.training_data, table)
    contents = table.read(["__content__"])["__content__"].to_pylist()
    assert len({*zip(contents, splits.tolist(), strict=True)}) == len({*contents}) == 2
    again = table_of(tmp_path / "again", config, rows)
    assert (again.digest, again.metadata.files) == (table.digest, table.metadata.files)


@pytest.mark.parametrize(("name", "cell", "text"), WRONG)
def test_a_table_and_a_request_break_a_contract_in_the_same_words(
    tmp_path: Path, name: str, cell: Any, text: str
) -> None:
    tensor = CONTRACTS[name]["dtype"] == "tensor"
    config = dataset(c={**CONTRACTS[name], "nullable": not tensor})
    rows = rows_of(config, c=[*GOOD[name], GOOD[name][0] if tensor else None, cell, *GOOD[name]])
    table = table_of(tmp_path / "t", config, rows)
    (failed,) = [each for each in check(table, config.contract) if not each.passed]
    assert (failed.constraint, failed.unexpected) == (text, 1)
    with pytest.raises(RowError, match=r"^column 'c' holds .* in row 4, but by the data set's contract it ") as raised:
        RowConstraints(config.contract.columns).require(rows)
    assert str(raised.value).endswith(text)
    RowConstraints(config.contract.columns).require(rows.slice(0, 3))


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_models_schema_survives_json(name: str) -> None:
    schema = contract_schema(dataset(c=CONTRACTS[name]).contract.columns)
    assert schema_from_json(schema_to_json(schema)) == schema
    assert row_bytes(schema) > 0


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("boxes", [box(1), box(2)], [box(2), box(1)], False),
        ("boxes", [box(1, certain=None)], [box(1, certain=False)], False),
        ("boxes", [], None, False),
        ("boxes", [box(0.0)], [box(-0.0)], True),
        ("series", [0.0, 1.0], [-0.0, 1.0], True),
        ("series", [0.0], [0.0, 0.0], False),
        ("series", [float("nan")], [-float("nan")], True),
        ("basket", ["a", "b"], ["ab"], False),
        ("basket", ["a", ""], ["", "a"], False),
        ("basket", [], None, False),
        ("float32", [0.0, 1.0], [-0.0, 1.0], True),
        ("float32", [float("nan"), 1.0], [-float("nan"), 1.0], True),
        ("int16", [[1, 2], [3, 4]], [[1, 2], [4, 3]], False),
        ("image", png(1), png(2), False),
        ("image", b"", None, False),
    ],
)
def test_rows_are_equal_by_order_and_value(name: str, one: Any, other: Any, same: bool) -> None:
    schema = contract_schema(dataset(c={**CONTRACTS[name], "nullable": True}).contract.columns)
    first, second = content_hashes(to_table({"c": [one, other]}, schema), ["c"])
    assert (first == second) is same


CELLS = st.lists(st.none() | st.text(max_size=2), max_size=3)
PAIRS = st.lists(st.fixed_dictionaries({"a": st.none() | st.text(max_size=2), "b": st.text(max_size=2)}), max_size=3)


@given(st.lists(st.tuples(st.none() | CELLS, st.none() | PAIRS), min_size=1, max_size=6))
def test_equal_nested_cells_are_equal_contents_and_no_others(rows: list[tuple[Any, Any]]) -> None:
    structs = pa.list_(pa.struct([("b", pa.string()), ("a", pa.string())]))
    lists, pairs = zip(*rows, strict=True)
    table = pa.table({"l": pa.array(lists, pa.list_(pa.string())), "p": pa.array(pairs, structs)})
    got = content_hashes(table, ["l", "p"])
    for content, row in zip(got, rows, strict=True):
        assert [other == content for other in got] == [other == row for other in rows]
    assert [content_hashes(table.slice(at, 1), ["l", "p"])[0] for at in range(len(rows))] == got


@pytest.mark.parametrize("name", CONTRACTS)
def test_versions_are_compared_by_every_cell(tmp_path: Path, name: str) -> None:
    config = dataset(c=CONTRACTS[name], key={"dtype": "string"}).model_copy(update={"key": "key"})
    one, other = GOOD[name]
    old = table_of(tmp_path / "old", config, rows_of(config, c=[one, other, one, one], key=[*"abcd"]))
    new = table_of(tmp_path / "new", config, rows_of(config, c=[one, other, one, other], key=[*"eabd"]))
    found = compare_rows(old, new)
    assert found.examples == {"added": ("e",), "removed": ("c",), "changed": ("a", "b", "d")}
    assert (found.added, found.removed, found.changed, found.unchanged, found.columns) == (1, 1, 3, 0, {})
    assert compare_rows(old, old).unchanged == 4


def test_blocks_of_images_are_small_whatever_the_number_of_rows(tmp_path: Path) -> None:
    config = dataset(image=CONTRACTS["image"])
    rows = rows_of(config, image=[png(each) for each in range(200)] * 2)
    table = table_of(tmp_path / "t", config, rows)
    assert [batch.num_rows for batch in table.batches()] == [256, 144]


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        ({"dtype": "tensor", "shape": [2], "values": "float31"}, r"values=float31: no type of number .*'float32'"),
        ({"dtype": "tensor", "shape": [2], "nullable": True}, r"nullable=True: a tensor cannot be missing"),
        ({"dtype": "struct_list"}, r"fields has no value; a struct_list needs one, as in \{x: "),
        ({"dtype": "struct_list", "fields": {"x": {"dtype": "list"}}}, r"fields\.x\.dtype=list: a field of a struct"),
        ({"dtype": "struct_list", "fields": {"x": {"dtype": "bool", "min": 1}}}, r"fields\.x\.min=1.*remove it"),
        ({"dtype": "struct_list", "fields": {"x": {"dtype": "int", "unique": True}}}, r"fields\.x\.unique=True: "),
        ({"dtype": "float_list", "matches": "a"}, r"matches=a: this is not checked for float_list"),
        ({"dtype": "int", "max_pixels": 3}, r"max_pixels=3: this is not checked for int"),
    ],
)
def test_a_contract_that_means_nothing_is_refused_before_anything_is_read(contract: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_dataset(dataset(c=contract).model_copy(update={"reader": own_reader()}), OWN_SOURCE)


def test_a_reader_of_single_cells_is_refused_for_lists() -> None:
    with pytest.raises(ConfigurationError, match=r"c\.dtype=float_list: reader Delimited reads single cells"):
        check_dataset(dataset(c=CONTRACTS["series"]), OWN_SOURCE)


def test_types_of_fields_are_code_that_a_data_set_reaches() -> None:
    found = {*targets({"columns": {"dtype": {"dtype": "struct_list", "fields": {"x": {"dtype": "float"}}}}})}
    kinds = {"struct_list.StructList", "float.Float"}
    assert found == {f"headframe.datasets.column_types.{kind}" for kind in kinds}


def test_a_float_tensor_keeps_every_bit_but_the_sign_of_zero() -> None:
    contract = ColumnContract.model_validate(CONTRACTS["float32"])
    schema = contract_schema({"c": contract})
    values = np.array([[1 / 3, 2e-40], [np.float32(1e38), -1]], np.float32)
    assert np.array_equal(to_table({"c": values}, schema)["c"].combine_chunks().to_numpy_ndarray(), values)


def own_reader() -> Any:
    """A reader whose source is not found, so that nothing is known of it."""
    reader = dataset(c=CONTRACTS["series"]).reader
    return reader.model_copy(update={"target": "headframe.datasets.readers.base.Reader"})
