"""Rows in are predictions out or rows refused, whatever writes the rows to predict for and in which format."""

import bz2
import gzip
import io
import json
import logging
import lzma
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scorer import TEXT, Scorer, scorer, settings_of

from headframe.errors import DataError

WORDS = [f"{word} {n}" for n in range(40) for word in ("hello", "come now", "win")]
LABELLED = "".join(f"{word}\t{'ab'[len(word) % 2]}\n" for word in WORDS)
PIECES = "zip,x,n,kind\n" + "".join(f"{n:05},{n / 7:.3f},{n},{'ab'[n % 2]}\n" for n in range(60))
COLUMNS = {"zip": TEXT, "x": {"dtype": "float"}, "n": {"dtype": "int"}, "kind": TEXT}
GOOD: dict[str, Any] = {"zip": "00001", "x": 0.5, "n": 3}


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Scorer]:
    """A model of one column of text; keywords are settings of the reader of its files, which have a header."""
    made: dict[str, Scorer] = {}

    def make(**reader: Any) -> Scorer:
        key = json.dumps(reader)
        if key not in made:
            root = tmp_path_factory.mktemp("messages")
            settings = settings_of("rows", "text\tlabel\n" + LABELLED, root, {"text": TEXT, "label": TEXT},
                                   reader={"delimiter": "\t", **reader})  # fmt: skip
            made[key] = scorer(settings, root, None, "tokens", "classification")
        return made[key]

    return make


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    root = tmp_path_factory.mktemp("pieces")
    return scorer(settings_of("pieces", PIECES, root, COLUMNS), root, None, "tabular", "classification")


