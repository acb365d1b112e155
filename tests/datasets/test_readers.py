"""Readers against the standard library and NumPy, and what they refuse."""

import csv
import gzip
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.datasets.readers import base, lines
from headframe.datasets.readers.base import ReadBatch, RejectedRow
from headframe.datasets.readers.delimited import Delimited
from headframe.datasets.readers.idx import Idx
from headframe.datasets.readers.pixel_rows import PixelRows
from headframe.datasets.readers.side_by_side import SideBySide
from headframe.datasets.schema import contract_schema
from headframe.errors import ConfigurationError, DataError

TEXT = contract_schema({"a": ColumnContract(dtype="string"), "b": ColumnContract(dtype="string")})
MIXED = contract_schema(
    {
        "i": ColumnContract(dtype="int"),
        "f": ColumnContract(dtype="float"),
        "n": ColumnContract(dtype="float", nullable=True),
        "t": ColumnContract(dtype="timestamp"),
        "b": ColumnContract(dtype="bool"),
    }
)
GOOD = "1,0.5,,2020-01-01 00:00:00,true"
IMAGE = contract_schema(
    {"image": ColumnContract(dtype="tensor", shape=(2, 3, 1)), "digit": ColumnContract(dtype="int")}
)


def gathered(batches: Iterable[ReadBatch]) -> tuple[list[dict[str, Any]], list[RejectedRow]]:
    batches = list(batches)
    return [row for one in batches for row in one.rows.to_pylist()], [row for one in batches for row in one.rejected]


def read(tmp_path: Path, text: str | bytes, schema: pa.Schema, **settings: Any) -> tuple[list[Any], list[RejectedRow]]:
    file = tmp_path / "raw.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return gathered(Delimited(**settings).read({"raw": file}, schema))


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), min_size=1)] * 2), min_size=1))
def test_quoted_text_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    file = tmp_path_factory.mktemp("quoted") / "raw.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    came, refused = gathered(Delimited().read({"raw": file}, TEXT))
    assert [(row["a"], row["b"]) for row in came] == rows
    assert not refused


def test_unquoted_text_keeps_quotation_marks_emoji_and_strange_line_separators(tmp_path: Path) -> None:
    came, refused = read(
        tmp_path, 'say "hi\tx\u2028y\n😀\t" \r\n', TEXT, delimiter="\t", columns=("a", "b"), quoted=False
    )
    assert came == [{"a": 'say "hi', "b": "x\u2028y"}, {"a": "😀", "b": '" '}]
    assert not refused


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1.5,0.5,,2020-01-01,true", "column 'i' holds '1.5', which is no whole number"),
        (f"{2**63},0.5,,2020-01-01,true", f"column 'i' holds '{2**63}', which is no whole number that 64 bits hold"),
        ("1,half,,2020-01-01,true", "column 'f' holds 'half', which is no number"),
        ("1,0.5,,2020-01-01,maybe", "holds 'maybe', which is no truth value (true or false)"),
        ("one,0.5,,2020-01-01,true", "column 'i' holds 'one'"),
        ("1,nan,,2020-01-01,true", "column 'f' holds 'nan', which is no finite number"),
        ("1,inf,,2020-01-01,true", "column 'f' holds 'inf', which is no finite number"),
        ("1,0.5,-inf,2020-01-01,true", "column 'n' holds '-inf', which is no finite number"),
        ("1,,,2020-01-01,true", "column 'f' holds no value"),
        ("1,0.5,,yesterday,true", "column 't' holds 'yesterday'"),
        ("1,0.5,,2020-01-01,perhaps", "column 'b' holds 'perhaps'"),
        ("1,0.5", "has 2 cells where 5 were expected"),
    ],
)
def test_a_row_that_cannot_be_read_is_rejected_with_its_line_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    came, refused = read(tmp_path, f"i,f,n,t,b\n{GOOD}\n{line}\n{GOOD}\n", MIXED)
    assert len(came) == 2
    assert [(one.source, one.position, one.raw) for one in refused] == [("raw", 3, line)]
    assert reason in refused[0].reason


def test_nan_in_a_column_that_may_miss_values_is_a_missing_value(tmp_path: Path) -> None:
    came, refused = read(tmp_path, "i,f,n,t,b\n1,0.5,nan,2020-01-01,true\n", MIXED)
    assert came[0]["n"] is None
    assert not refused


