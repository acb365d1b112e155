"""The bytes that digests of rows are made of, put together by hand, and what is said of files that end too soon."""

import errno
import gzip
import hashlib
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from headframe.datasets.hashing import content_hashes, update_digest
from headframe.datasets.ingest import readable_write_errors
from headframe.datasets.readers.base import RejectedRow
from headframe.datasets.readers.idx import _header
from headframe.datasets.readers.lines import Row, first_row, rows_of
from headframe.errors import DataError, HeadframeError

COLUMNS = {
    "n": (pa.array([7, None, -1], pa.int64()), [(1, "<q", 7), (0, "<q", 0), (1, "<q", -1)], b""),
    "x": (pa.array([1.5, -0.0, None], pa.float64()), [(1, "<d", 1.5), (1, "<d", 0.0), (0, "<d", 0.0)], b""),
    "b": (pa.array([True, None, False]), [(1, "<B", 1), (0, "<B", 0), (1, "<B", 0)], b""),
    "s": (pa.array(["é", None, ""]), [(1, "<q", 2), (0, "<q", 0), (1, "<q", 0)], "é".encode()),
}
"""Of each column: its values, whether each is there and its value or length, and the texts one after the other."""


def cell(there: int, form: str, value: float) -> bytes:
    return bytes([there]) + struct.pack(form, value)


def test_a_digest_of_a_block_is_that_of_its_columns_one_after_the_other() -> None:
    rows = pa.table({name: column for name, (column, _, _) in COLUMNS.items()})
    state, expected = hashlib.sha256(), b""
    update_digest(state, rows)
    for _, cells, text in COLUMNS.values():
        expected += b"".join(cell(*each) for each in cells) + text
    assert state.hexdigest() == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_content_of_one_column_is_made_of_its_cell(name: str) -> None:
    column, cells, _ = COLUMNS[name]
    texts = ["é".encode(), b"", b""] if name == "s" else [b""] * 3
    expected = [hashlib.sha256(cell(*each) + text).hexdigest()[:16] for each, text in zip(cells, texts, strict=True)]
    assert content_hashes(pa.table({name: column}), [name]) == expected


NESTED = {
    "texts": (pa.list_(pa.string()), [["a", "b"], None, [], ["ab"], ["a", None], ["a", ""], [None], ["b", "a"]]),
    "numbers": (pa.list_(pa.int64()), [[1, 2], None, [], [1], [2, 1], [None], [0]]),
    "pairs": (
        pa.struct({"a": pa.string(), "b": pa.string(), "n": pa.int64()}),
        [
            {"a": "x", "b": "yz"},
            {"a": "xy", "b": "z"},
            {"a": "xyz", "b": ""},
            {"a": "xyz"},
            {"n": 1},
            None,
            {"n": None},
        ],
    ),
    "named": (
        pa.struct({"a": pa.string(), "n": pa.int64()}),
        [{"a": "x", "n": 1}, {"a": "x"}, {"a": "", "n": 1}, None],
    ),
    "lists": (pa.list_(pa.struct({"a": pa.string()})), [[{"a": "x"}, {"a": "y"}], [{"a": "xy"}], [None], None, []]),
}
"""Cells of which no two are equal, where bytes put side by side could make them so."""


@pytest.mark.parametrize("name", NESTED)
def test_nested_cells_have_equal_contents_where_they_are_equal_whatever_lies_around_them(name: str) -> None:
    kind, cells = NESTED[name]
    rows = pa.table({name: pa.array([*cells, *cells], kind)})
    found = content_hashes(rows, [name])
    assert found[: len(cells)] == found[len(cells) :]
    assert len(set(found)) == len(cells)
    assert found == [content_hashes(rows.slice(row, 1), [name])[0] for row in range(rows.num_rows)]


@pytest.mark.parametrize(
    ("one", "other"),
    [(["ab", "c"], ["a", "bc"]), (["ab"], ["ba"]), (["a", None], ["a", ""]), ([""], [None]), ([1.0], [2.0])],
)
def test_other_rows_have_another_digest(one: list[object], other: list[object]) -> None:
    found = []
    for values in (one, other):
        state = hashlib.sha256()
        kind = pa.float64() if isinstance(values[0], float) else pa.string()
        update_digest(state, pa.table({"c": pa.array(values, kind)}))
        found.append(state.hexdigest())
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (OSError(errno.ENOSPC, "No space left"), "PLACE"),
        (OSError(errno.EACCES, "Permission denied", "/one"), "/one"),
        (OSError(errno.EACCES, "Permission denied", "/one", None, "/two"), "/two"),
    ],
)
def test_what_cannot_be_written_is_named_as_exactly_as_the_system_does(
    error: OSError, where: str, tmp_path: Path
) -> None:
    with pytest.raises(HeadframeError) as raised, readable_write_errors(tmp_path):
        raise error
    place = tmp_path if where == "PLACE" else where
    assert str(raised.value) == f"{tmp_path} cannot be written: {error.strerror} ({place}); nothing was changed"
    with pytest.raises(HeadframeError, match="lies on another file system"), readable_write_errors(tmp_path):
        raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("cut", range(12))
def test_an_array_that_ends_within_its_header_is_named(cut: int, tmp_path: Path) -> None:
    whole = struct.pack(">BBBBii", 0, 0, 8, 2, 3, 4)
    file = tmp_path / "images.gz"
    file.write_bytes(gzip.compress(whole[:cut]))
    words = "ends within its header; get it again" if cut >= 4 else "is no IDX file of unsigned bytes"
    with gzip.open(file) as stream, pytest.raises(DataError, match=words) as raised:
        _header(file, stream)
    assert str(raised.value).startswith(str(file))


def test_an_array_s_header_is_its_sizes(tmp_path: Path) -> None:
    file = tmp_path / "images"
    file.write_bytes(struct.pack(">BBBBiiB", 0, 0, 8, 2, 3, 4, 255))
    with file.open("rb") as stream:
        assert _header(file, stream) == (3, 4)
        assert stream.read() == b"\xff"
    for start in (b"\x01\x00\x08\x01", b"\x00\x01\x08\x01", b"\x00\x00\x09\x01"):
        file.write_bytes(start + bytes(8))
        with file.open("rb") as stream, pytest.raises(DataError, match=f"it begins with {start.hex(' ')}"):
            _header(file, stream)


def test_a_row_that_cannot_be_read_is_the_first_and_a_blank_line_is_not(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    for content, kind in ((b"\n\xff,1\n2,3\n", RejectedRow), (b"\n \n2,3\n", Row), (b"\n\n", type(None))):
        file.write_bytes(content)
        found = first_row(rows_of("s", file, ",", quoted=False))
        assert type(found) is kind
        if isinstance(found, Row):
            assert found.cells in (["2", "3"], [" "])