def file(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def test_a_comment_that_gets_no_prediction_is_named(
    messages: Callable[..., Scorer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = messages(comment="#")
    source = file(tmp_path, "rows.tsv", "# made by hand\ntext\nhello 1\n#1 pizza\nhello 2\n#2\n")
    with caplog.at_level(logging.WARNING, "headframe"):
        assert len(made.file(source)) == 2
    [said] = caplog.messages
    assert f"{source}: it was read as the data set's own files are, though line 1 is a comment" in said
    assert "gets no prediction" in said
    assert "likewise line 4, 6" in said


def test_a_comment_that_others_have_sent_is_refused(tmp_path: Path) -> None:
    made = scorer(
        settings_of("pieces", PIECES, tmp_path, COLUMNS, reader={"comment": "#"}),
        tmp_path, None, "tabular", "classification",
    )  # fmt: skip
    found = made.post(b"zip,x,n\n00001,0.5,3\n#0001,0.5,3\n", "text/csv")
    assert found.status_code == 400
    assert found.json()["error"].startswith("the body: line 3 is a comment in such files and gets no prediction")
    found = made.post(b'zip,x,n\n00001,0.5,3\n"#0001",0.5,3\n', "text/csv")
    assert len(found.json()["predictions"]) == 2


def test_text_that_may_run_over_several_lines_is_said_or_refused(
    messages: Callable[..., Scorer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = messages(quoted=False)
    source = file(tmp_path, "rows.tsv", 'text\n"hello\nyou"\nlater\n"never closed\n')
    with caplog.at_level(logging.WARNING, "headframe"):
        assert len(own.file(source)) == 4
    assert "though line 3 closes a quotation mark that line 2 opens, so they may be one text" in caplog.text
    others = messages(quoted=False, columns=["text", "label"], missing=["-"])
    with pytest.raises(DataError, match="line 3 closes a quotation mark that line 2 opens"):
        others.file(source)
    with pytest.raises(DataError, match="line 4 closes a quotation mark that line 2 opens"):
        others.file(file(tmp_path, "more.tsv", 'text\n"hello\n""you"" said\nso"\n'))
    # What never closes, or closes within a word, is text with quotation marks.
    assert len(others.file(file(tmp_path, "open.tsv", 'text\n"hello\n"you said\nso\n'))) == 3
    assert len(others.file(file(tmp_path, "word.tsv", 'text\n"hello\nyou"d say\n'))) == 2


@pytest.mark.parametrize("reader", [{"columns": ["text", "label"]}, {}])
def test_a_quotation_mark_that_closes_far_below_is_none_where_each_line_between_is_a_row_and_is_named(
    messages: Callable[..., Scorer], reader: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = messages(quoted=False, **reader)
    rows = "".join(f"hello {n}\ta\n" for n in range(5))
    source = file(tmp_path, "rows.tsv", f'label\ttext\na\t"hello\n{rows}a\tbye"\n')
    with caplog.at_level(logging.WARNING, "headframe"):
        assert len(made.file(source)) == 7
    [said] = caplog.messages
    assert said.startswith(
        f"{source}: each of lines 2-8 was read as a row, though the first one opens a quotation mark"
    )
    assert said.endswith("that the last one closes; if they are one text, give JSON lines")


def test_rows_that_quotes_may_have_merged_are_named(
    pieces: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = file(tmp_path, "rows.csv", 'zip,x,n\n1,1,1\n"2,2,2\n3,3,3\n4",4,4\n5,5,5\n"6\n",6,6\n')
    with caplog.at_level(logging.WARNING, "headframe"):
        assert len(pieces.file(source)) == 4  # the fourth has a line end in its zip
    [said] = caplog.messages
    assert said.startswith(f"{source}: lines 3-5 are one row with line ends within quotes, though each of them looks")
    assert said.endswith("; if they are rows, close the quotation mark")


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_other_character_ends_a_line(
    messages: Callable[..., Scorer], quoted: bool, end: str, tmp_path: Path
) -> None:
    made = messages(quoted=quoted)
    expected = made.expected(pa.table({"text": [f"hello{end}you", "b"]}))
    assert made.file(file(tmp_path, "rows.tsv", f"text\r\nhello{end}you\r\nb\r\n")) == expected
    assert made.file(file(tmp_path, "rows.csv", f"text\nhello{end}you\nb\n")) == expected
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in (f"hello{end}you", "b"))
    assert made.file(file(tmp_path, "rows.jsonl", lines)) == expected


@pytest.mark.parametrize("quoted", [True, False])
def test_a_carriage_return_alone_is_neither_a_line_end_nor_text_in_silence(
    messages: Callable[..., Scorer], quoted: bool, tmp_path: Path
) -> None:
    made = messages(quoted=quoted)
    with pytest.raises(DataError, match="line 1 holds a carriage return without a line feed"):
        made.file(file(tmp_path, "mac.tsv", "text\rhello\ryou\r"))
    with pytest.raises(DataError, match="line 2 holds a carriage return without a line feed"):
        made.file(file(tmp_path, "rows.tsv", "text\nhello\ryou\n"))


def test_rows_are_numbered_from_1_in_names_and_messages(pieces: Scorer, tmp_path: Path) -> None:
    assert len(pieces.file(file(tmp_path, "rows.csv", PIECES))) == 60
    assert pq.read_table(pieces.root / "scored.parquet")["row_id"].to_pylist() == [str(n) for n in range(1, 61)]
    with pytest.raises(
        DataError, match=r"rows.csv: line 3, column 'n' holds 'zz', which is no whole number; correct it"
    ):
        pieces.file(file(tmp_path, "rows.csv", "zip,x,n\n1,1,1\n1,1,zz\n"))


@pytest.mark.parametrize("start", ["", '{"zip": '])
def test_json_that_is_nested_without_end_is_one_sentence(pieces: Scorer, start: str, tmp_path: Path) -> None:
    deep = start + "[" * 100_000 + "]" * 100_000 + "}" * bool(start)
    said = "no JSON: its lists or objects are nested too deeply to be read"
    with pytest.raises(DataError, match=f"rows.jsonl: line 1 is {said}$"):
        pieces.file(file(tmp_path, "rows.jsonl", deep))
    posted = pieces.post(f'{{"instances": [{{"zip": {deep}}}]}}'.encode(), "application/json")
    assert (posted.status_code, posted.json()) == (400, {"error": f"the body is {said} (character 16)"})


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("n", str(10**30), f"column 'n' holds {10**30} in row 2, a whole number that 64 bits cannot hold"),
        ("n", str(-(2**63) - 1), "column 'n' holds -9223372036854775809 in row 2, a whole number that 64 bits"),
        ("n", "9007199254740993.0", "column 'n' holds 9007199254740992 as a float in row 2; from 9007199254740992 on"),
        ("n", "-1e300", "column 'n' holds -1e+300 as a float in row 2; from 9007199254740992 on a float stands for"),
        ("n", "3.5", "Float value 3.500000 was truncated"),
        ("x", "9007199254740993", "Integer value 9007199254740993"),
        ("zip", "[" * 900 + "]" * 900, "column 'zip' holds a JSON list in row 2, but text was expected"),
    ],
)
def test_a_number_is_what_was_sent_or_refused(
    pieces: Scorer, column: str, text: str, said: str, tmp_path: Path
) -> None:
    lines = [
        json.dumps(GOOD | {column: "*" if number == 2 else GOOD[column]}).replace('"*"', text) for number in (1, 2)
    ]
    if column != "zip":
        with pytest.raises(DataError) as refused:
            pieces.file(file(tmp_path, "rows.jsonl", "\n".join(lines)))
        assert said in str(refused.value)
    [alone] = [line for line in lines if text in line]
    found = pieces.post(f'{{"instances": [{alone}]}}'.encode(), "application/json")
    assert (found.status_code, said.replace("row 2", "row 1") in found.json()["error"]) == (400, True), found.json()


def test_whole_numbers_below_2_to_53_may_come_as_floats(pieces: Scorer, tmp_path: Path) -> None:
    whole, float_ = (json.dumps(GOOD | {"n": number}) for number in (2**53 - 1, float(2**53 - 1)))
    first, second = pieces.file(file(tmp_path, "rows.jsonl", f"{whole}\n{float_}\n"))
    assert first == second


ODD = {
    "list": pa.array([[1], [2]]),
    "struct": pa.array([{"a": 1}, {"a": 2}]),
    "map": pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
    "decimal": pa.array([Decimal("1.0"), Decimal("2.0")]),
    "duration": pa.array([1, 2], pa.duration("s")),
    "binary": pa.array([b"\xff", b"b"]),
    "bool": pa.array([True, False]),
    "float": pa.array([1.5, 2.5]),
    "tensor": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.uint8(), [2]), pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8(), 2))
    ),
}