def test_bytes_that_are_no_text_spoil_their_own_row_only(tmp_path: Path) -> None:
    came, refused = read(tmp_path, b"a,b\nfine,1\nb\xffd,2\nalso,3\n", TEXT)
    assert [row["a"] for row in came] == ["fine", "also"]
    assert (refused[0].position, refused[0].raw) == (3, "b\\xffd,2")


def test_comments_blanks_missing_spellings_endings_and_parts(tmp_path: Path) -> None:
    for name, text in {"one": "x, yes\n\n?, no\n", "two": "|comment, x\nz, yes.\n"}.items():
        (tmp_path / name).write_text(text)
    reader = Delimited(
        columns=("a", "b"), quoted=False, trim=True, missing=("?",), comment="|", endings={"b": "."},
        parts={"one": "train", "two": "test"},
    )  # fmt: skip
    columns = {
        "a": ColumnContract(dtype="string", nullable=True),
        "b": ColumnContract(dtype="string"),
        "part": ColumnContract(dtype="string"),
    }
    came, refused = gathered(reader.read({n: tmp_path / n for n in ("one", "two")}, contract_schema(columns)))
    assert not refused
    assert [tuple(row.values()) for row in came] == [("x", "yes", "train"), (None, "no", "train"), ("z", "yes", "test")]


def test_a_missing_column_names_what_came_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'b' is missing; came: a, c; expected: a, b"):
        read(tmp_path, "a,c\n1,2\n", TEXT)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 columns 'b'; give each a name of its own"):
        read(tmp_path, "a,b,b\n1,2,3\n", TEXT)


def test_an_empty_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw\.txt is empty"):
        read(tmp_path, "", TEXT)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_another_encoding_is_called_what_it_is(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw\.txt is text in UTF-16 or UTF-32; save it as UTF-8"):
        read(tmp_path, "a,b\nx,1\n".encode(encoding), TEXT)


@pytest.mark.parametrize("quoted", [True, False])
def test_lines_end_with_a_line_feed_and_a_carriage_return_alone_is_refused(quoted: bool, tmp_path: Path) -> None:
    text = "a,b\r\nx\x0b\x0c\x1c\x85\u2028\u2029y,1\r\none\rtwo,1\nz,1\r"
    came, refused = read(tmp_path, text, TEXT, quoted=quoted)
    assert came == [{"a": "x\x0b\x0c\x1c\x85\u2028\u2029y", "b": "1"}, {"a": "z", "b": "1"}]
    assert [(row.position, row.reason[:41]) for row in refused] == [(3, "holds a carriage return without a line fe")]
    with pytest.raises(DataError, match=r"raw\.txt: line 1 holds a carriage return without a line feed"):
        read(tmp_path, "a,b\rx,1\r", TEXT, quoted=quoted)
    if quoted:
        with pytest.raises(DataError, match=r"raw\.txt: line 1 holds a carriage return without a line feed"):
            read(tmp_path, 'a,b\rx,1\r"y",1\r', TEXT)


def test_a_carriage_return_within_quotes_is_text(tmp_path: Path) -> None:
    came, refused = read(tmp_path, 'a,b\n"x\ry",1\n"x\r\ny",2\n"x"\r,3\n', TEXT)
    assert [row["a"] for row in came] == ["x\ry", "x\r\ny"]
    assert [row.position for row in refused] == [5]


def test_a_gzip_file_cut_short_is_said(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" + np.random.default_rng(0).bytes(2000).hex().encode() + b",1\n")
    assert read(tmp_path, packed, TEXT)[0][0]["b"] == "1"
    with pytest.raises(DataError, match="no whole gzip file"):
        read(tmp_path, packed[:-200], TEXT)


def test_pixels_become_images_and_labels(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(
        "0,1,2,3,4,5,7\n9,9,9,9,9,256,1\n1,2\n0,0,0,0,0,0.5,1\n0,0,0,0,0,nan,1\n5,4,3,2,1,0,8\n"
    )
    batches = list(PixelRows(label="digit").read({"x": tmp_path / "x"}, IMAGE))
    images = np.concatenate([batch.rows.column("image").to_numpy_ndarray() for batch in batches])
    assert images.tolist() == np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]]).reshape(2, 2, 3, 1).tolist()
    assert [row for batch in batches for row in batch.rows.column("digit").to_pylist()] == [7, 8]
    assert [one.position for batch in batches for one in batch.rejected] == [2, 3, 4, 5]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def _announcing(entries: int, content: bytes) -> bytes:
    return content[:4] + struct.pack(">i", entries) + content[8:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images, labels: (images[:-1], labels), "ends 1 bytes too early"),
        (lambda images, labels: (images + b"x", labels), "goes on after the 4 entries"),
        (lambda images, labels: (b"PNG" + images, labels), "is no IDX file"),
        (lambda images, labels: (images, idx(np.zeros(3))), "holds 4 images"),
        (lambda images, labels: (labels, images), r"/i holds labels, and .*/l images of \(2, 3\); name them the other"),
        (lambda images, labels: (_announcing(5, images), labels), "/i ends 6 bytes too early"),
        (lambda images, labels: (images, _announcing(5, labels)), "/l ends 1 bytes too early"),
        (lambda images, labels: (images, _announcing(3, labels)), "/l goes on after the 3 entries"),
        (lambda images, labels: (_announcing(-1, images), labels), r"/i announces an array of \(-1, 2, 3\) entries"),
        (lambda images, labels: (images, b"\0\0\x08\0"), r"/l announces an array of \(\) entries"),
        (lambda images, labels: (idx(np.zeros((4, 3, 3))), labels), r"images of \(3, 3\)"),
        (lambda images, labels: (idx(np.zeros((4, 3, 2))), labels), r"images of \(3, 2\)"),
        (lambda images, labels: (idx(np.zeros((4, 6))), labels), r"images of \(6,\)"),
        (lambda images, labels: (idx(np.zeros((4, 1, 2, 3))), labels), r"images of \(1, 2, 3\)"),
    ],
)
def test_idx_files_that_do_not_fit_are_refused(tmp_path: Path, spoil: Callable[..., Any], message: str) -> None:
    images = np.arange(24).reshape(4, 2, 3)
    schema = pa.schema([*IMAGE, pa.field("part", pa.string(), nullable=False)])
    reader = Idx(parts={"train": ("i", "l")}, label="digit")

    def write(*contents: bytes) -> dict[str, Path]:
        for name, content in zip("il", contents, strict=True):
            (tmp_path / name).write_bytes(content)
        return {name: tmp_path / name for name in "il"}

    good = (idx(images), idx(np.arange(4)))
    (batch,) = reader.read(write(*good), schema)
    assert (batch.rows.column("image").to_numpy_ndarray()[..., 0] == images).all()
    with pytest.raises(DataError, match=message):
        list(reader.read(write(*spoil(*good)), schema))


