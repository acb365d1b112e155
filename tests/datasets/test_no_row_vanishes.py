"""Rows in are rows kept and rows rejected, each with its line, whatever stands in a file."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.datasets.ingest import ingest
from headframe.datasets.readers.base import Reader, RejectedRow
from headframe.datasets.readers.delimited import Delimited
from headframe.datasets.readers.idx import Idx
from headframe.datasets.readers.pixel_rows import PixelRows
from headframe.datasets.readers.side_by_side import SideBySide
from headframe.datasets.schema import contract_schema
from headframe.datasets.table import Table
from headframe.errors import DataError
from headframe.places import Places

HOSTILE = st.lists(
    st.sampled_from(['"', '""', ",", "#", "a", " ", "é", "0x10", "\\", "\udcff", "\u2028", "'"]), max_size=8
).map("".join)
LINES = st.lists(HOSTILE, min_size=1, max_size=30)
SETTINGS = settings(max_examples=150)


def columns(names: str, dtype: str = "string", *, nullable: bool = True) -> Any:
    return contract_schema({name: ColumnContract(dtype=dtype, nullable=nullable) for name in names})


def write(folder: Path, name: str, lines: list[str]) -> Path:
    (folder / name).write_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
    return folder / name


def read(reader: Reader, files: dict[str, Path], schema: Any) -> tuple[list[dict[str, Any]], list[RejectedRow]]:
    batches = list(reader.read(files, schema))
    return [row for one in batches for row in one.rows.to_pylist()], [row for one in batches for row in one.rejected]


def lines_of(kept: list[dict[str, Any]], refused: list[RejectedRow]) -> int:
    """Count the lines of a file that rows stand for: line ends within quotes are among the cells."""
    texts = [[str(cell or "") for cell in row.values()] for row in kept]
    return sum(1 + "".join(row).count("\n") for row in texts) + sum(1 + row.raw.count("\n") for row in refused)


@SETTINGS
@given(LINES, st.booleans(), st.sampled_from([None, "#"]), st.sampled_from(["x", "xy", "xyz"]))
@example(["a,b", '"open,b', *["a,b"] * 900], True, None, "xy")
@example(["a,b", '"open,b', *["a,b"] * 900, 'c","d'], True, None, "xy")
@example(['"# no comment",b', '# a "comment', "a,b"], True, "#", "xy")
@example(["a", "", "b", ""], True, None, "x")
def test_every_line_of_delimited_text_is_in_a_row_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], quoted: bool, comment: str | None, names: str
) -> None:
    file = write(tmp_path_factory.mktemp("lines"), "raw", [",".join(names), *lines])
    kept, refused = read(Delimited(quoted=quoted, comment=comment), {"raw": file}, columns(names))
    passed = sum(bool(comment and line.startswith(comment)) or (not line and len(names) > 1) for line in lines)
    missing = len(lines) - lines_of(kept, refused)
    assert 0 <= missing <= passed
    positions = [row.position for row in refused]
    assert positions == sorted(set(positions))
    for row in refused:
        shown = lines[row.position - 2].encode(errors="surrogateescape").decode(errors="backslashreplace")
        assert row.raw.split("\n")[0] == shown


@SETTINGS
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\n\r"'), max_size=3), min_size=1))
def test_each_line_of_a_file_of_one_column_is_a_row(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = write(tmp_path_factory.mktemp("lines"), "raw", ["x", *lines])
    for quoted in (False, True):
        kept, refused = read(Delimited(delimiter="\t", quoted=quoted), {"raw": file}, columns("x"))
        whole = [line for line in lines if "\t" not in line]
        assert [row["x"] for row in kept] == [line or None for line in whole]
        assert [row.position for row in refused] == [at for at, line in enumerate(lines, start=2) if "\t" in line]


@SETTINGS
@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=20))
def test_every_line_of_files_side_by_side_is_in_a_row_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    files = {"left": write(folder, "left", ["x,y", *(one for one, _ in pairs)]),
             "right": write(folder, "right", ["z", *(other for _, other in pairs)])}  # fmt: skip
    kept, refused = read(SideBySide(quoted=False), files, columns("xyz"))
    assert lines_of(kept, refused) == sum(pair != ("", "") for pair in pairs)


@SETTINGS
@given(st.lists(st.lists(st.sampled_from(["0", "255", "256", "-1", "1e3", "1e300", "nan", "0x1", "1_0", "", " 7"]),
                         max_size=6), min_size=1, max_size=20))  # fmt: skip
@example([["0", "0", "0", "0", label] for label in ("256", "-1", "1e3", "1e300", "nan", "0x1", "1_0", "")])
def test_every_line_of_pixels_is_an_image_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    schema = contract_schema(
        {"image": ColumnContract(dtype="tensor", shape=(2, 2, 1)), "label": ColumnContract(dtype="int")}
    )
    lines = [",".join(cells) for cells in rows]
    file = write(tmp_path_factory.mktemp("lines"), "raw", lines)
    batches = list(PixelRows().read({"raw": file}, schema))
    refused = [row.position for one in batches for row in one.rejected]
    pixels, labels = {"0", "255", " 7"}, {"0", "255", "256", "-1", "1e3", " 7"}
    good = [len(cells) == 5 and {*cells[:4]} <= pixels and cells[4] in labels for cells in rows]
    assert refused == [at for at, line in enumerate(lines, start=1) if line and not good[at - 1]]
    read_labels = [label for one in batches for label in one.rows.column("label").to_pylist()]
    assert read_labels == [int(float(cells[4])) for cells, is_good in zip(rows, good, strict=True) if is_good]


def test_a_quote_left_open_loses_no_row_in_silence(people: Callable[..., DatasetConfig], tmp_path: Path) -> None:
    rows = [f"n{at},{at},1.5,c" for at in range(1000)]
    rows[60] = '"Cote,60,1.5,a'
    text = "\n".join(["name,age,height,city", *rows, ""])
    with pytest.raises(DataError, match=r"940 rows cannot be read and .* allows 5; line 62 of source people"):
        ingest(people(text, max_rejected=5), Places(tmp_path))
    record = ingest(people(text, max_rejected=1000), Places(tmp_path))
    assert (record.rows, record.rejected) == (60, 940)
    rejected = Table.open(tmp_path / record.folder).rejected().to_pylist()
    assert [(row["position"], row["raw"]) for row in rejected] == list(enumerate(rows[60:], start=62))
    # A later quote that closes it makes one cell of all lines between them.
    closed = text.replace("n500,500,1.5,c", 'n500","500",1.5,c')
    with pytest.raises(DataError, match=r"441 rows cannot be read .* line 62 .* holds 439 lines that look like rows"):
        ingest(people(closed, max_rejected=5), Places(tmp_path))


@pytest.mark.parametrize("odd", ["", "a note without a comma"])
def test_a_line_of_another_kind_hides_no_row_behind_an_open_quote(
    odd: str, people: Callable[..., DatasetConfig], tmp_path: Path
) -> None:
    inner = [f"n{at},{at},1.5,c" for at in range(40)]
    lines = ["name,age,height,city", "Ann,1,1.5,a", '"Cote,60,1.5,a', *inner, odd, *inner, 'pipe 5",1,1.5,v']
    record = ingest(people("\n".join([*lines, ""]), max_rejected=1000), Places(tmp_path))
    assert (record.rows, record.rejected) == (1, len(lines) - 2)


@pytest.mark.parametrize("inner", [0, 1, 2])
def test_a_few_rows_that_an_open_quote_may_have_merged_are_named(
    inner: int, people: Callable[..., DatasetConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Too few lines to be refused: it may be text that happens to look so."""
    lines = ["name,age,height,city", '"Cote,60,1.5,a', *["Ann,1,1.5,a"] * inner, 'n500",60,1.5,c', "Bob,2,1.5,b", ""]
    with caplog.at_level("WARNING", "headframe"):
        record = ingest(people("\n".join(lines)), Places(tmp_path))
    assert (record.rows, record.rejected) == (2, 0)
    assert f"people: lines 2-{inner + 3} are one row with line ends within quotes" in caplog.text