@pytest.mark.parametrize("name", ["__row_id__", "row_id", "zip", "x", "n"])
@pytest.mark.parametrize("kind", ODD)
def test_a_parquet_column_of_a_type_that_cannot_be_meant_is_one_sentence(
    pieces: Scorer, name: str, kind: str, tmp_path: Path
) -> None:
    table = pa.table({key: pa.array([value] * 2) for key, value in GOOD.items()} | {name: ODD[kind]})
    pq.write_table(table, tmp_path / "rows.parquet")
    if (name, kind) == ("x", "float"):
        assert len(pieces.file(tmp_path / "rows.parquet")) == 2
        return
    with pytest.raises(DataError, match=rf"rows.parquet: column '{name}' (names the rows, but )?holds "):
        pieces.file(tmp_path / "rows.parquet")


@pytest.mark.parametrize("value", [[1], {"a": 1}, True, 1.5])
def test_a_row_id_in_json_is_a_text_or_a_whole_number(pieces: Scorer, value: Any, tmp_path: Path) -> None:
    source = file(tmp_path, "rows.jsonl", json.dumps({**GOOD, "row_id": value}))
    with pytest.raises(DataError, match=r"column 'row_id' names the rows, but holds a .* in row 1"):
        pieces.file(source)


def test_dictionaries_and_other_widths_of_a_type_mean_the_same(pieces: Scorer, tmp_path: Path) -> None:
    plain = pa.table({"row_id": ["a", "b"], "zip": ["1", "2"], "x": [0.5, 1.5], "n": [1, 2]})
    wide = {
        "row_id": plain["row_id"].dictionary_encode(),
        "zip": plain["zip"].cast(pa.large_string()),
        "x": plain["x"].cast(pa.float32()),
        "n": plain["n"].dictionary_encode(),
    }
    pq.write_table(pa.table(wide), tmp_path / "rows.parquet")
    assert pieces.file(tmp_path / "rows.parquet") == pieces.expected(plain)
    assert pq.read_table(pieces.root / "scored.parquet")["row_id"].to_pylist() == ["a", "b"]