@pytest.mark.parametrize("cut", ["i", "l"])
def test_of_two_files_the_one_that_is_cut_short_is_blamed(tmp_path: Path, cut: str) -> None:
    random = np.random.default_rng(0)
    contents = {"i": idx(random.integers(0, 256, (600, 2, 3))), "l": idx(random.integers(0, 10, 600))}
    for name, content in contents.items():
        packed = gzip.compress(content)
        (tmp_path / name).write_bytes(packed[:-100] if name == cut else packed)
    schema = pa.schema([*IMAGE, pa.field("part", pa.string(), nullable=False)])
    with pytest.raises(DataError, match=rf"/{cut} is no whole gzip file"):
        list(Idx(parts={"train": ("i", "l")}, label="digit").read({name: tmp_path / name for name in "il"}, schema))


@pytest.mark.parametrize("dtype", sorted({"bool", "float", "int", "list", "string", "timestamp"}))
def test_no_type_of_label_or_cell_ends_in_a_traceback(tmp_path: Path, dtype: str) -> None:
    """Whatever a schema asks for, cells are read, rejected, or refused in a sentence."""
    (tmp_path / "i").write_bytes(idx(np.arange(24).reshape(4, 2, 3)))
    (tmp_path / "l").write_bytes(idx(np.arange(4)))
    (tmp_path / "x").write_text("0,1,2,3,4,5,7\n")
    (tmp_path / "t").write_text("digit\n1\nred\n")
    (tmp_path / "o").write_text("other\n1\n2\n")
    files = {name: tmp_path / name for name in "il"}
    label = contract_schema({"digit": ColumnContract(dtype=dtype)})
    schema, part = pa.schema([IMAGE.field("image"), *label]), pa.field("part", pa.string())
    readings = {
        "idx": lambda: Idx(parts={"train": ("i", "l")}, label="digit").read(files, pa.schema([*schema, part])),
        "pixels": lambda: PixelRows(label="digit").read({"x": tmp_path / "x"}, schema),
        "text": lambda: Delimited().read({"t": tmp_path / "t"}, label),
        "part": lambda: Delimited(parts={"o": "train"}, part="digit").read({"o": tmp_path / "o"}, label),
    }
    outcomes: dict[str, Any] = {}
    for name, reading in readings.items():
        try:
            outcomes[name] = sum(batch.rows.num_rows + len(batch.rejected) for batch in reading())
        except (DataError, ConfigurationError) as error:
            advice = ("give it another dtype in dataset.contract", "make it a string")
            outcomes[name] = "refused" if str(error).endswith(advice) else str(error)
    expected = {"idx": 4, "pixels": 1, "text": 2, "part": 2}
    assert all(outcomes[name] in ("refused", rows) for name, rows in expected.items()), outcomes
    assert outcomes["text"] == ("refused" if dtype == "list" else 2)


