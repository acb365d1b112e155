"""Noise that a row's seed decides, and the numbers that make seeds of rows."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headframe.datasets.readers.numbered_idx import NumberedIdx
from headframe.errors import DataError, RowError
from headframe.features.noise import Noise

SEEDS = [7, 0, 7, 2**40, -1, 8]


def fitted(**settings: object) -> Noise:
    encoder = Noise(**settings)
    encoder.fit(pa.table({"seed": SEEDS, "other": range(6)}), ("seed", "other"))
    return encoder


def test_noise_depends_on_the_seed_alone_wherever_the_row_is() -> None:
    encoder = fitted(size=5, columns=["seed"])
    rows = pa.table({"seed": SEEDS})
    found = encoder.encode(rows)
    assert (found.dtype, found.shape) == (np.float32, (6, 5))
    assert (found[0] == found[2]).all()
    assert len(np.unique(found, axis=0)) == 5
    order = [3, 1, 5, 0, 2, 4]
    assert (encoder.encode(rows.take(order)) == found[order]).all()
    for place in range(6):
        np.random.seed(place)  # noqa: NPY002 - state of the process, which must not matter
        assert (encoder.encode(rows.slice(place, 1))[0] == found[place]).all()
    again = Noise(size=5)
    again.restore(encoder.state())
    assert (again.encode(rows) == found).all()


def test_noise_is_normal_and_of_several_numbers_all_count() -> None:
    found = fitted(size=8).encode(pa.table({"seed": range(5000), "other": [1] * 5000}))
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 1) < 0.02
    assert np.abs(np.corrcoef(found.T) - np.eye(8)).max() < 0.06
    other = fitted(size=8).encode(pa.table({"seed": [0, 0], "other": [1, 2]}))
    assert (other[0] == found[0]).all()
    assert (other[1] != found[0]).all()


def test_a_seed_that_is_no_whole_number_is_refused_in_a_sentence() -> None:
    encoder = fitted(columns=["seed"])
    with pytest.raises(DataError, match="column 'seed' holds double, but whole numbers were expected as seeds"):
        encoder.encode(pa.table({"seed": [1.5]}))
    with pytest.raises(RowError, match="column 'seed' has no seed in row 2; every row needs one"):
        encoder.encode(pa.table({"seed": [1, None]}))


def idx(file: Path, values: np.ndarray) -> Path:
    header = struct.pack(f">HBB{values.ndim}i", 0, 8, values.ndim, *values.shape)
    file.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))
    return file


def test_rows_are_numbered_across_files_and_keep_what_they_hold(tmp_path: Path) -> None:
    pixels = np.arange(6 * 4).reshape(6, 2, 2)
    files = {
        "a": idx(tmp_path / "a", pixels[:3]),
        "b": idx(tmp_path / "b", np.arange(3)),
        "c": idx(tmp_path / "c", pixels[3:5]),
        "d": idx(tmp_path / "d", np.arange(2)),
        "e": idx(tmp_path / "e", pixels[5:]),
        "f": idx(tmp_path / "f", np.arange(1)),
    }
    reader = NumberedIdx(parts={"train": ("a", "b"), "test": ("c", "d"), "new": ("e", "f")}, number="seed")
    schema = pa.schema(
        {
            "image": pa.fixed_shape_tensor(pa.uint8(), [2, 2, 1]),
            "seed": pa.int64(),
            "label": pa.int64(),
            "part": pa.string(),
        }
    )
    rows = pa.Table.from_batches([batch.rows for batch in reader.read(files, schema)])
    assert rows.schema == schema
    assert rows["seed"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert rows["label"].to_pylist() == [0, 1, 2, 0, 1, 0]
    assert rows["part"].to_pylist() == ["train"] * 3 + ["test"] * 2 + ["new"]
    assert (rows["image"].combine_chunks().to_numpy_ndarray()[..., 0] == pixels).all()
    with pytest.raises(DataError, match=r"reader\.number=seed is no column of the contract, which has image, label"):
        list(reader.read(files, schema.remove(1)))
