"""Readers of baskets and of NumPy's archives: what they read, reject with a reason, and refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headframe.config.plan.data import ColumnContract
from headframe.datasets.readers.base import ReadBatch, Reader
from headframe.datasets.readers.baskets import Baskets
from headframe.datasets.readers.npz import BATCH_NUMBERS, Npz
from headframe.datasets.readers.parquet import Parquet
from headframe.datasets.schema import contract_schema
from headframe.errors import DataError

ITEMS = contract_schema({"items": ColumnContract(dtype="list")})
CELLS = contract_schema(
    {
        "a": ColumnContract(dtype="float"),
        "b": ColumnContract(dtype="float", nullable=True),
        "y": ColumnContract(dtype="int"),
    }
)
ARRAYS = {"X": ("a", "b"), "y": ("y",)}


def read(reader: Reader, file: Path, schema: pa.Schema) -> tuple[list[Any], list[tuple[int, str]]]:
    batches: list[ReadBatch] = [*reader.read({"rows": file}, schema)]
    rows = pa.Table.from_batches([batch.rows for batch in batches], schema).to_pylist()
    return rows, [(each.position, each.reason) for batch in batches for each in batch.rejected]


@pytest.mark.parametrize(
    ("reader", "text", "baskets", "rejected"),
    [
        (Baskets(), "milk, soap ,milk\n\n小麦\n", [["milk", "soap", "milk"], ["小麦"]], []),
        (Baskets(), "milk,,soap\nmilk\nsoap,\n", [["milk"]], [(1, "holds an empty item"), (3, "holds an empty item")]),
        (Baskets(delimiter=" "), "1 2  30 \n\n 4\n", [["1", "2", "30"], ["4"]], []),
        (Baskets(quoted=True), '"salt, fine",milk\n', [["salt, fine", "milk"]], []),
        (Baskets(), b"a,b\n\xff,c\n", [["a", "b"]], [(2, "is not UTF-8 text")]),
    ],
)
def test_a_line_is_a_basket(tmp_path: Path, reader: Baskets, text: str | bytes, baskets: Any, rejected: Any) -> None:
    file = tmp_path / "baskets.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    rows, found = read(reader, file, ITEMS)
    assert [row["items"] for row in rows] == baskets
    assert found == rejected


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_side_by_side_whatever_their_order(tmp_path: Path, order: Any) -> None:
    values = np.arange(2.0 * BATCH_NUMBERS).reshape(-1, 2)
    labels = np.arange(len(values), dtype=np.int16)
    file = npz(tmp_path, X=np.asarray(values, order=order), y=labels % 7)
    batches = [*Npz(arrays=ARRAYS).read({"rows": file}, CELLS)]
    assert len(batches) > 2
    table = pa.Table.from_batches([batch.rows for batch in batches])
    assert np.array_equal(np.stack([table["a"], table["b"]], axis=1), values)
    assert table["y"].to_pylist() == (labels % 7).tolist()


def test_a_row_without_a_number_is_rejected_unless_it_may_miss(tmp_path: Path) -> None:
    values = np.array([[1, np.nan], [np.nan, 2], [3, np.inf], [4, 5]])
    rows, rejected = read(Npz(arrays=ARRAYS), npz(tmp_path, X=values, y=np.array([0.0, 1, 0, 1])), CELLS)
    assert rows == [{"a": 1.0, "b": None, "y": 0}, {"a": 4.0, "b": 5.0, "y": 1}]
    assert rejected == [
        (2, "column 'a' holds nan, which is no finite number"),
        (3, "column 'b' holds inf, which is no finite number"),
    ]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": np.ones((3, 2))}, "has no array 'y'; it has X"),
        ({"X": np.ones((3, 2)), "y": np.ones(2)}, "need as many rows each, but X has 3, y has 2"),
        ({"X": np.ones((3, 4)), "y": np.ones(3)}, "array 'X' has 4 columns, but reader.arrays names 2"),
        ({"X": np.array([[1, "a"], [2, None]], object), "y": np.ones(2)}, "array 'X' cannot be read: .*Python objects"),
        ({"X": np.ones((2, 2)), "y": np.array([0.5, 1])}, "column 'y' holds 0.5 and the like, but int64 was expected"),
    ],
)
def test_arrays_that_are_no_table_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(Npz(arrays=ARRAYS), npz(tmp_path, **arrays), CELLS)


def test_an_array_of_more_axes_fills_tensors_of_any_number(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.float64).reshape(3, 2, 4)
    images[1, 0, 0] = np.nan
    columns = contract_schema({
        "image": ColumnContract(dtype="tensor", shape=(2, 4, 1), values="float32"), "y": ColumnContract(dtype="int"),
    })  # fmt: skip
    reader = Npz(arrays={"images": ("image",), "labels": ("y",)})
    file = npz(tmp_path, images=images, labels=np.arange(3))
    (batch,) = reader.read({"rows": file}, columns)
    assert np.array_equal(batch.rows.column(0).to_numpy_ndarray()[..., 0], images[[0, 2]])
    assert batch.rows.column(1).to_pylist() == [0, 2]
    assert [(each.position, each.reason) for each in batch.rejected] == [
        (2, "column 'image' holds nan, which is no finite number")
    ]
    with pytest.raises(DataError, match=r"array 'images' holds cells of \(4, 2\), but the contract has \(2, 4, 1\)"):
        [*reader.read({"rows": npz(tmp_path, images=np.ones((3, 4, 2)), labels=np.arange(3))}, columns)]


PARQUET = contract_schema(
    {
        "s": ColumnContract(dtype="string"),
        "x": ColumnContract(dtype="float", nullable=True),
        "l": ColumnContract(dtype="float_list"),
        "b": ColumnContract.model_validate({"dtype": "struct_list", "fields": {"x": {"dtype": "int"}}}),
        "t": ColumnContract(dtype="tensor", shape=(2,), values="int16"),
        "i": ColumnContract(dtype="encoded_image"),
    }
)


def parquet(folder: Path, **columns: Any) -> Path:
    rows = {"s": ["a"], "x": [1], "l": [[1.5, 2.5]], "b": [[{"x": 7}]], "t": [[1, 2]], "i": [b"x"], "more": [0]}
    length = len(next(iter(columns.values()))) if columns else 1
    pq.write_table(pa.table({name: cells * length for name, cells in rows.items()} | columns), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_parquet_holds_columns_of_every_type(tmp_path: Path) -> None:
    expected = {"s": "a", "x": 1.0, "l": [1.5, 2.5], "b": [{"x": 7}], "t": [1, 2], "i": b"x"}
    rows, rejected = read(Parquet(), parquet(tmp_path), PARQUET)
    assert (rows, rejected) == ([expected], [])
    narrow = pa.array([[{"x": 7}]], pa.large_list(pa.struct([("x", pa.int8())])))
    words = pa.array(["a"]).dictionary_encode()
    file = parquet(tmp_path, s=words, l=pa.array([[1.5, 2.5]], pa.list_(pa.float32(), 2)), b=narrow)
    assert read(Parquet(), file, PARQUET) == ([expected], [])
    stored = Parquet().read({"rows": file}, PARQUET)
    pq.write_table(pa.Table.from_batches([batch.rows for batch in stored]), tmp_path / "own.parquet")
    assert read(Parquet(), tmp_path / "own.parquet", PARQUET) == ([expected], [])
    rows, rejected = read(Parquet(), parquet(tmp_path, s=["a", None], x=[float("nan"), 2.0]), PARQUET)
    assert (rows, rejected) == ([{**expected, "x": None}], [(2, "column 's' holds no value")])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"s": [1]}, "column 's' holds int64, but string was expected"),
        ({"x": ["1"]}, "column 'x' holds string, but double was expected"),
        ({"l": [["1"]]}, "column 'l' holds list<.*string>, but list<.*double> was expected"),
        ({"b": [[{"y": 7}]]}, "column 'b' holds list<.*> was expected"),
        ({"t": [[1, 2, 3]]}, "column 't' holds list<.*> was expected: .*size"),
        ({"t": [[1, 2**20]]}, "column 't' holds list<.*> was expected: Integer value 1048576 not in range"),
    ],
)
def test_a_column_of_another_kind_is_refused(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(Parquet(), parquet(tmp_path, **columns), PARQUET)


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    file = parquet(tmp_path)
    with pytest.raises(DataError, match="has no column 'z'; it has s, x, l, b, t, i, more"):
        read(Parquet(), file, contract_schema({"z": ColumnContract(dtype="int")}))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="is no Parquet file that can be read"):
        read(Parquet(), file, PARQUET)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="array 'X' cannot be read: File is not a zip file"):
        read(Npz(arrays=ARRAYS), tmp_path / "rows.npz", CELLS)