def test_a_parquet_file_without_the_columns_or_with_one_twice_is_one_sentence(pieces: Scorer, tmp_path: Path) -> None:
    arrays = [pa.array(["1"]), pa.array(["1"]), pa.array([0.5]), pa.array([1])]
    for names, said in {
        ("zip", "zip", "x", "n"): "column 'zip' came twice; leave one of them out",
        ("row_id", "row_id", "x", "n"): "column 'zip' is missing; came: row_id, row_id, x, n",
    }.items():
        pq.write_table(pa.table(arrays, names=names), tmp_path / "rows.parquet")
        with pytest.raises(DataError, match=said):
            pieces.file(tmp_path / "rows.parquet")
    pq.write_table(pa.table({}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="column 'zip' is missing; came: none"):
        pieces.file(tmp_path / "rows.parquet")
    pq.write_table(pa.table(arrays, names=["zip", "other", "x", "n"]).slice(0, 0), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet holds no rows"):
        pieces.file(tmp_path / "rows.parquet")
    pq.write_table(pa.table({**GOOD, "zip": pa.array([b"\xff"]).view(pa.string())} | {k: [GOOD[k]] for k in "xn"}),
                   tmp_path / "rows.parquet")  # fmt: skip
    with pytest.raises(DataError, match=r"is no Parquet file that can be read: .*UTF8"):
        pieces.file(tmp_path / "rows.parquet")


def archive(name: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as opened:
        opened.writestr(name, PIECES)
    return raw.getvalue()


def parquet() -> bytes:
    raw = io.BytesIO()
    pq.write_table(pa.table({"zip": ["1"]}), raw)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("rows.csv", PIECES.encode("utf-16"), "is text in UTF-16 or UTF-32; save it as UTF-8"),
        ("rows.csv", PIECES.encode("utf-16-le"), "is text in UTF-16 or UTF-32; save it as UTF-8"),
        ("rows.csv", PIECES.encode("utf-32"), "is text in UTF-16 or UTF-32; save it as UTF-8"),
        ("rows.csv.gz", gzip.compress(PIECES.encode("utf-16-be")), "is text in UTF-16 or UTF-32; save it as UTF-8"),
        ("rows.jsonl", json.dumps(GOOD).encode("utf-16"), "is text in UTF-16 or UTF-32; save it as UTF-8"),
        ("rows.xlsx", archive("xl/workbook.xml"), "is a ZIP archive, as Excel's workbooks are; unpack it, or save its"),
        (
            "rows.zip",
            archive("rows.csv"),
            "is a ZIP archive, as Excel's workbooks are; unpack it, or save its sheet as",
        ),
        ("rows.xls", bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600), "is a workbook of Excel; save its sheet as CSV"),
        ("rows.csv.bz2", bz2.compress(PIECES.encode()), "is compressed otherwise than by gzip; unpack it"),
        ("rows.csv.xz", lzma.compress(PIECES.encode()), "is compressed otherwise than by gzip; unpack it"),
        ("rows.csv", parquet(), "is a Parquet file; let its name end in .parquet"),
        (
            "rows.json",
            json.dumps([GOOD]).encode(),
            "is JSON, of which only JSON lines are read: write one object a line",
        ),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(
    pieces: Scorer, name: str, raw: bytes, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        pieces.file(file(tmp_path, name, raw))
    assert f"{name} {said}" in str(refused.value)


def test_what_is_packed_by_gzip_is_read_as_what_it_is(pieces: Scorer, tmp_path: Path) -> None:
    expected = pieces.expected(pieces.table)
    lines = "".join(json.dumps(row) + "\n" for row in pieces.table.select(list(GOOD)).to_pylist())
    for name, content in {
        "rows.jsonl.gz": lines,
        "rows.csv.gz": PIECES,
        "rows.tsv.gz": PIECES.replace(",", "\t"),
        "bom.jsonl": "\ufeff" + lines,
    }.items():
        raw = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
        assert pieces.file(file(tmp_path, name, raw)) == expected, name


def test_text_in_another_encoding_is_refused_over_rest(pieces: Scorer) -> None:
    found = pieces.post(PIECES.encode("utf-16"), "text/csv")
    said = {"error": "the body is text in UTF-16 or UTF-32; save it as UTF-8"}
    assert (found.status_code, found.json()) == (400, said)


@pytest.mark.parametrize("params", [[], 0, False, ""])
def test_parameters_of_a_request_that_are_no_object_are_refused(pieces: Scorer, params: Any) -> None:
    found = pieces.post(json.dumps({"instances": [GOOD], "params": params}).encode(), "application/json")
    assert found.status_code == 400
    assert found.json()["error"].startswith("params is a JSON ")
    assert (
        pieces.post(json.dumps({"instances": [GOOD], "params": None}).encode(), "application/json").status_code == 200
    )
