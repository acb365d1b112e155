"""What makes two rows equal."""

import datetime
import hashlib
import struct
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headframe.datasets.hashing import content_hashes, content_numbers
from headframe.datasets.table_writer import OccurrenceCounter

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def table(rows: list[tuple[object, ...]]) -> pa.Table:
    a, b, x = zip(*rows, strict=True)
    return pa.table({"a": pa.array(a, pa.string()), "b": pa.array(b, pa.string()), "x": pa.array(x, pa.float64())})


@given(st.lists(st.tuples(TEXTS | st.none(), TEXTS | st.none(), st.sampled_from([0.0, -0.0, 1.5, None])), min_size=1))
def test_equal_inputs_are_equal_contents_and_no_others(rows: list[tuple[object, ...]]) -> None:
    got = content_hashes(table(rows), ["a", "b", "x"])
    for content, row in zip(got, rows, strict=True):
        assert [other == content for other in got] == [other == row for other in rows]


def test_neither_names_order_nor_batches_nor_chunks_change_a_content() -> None:
    rows = table([("a", "", 1.0), ("", "a", 1.0), ("a", None, None)])
    whole = content_hashes(rows, ["a", "b", "x"])
    assert content_hashes(rows, ["x", "b", "a"]) == whole
    assert [content_hashes(rows.slice(at, 1), ["a", "b", "x"])[0] for at in range(3)] == whole
    assert content_hashes(pa.concat_tables([rows.slice(2), rows.slice(0, 2)]), ["a", "b", "x"]) == [
        whole[2],
        *whole[:2],
    ]
    assert content_numbers(pa.chunked_array([whole])).tolist() == [int(content, 16) for content in whole]


def test_a_content_is_the_sha256_that_anybody_can_work_out() -> None:
    rows = pa.table({"n": pa.array([7], pa.int64()), "s": ["é"]})
    cell_bytes = b"\1" + struct.pack("<q", 7) + b"\1" + struct.pack("<q", 2) + "é".encode()
    assert content_hashes(rows, ["n", "s"]) == [hashlib.sha256(cell_bytes).hexdigest()[:16]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([True, None]), pa.array([False, True])),
        (pa.array([1, None]), pa.array([0, 1])),
        (pa.array([datetime.datetime(2020, 1, 1), None]), pa.array([datetime.datetime(2020, 1, 2)] * 2)),  # noqa: DTZ001
        (pa.array([["a"], ["a", "b"]]), pa.array([["a", ""], ["ab"]])),
    ],
)
def test_every_type_is_told_apart(one: pa.Array, other: pa.Array) -> None:
    first, second = (content_hashes(pa.table({"c": column}), ["c"]) for column in (one, other))
    values = [str(value) for value in one.to_pylist() + other.to_pylist()]
    assert len({*first, *second}) == len({*values})


def test_tensors_count_by_their_bytes() -> None:
    images = np.zeros((3, 2, 2), np.uint8)
    images[2, 1, 1] = 1
    got = content_hashes(pa.table({"i": pa.FixedShapeTensorArray.from_numpy_ndarray(images)}), ["i"])
    assert got[0] == got[1] != got[2]


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=9), max_size=9))
def test_repetitions_are_numbered_as_a_plain_count_does(parts: list[list[int]]) -> None:
    seen: Counter[int] = Counter()
    counting = OccurrenceCounter()
    for part in parts:
        expected = []
        for value in part:
            expected.append(seen[value])
            seen[value] += 1
        assert counting.count_earlier([f"{value:016x}" for value in part]).tolist() == expected


@pytest.mark.parametrize("one", [1, "a", 0.5, True, ["a"]])
def test_no_row_has_no_content(one: object) -> None:
    """Evaluation reads the contents of a split, which may have no rows."""
    assert content_hashes(pa.table({"x": pa.array([one])}).slice(1), ["x"]) == []


def test_no_image_has_no_content() -> None:
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 3, 3), np.uint8))
    assert content_hashes(pa.table({"x": images}).slice(1), ["x"]) == []