def test_text_with_line_ends_within_quotes_stays_one_row(tmp_path: Path) -> None:
    poems = ["roses, red\nviolets, blue\n\nsugar", 'say "hi"\n', "\n\n\n", "a,b,c\nd,e,f\ng,h,i\nj,k,l\nm,n,o"]
    with (tmp_path / "raw").open("w", newline="") as stream:
        csv.writer(stream).writerows([["x", "y"], *([poem, "1"] for poem in poems)])
    kept, refused = read(Delimited(), {"raw": tmp_path / "raw"}, columns("xy"))
    assert [row["x"] for row in kept] == poems
    assert not refused


def test_a_source_that_no_pair_of_files_names_is_not_left_out_in_silence(tmp_path: Path) -> None:
    image, label = ColumnContract(dtype="tensor", shape=(2, 2, 1)), ColumnContract(dtype="int")
    schema = contract_schema({"image": image, "label": label, "part": ColumnContract(dtype="string")})
    with pytest.raises(DataError, match=r"no pair of reader\.parts names source 'c', so its rows would be lost"):
        list(Idx(parts={"train": ("a", "b")}).read(dict.fromkeys("abc", tmp_path), schema))


def test_a_column_of_the_files_is_not_replaced_by_the_name_of_their_part(tmp_path: Path) -> None:
    files = {"raw": write(tmp_path, "raw", ["x,part", "a,mine"])}
    text = ColumnContract(dtype="string")
    with pytest.raises(DataError, match="has a column 'part' of its own"):
        read(Delimited(parts={"raw": "train"}), files, contract_schema({"x": text, "part": text}))
    kept, _ = read(Delimited(parts={"raw": "train"}, part="file"), files, contract_schema({"part": text, "file": text}))
    assert kept == [{"part": "mine", "file": "train"}]