def test_mnist_is_what_numpy_reads(raw_data: Callable[[str], Path], shipped: Callable[[str], DatasetConfig]) -> None:
    mirror = raw_data("mnist")
    sources = shipped("mnist").sources
    files = {name: mirror / sources[name].uri.removeprefix("file:") for name in ("test_images", "test_labels")}
    reader = Idx(parts={"test": ("test_images", "test_labels")}, label="digit")
    schema = contract_schema(shipped("mnist").contract.columns)
    batches = [batch.rows for batch in reader.read(files, schema)]
    with gzip.open(files["test_images"]) as stream:
        expected = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    assert (np.concatenate([batch.column("image").to_numpy_ndarray() for batch in batches]) == expected).all()
    assert {value for batch in batches for value in batch.column("part").to_pylist()} == {"test"}


def side_by_side(
    tmp_path: Path, left: str | bytes, right: str | bytes, **settings: Any
) -> tuple[list[Any], list[RejectedRow]]:
    for name, content in {"left": left, "right": right}.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    schema = contract_schema({name: ColumnContract(dtype="int") for name in ("a", "b", "c")})
    return gathered(SideBySide(**settings).read({name: tmp_path / name for name in ("left", "right")}, schema))


def test_files_beside_each_other_are_read_as_one(tmp_path: Path) -> None:
    came, refused = side_by_side(tmp_path, "a,b\n1,2\n\n3,4\n", gzip.compress(b"c\n5\n\n6\n"))
    assert [tuple(row.values()) for row in came] == [(1, 2, 5), (3, 4, 6)]
    assert not refused
    assert side_by_side(tmp_path, "1,2\n", "5\n", columns=("c", "a", "b"))[0] == [{"a": 2, "b": 5, "c": 1}]


def test_a_row_that_one_of_the_files_spoils_is_rejected_whole(tmp_path: Path) -> None:
    came, refused = side_by_side(tmp_path, b"a,b\n1,2\n3,\xff\n7,8\n", "c\nfive\n6\n9\n")
    assert [tuple(row.values()) for row in came] == [(7, 8, 9)]
    assert sorted((one.position, one.raw) for one in refused) == [(2, "1,2,five"), (3, "3,\\xff")]


@pytest.mark.parametrize(
    ("right", "said"),
    [("c\n5\n", "right ends"), ("c\n5\n6\n7\n", "left ends"), ('c\n"5\n"\n6\n', "left has line 3, .*right has line 4")],
)
def test_side_by_side_files_that_do_not_match_are_refused(tmp_path: Path, right: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        side_by_side(tmp_path, "a,b\n1,2\n3,4\n", right)


def test_parts_are_not_for_side_by_side_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"reader\.parts are for files with rows of their own"):
        side_by_side(tmp_path, "a,b\n", "c\n", parts={"left": "train"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1,2\n" + b"3" * 2000, "line 2 is longer than"),
        (b"1,2\n" + b",".join([b'"a\nb"'] * 500), "the row that begins in line 2 is longer than"),
        (gzip.compress(b"1" * 10**6), "line 1 is longer than"),
    ],
)
def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, content, words):
    for module in (base, lines):
        monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"^rows: {words} 64 MiB, so it is no row; see whether it is the file"):
        list(lines.rows_of("rows", tmp_path / "rows.csv", ",", quoted=True))
