"""Readers of baskets and of NumPy's archives: what they read, reject with a reason, and refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headframe.config.plan.data import ColumnContract
from headframe.datasets.readers.base import ReadBatch, Reader
from headframe.datasets.readers.baskets import Baskets
from headframe.datasets.readers.npz import BATCH_NUMBERS, Npz
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


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="array 'X' cannot be read: File is not a zip file"):
        read(Npz(arrays=ARRAYS), tmp_path / "rows.npz", CELLS)
