"""Batch predictions: any file in, Parquet out, the same bits as in one piece."""

import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fixtures import World, in_child
from shared import scores_of

from headframe.config.plan.data import ROW_ID
from headframe.datasets.readers.delimited import Delimited
from headframe.datasets.table import Table
from headframe.digests import file_digest
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.prediction.predictor import BATCH
from headframe.prediction.schema import to_frame
from headframe.serving import batch
from headframe.serving.batch import predict_to_file, write_predicted_rows
from headframe.serving.input_files import open_rows


def _predict(world: World, name: str, source: object, target: Path) -> pa.Table:
    predict_to_file(f"{name}/1", str(source), target, plan=world.made["digits"].plan, root=world.root, uri=world.uri)
    return pq.read_table(target)


def _texts(world: World) -> pa.Table:
    return Table.open(world.root / "data" / "sms_spam").read([ROW_ID, "label", "text"])


def test_a_data_set_is_predicted_row_by_row_under_its_row_ids(world: World, tmp_path: Path):
    target = tmp_path / "scored.parquet"
    plan = world.made["digits"].plan
    predicted = predict_to_file("digits/1", "digits", target, plan=plan, root=world.root, uri=world.uri)
    found, table = pq.read_table(target), Table.open(world.root / "data" / "digits").read()
    assert found.column("row_id").equals(table.column(ROW_ID))
    assert found.drop_columns(["row_id"]).equals(world.made["digits"].predictor.predict(table).combine_chunks())
    assert (predicted.model, predicted.version, predicted.rows) == ("digits", 1, table.num_rows)
    assert predicted.digest == file_digest(target)


def test_streaming_gives_the_bits_of_one_piece(world: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES", 1)  # 1,797 rows come in two tables
    target = tmp_path / "scored.parquet"
    found = _predict(world, "digits", "digits", target)
    table = Table.open(world.root / "data" / "digits").read()
    assert table.num_rows > BATCH
    scores = np.stack([found.column(f"score_{digit}").to_numpy() for digit in range(10)], axis=1)
    np.testing.assert_array_equal(scores, scores_of(world.made["digits"].predictor, table))


def test_a_small_file_that_unpacks_to_much_is_not_read(world: World, tmp_path: Path):
    """A kilobyte: a long text once, and that it stands in each of many rows, which would take 82 GB."""
    source = tmp_path / "rows.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), pa.array(["y" * 10**7]))
    pq.write_table(pa.table({"text": text}), source, compression="zstd")
    assert source.stat().st_size < 1000
    predictor = world.made["sms_spam"].predictor
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(
        DataError, match=r"rows\.parquet takes more than 2 GiB of memory, as no file of its size should"
    ):
        next(open_rows(str(source), world.root, predictor.schema, predictor.reader, 8192))
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_tables_have_one_size_however_the_file_is_cut(world: World, tmp_path: Path):
    texts = _texts(world).slice(0, 1000)
    pq.write_table(texts, tmp_path / "rows.parquet", row_group_size=37)
    predictor = world.made["sms_spam"].predictor
    opened = open_rows(str(tmp_path / "rows.parquet"), world.root, predictor.schema, predictor.reader, 300)
    sizes = [each.num_rows for each in opened]
    assert sizes == [300, 300, 300, 100]


def _written(rows: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    elif path.suffix == ".jsonl":
        lines = (json.dumps(record, ensure_ascii=False) for record in rows.to_pylist())
        path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    else:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        pa.csv.write_csv(rows, path, pa.csv.WriteOptions(delimiter=delimiter))
    return path


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl"])
def test_every_file_format_gives_the_same_predictions(world: World, tmp_path: Path, ending: str):
    rows = _texts(world).slice(0, 500)
    source = _written(rows, tmp_path / f"rows.{ending}")
    found = _predict(world, "sms_spam", source, tmp_path / "scored.parquet")
    expected = world.made["sms_spam"].predictor.predict(rows)
    assert found.column("row_id").to_pylist() == rows.column(ROW_ID).to_pylist()
    assert found.drop_columns(["row_id"]).equals(expected.combine_chunks())


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_mixed_columns_with_gaps_survive_every_format(world: World, tmp_path: Path, ending: str):
    rows = Table.open(world.root / "data" / "adult").read().slice(0, 300)
    assert rows.column("workclass").null_count > 0
    found = _predict(world, "adult", _written(rows, tmp_path / f"rows.{ending}"), tmp_path / "scored.parquet")
    assert found.drop_columns(["row_id"]).equals(world.made["adult"].predictor.predict(rows).combine_chunks())


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_images_may_come_as_nested_lists(world: World, tmp_path: Path, ending: str):
    rows = Table.open(world.root / "data" / "digits").read([ROW_ID, "image"]).slice(0, 50)
    cells = rows.column("image").combine_chunks().to_numpy_ndarray().tolist()
    listed = pa.table({"row_id": rows.column(ROW_ID), "image": pa.array(cells)})
    found = _predict(world, "digits", _written(listed, tmp_path / f"rows.{ending}"), tmp_path / "scored.parquet")
    assert found.drop_columns(["row_id"]).equals(world.made["digits"].predictor.predict(rows).combine_chunks())


def test_rows_without_an_id_are_named_by_their_number(world: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES", 1)
    rows = _texts(world).select(["text"]).slice(0, BATCH + 3)
    found = _predict(world, "sms_spam", _written(rows, tmp_path / "rows.csv"), tmp_path / "scored.parquet")
    assert found.column("row_id").to_pylist() == [str(number) for number in range(1, BATCH + 4)]


def test_a_number_as_row_id_becomes_text(world: World, tmp_path: Path):
    rows = pa.table({"text": ["a", "b"], "row_id": pa.array([7, 9])})
    for ending in ("parquet", "csv", "jsonl"):
        source = _written(rows, tmp_path / f"rows.{ending}")
        found = _predict(world, "sms_spam", source, tmp_path / "scored.parquet")
        assert found.column("row_id").to_pylist() == ["7", "9"]


def test_a_forecast_goes_on_from_the_last_row(world: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES", 1)  # the history comes in several tables
    table = Table.open(world.root / "data" / "etth1").read().slice(0, 2 * BATCH + 5)
    source = _written(table, tmp_path / "history.parquet")
    found = _predict(world, "etth1", source, tmp_path / "scored.parquet")
    assert found.column("step").to_pylist() == [1, 2, 3, 4]
    assert set(found.column("after").to_pylist()) == {table.column(ROW_ID)[-1].as_py()}
    last = table.slice(table.num_rows - 24)
    assert found.drop_columns(["after"]).equals(world.made["etth1"].predictor.predict(last).combine_chunks())


def test_a_repeated_history_names_the_rows_of_the_file(world: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES", 1)
    table = Table.open(world.root / "data" / "etth1").read().slice(0, BATCH + 100)
    again = pa.concat_tables([table.slice(BATCH + 95, 1), table])
    source = _written(again, tmp_path / "history.parquet")
    with pytest.raises(DataError, match=rf"in rows 1 and {BATCH + 97}, but a series has one row for each time"):
        _predict(world, "etth1", source, tmp_path / "scored.parquet")


WRONG: dict[str, tuple[str, str, bytes, type[Exception], str]] = {
    "missing column": (
        "sms_spam", "rows.csv", b"txt\nhello\n", DataError,
        r"rows.csv: its first line has 1 cells \(txt\) and names no column 'text'; expected names of columns",
    ),
    "text in a number": (
        "etth1", "rows.csv", b"date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n2016-07-01 00:00:00,1,2,3,4,5,6,hot\n", DataError,
        "rows.csv: line 2, column 'OT' holds 'hot', which is no number; correct it",
    ),
    "number in text": (
        "sms_spam", "rows.jsonl", b'{"text": 3}\n', DataError, "column 'text' holds int64, but text was expected",
    ),
    "broken line": ("sms_spam", "rows.jsonl", b'{"text": "a"}\n{"text"\n', DataError, "line 2 is no JSON"),
    "truth among pixels": (
        "digits", "rows.jsonl", b'{"image": [' + b"[0,0,0,0,0,0,0,0]," * 7 + b"[0,0,0,0,0,0,0,true]]}\n", DataError,
        "rows.jsonl: column 'image' holds a truth value in row 1, but numbers were expected",
    ),
    "no number": ("sms_spam", "rows.jsonl", b'{"text": NaN}\n', DataError, "line 1 is no JSON: NaN is no number"),
    "key twice": ("sms_spam", "rows.jsonl", b'{"text": "a", "b": {"c": 1, "c": 1}}\n', DataError, "key 'c' came twice"),
    "list in a line": ("sms_spam", "rows.jsonl", b"[1]\n", DataError, "line 1 is no JSON object"),
    "empty file": ("sms_spam", "rows.csv", b"", DataError, "rows.csv is empty; rows were expected"),
    "header only": ("sms_spam", "rows.csv", b"text\n", DataError, "rows.csv holds no rows"),
    "blank lines only": ("sms_spam", "rows.jsonl", b"\n\n", DataError, "rows.jsonl holds no rows"),
    "no Parquet": ("sms_spam", "rows.parquet", b"PAR1 and then nothing", DataError, "is no Parquet file"),
    "unknown ending": ("sms_spam", "rows.xlsx", b"x", DataError, r"rows.xlsx: its first line has 1 cells \(x\)"),
    "not UTF-8": ("sms_spam", "rows.csv", b"text\n\xff\xfe\n", DataError, "rows.csv: line 2 is not UTF-8 text"),
    "images as CSV": ("digits", "rows.csv", b"image\n1\n", DataError, "cannot be read from cells of string"),
    "column twice": ("sms_spam", "rows.csv", b"text,text\na,b\n", DataError, "has 2 columns 'text'"),
    "half a character": (
        "sms_spam", "rows.jsonl", b'{"text": "\\ud800"}\n', DataError, "column 'text' holds text that is no Unicode",
    ),
    "short history": (
        "etth1", "rows.csv", b"date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n2016-07-01 00:00:00,1,2,3,4,5,6,7\n",
        DataError, "1 rows came, but",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_wrong_file_is_reported_in_one_sentence_and_writes_nothing(world: World, tmp_path: Path, case: str):
    name, file, content, kind, sentence = WRONG[case]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(kind, match=sentence) as caught:
        _predict(world, name, tmp_path / file, tmp_path / "scored.parquet")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_damaged_page_is_reported(world: World, tmp_path: Path):
    source = _written(_texts(world), tmp_path / "rows.parquet")
    content = bytearray(source.read_bytes())
    content[4:60] = b"\x77" * 56  # the first page's header, behind the magic bytes
    source.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.parquet is no Parquet file that can be read"):
        _predict(world, "sms_spam", source, tmp_path / "scored.parquet")


def test_a_data_set_that_was_changed_is_not_predicted_for(world: World, tmp_path: Path):
    root = tmp_path / "project"
    shutil.copytree(world.root / "data", root / "data")
    table = root / "data" / "sms_spam" / "table.parquet"
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 1
    table.write_bytes(content)
    with pytest.raises(DataError, match=r"table\.parquet has sha256 .* it was changed or damaged"):
        write_predicted_rows(world.made["sms_spam"].predictor, "sms_spam", tmp_path / "scored.parquet", root)


def test_a_wrong_row_is_named_by_its_number_in_the_file(world: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES", 1)
    texts = ["a"] * (BATCH + 3) + [None]
    source = _written(pa.table({"text": pa.array(texts, pa.string())}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=rf"rows.parquet: .* row {BATCH + 4}\b"):
        _predict(world, "sms_spam", source, tmp_path / "scored.parquet")


def test_a_row_id_that_is_missing_in_one_row_is_reported(world: World, tmp_path: Path):
    source = _written(pa.table({"text": ["a", "b"], "row_id": ["x", None]}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="a row has no row_id"):
        _predict(world, "sms_spam", source, tmp_path / "scored.parquet")


def test_unknown_sources_targets_and_models_are_reported(world: World, tmp_path: Path):
    with pytest.raises(HeadframeError, match=r"no data set 'digit' .*; did you mean 'digits'\?, or name a file"):
        _predict(world, "digits", "digit", tmp_path / "scored.parquet")
    with pytest.raises(HeadframeError, match=r"rows.csv is no file; name a Parquet, JSON-lines or text file"):
        _predict(world, "digits", tmp_path / "rows.csv", tmp_path / "scored.parquet")
    with pytest.raises(HeadframeError, match="is a folder, but this model takes rows of a file; name one in it"):
        _predict(world, "digits", tmp_path, tmp_path / "scored.parquet")
    with pytest.raises(HeadframeError, match="is no folder that this user may write to"):
        _predict(world, "digits", "digits", tmp_path / "nowhere" / "scored.parquet")
    with pytest.raises(HeadframeError, match="ends in nothing, but Parquet is written"):
        _predict(world, "digits", "digits", tmp_path)
    plan = world.made["digits"].plan
    with pytest.raises(ConfigurationError, match="did you mean 'digits'"):
        predict_to_file("digitz", "digits", tmp_path / "scored.parquet", plan=plan, root=world.root, uri=world.uri)
    assert list(tmp_path.iterdir()) == []


def test_a_device_or_pipe_is_never_replaced(world: World, tmp_path: Path):
    pipe = tmp_path / "scored.parquet"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match="is no file but something else"):
        _predict(world, "digits", "digits", pipe)
    assert pipe.is_fifo()


def test_the_source_is_never_written_over(world: World, tmp_path: Path):
    source = _written(pa.table({"text": ["a"]}), tmp_path / "rows.parquet")
    with pytest.raises(HeadframeError, match="is the source itself"):
        _predict(world, "sms_spam", source, source)


def test_a_failure_in_a_later_table_leaves_the_older_file_as_it_was(world: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES", 1)
    lines = [json.dumps({"text": "a"})] * BATCH + ['{"text": 1}']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    target = tmp_path / "scored.parquet"
    target.write_bytes(b"older")
    with pytest.raises(DataError, match="column 'text' holds int64"):
        _predict(world, "sms_spam", tmp_path / "rows.jsonl", target)
    assert target.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "scored.parquet"]


def test_a_kill_leaves_no_half_file_under_the_name(world: World, tmp_path: Path, monkeypatch):
    predictor = world.made["sms_spam"].predictor
    target = tmp_path / "scored.parquet"

    def work() -> None:
        Path.replace = lambda *_: os._exit(9)
        write_predicted_rows(predictor, "sms_spam", target, world.root)

    assert in_child(work) == 9
    assert not target.exists()
    assert write_predicted_rows(predictor, "sms_spam", target, world.root) == _texts(world).num_rows


def test_memory_does_not_grow_with_the_file(world: World, tmp_path: Path):
    """Sixteen times the rows need no more memory, however the row groups lie."""
    rows = _texts(world).slice(0, 4000)
    predictor = world.made["sms_spam"].predictor
    most: dict[int, int] = {}
    for times in (4, 64):
        source = tmp_path / f"rows{times}.parquet"
        with pq.ParquetWriter(source, rows.schema) as writer:
            for _ in range(times):
                writer.write_table(rows)
        before = pa.total_allocated_bytes()
        stream = open_rows(str(source), world.root, predictor.schema, predictor.reader, 1000)
        most[times] = max(pa.total_allocated_bytes() - before for _ in stream)
    assert most[64] < 1.5 * most[4]


def test_frames_and_tables_are_the_same_rows(world: World):
    from headframe.prediction.schema import to_table

    for made in world.made.values():
        frame = to_frame(made.probe)
        back = to_table({name: frame[name] for name in frame}, made.predictor.schema)
        assert back.equals(made.probe.cast(back.schema))


def test_a_parquet_file_that_goes_away_is_not_called_damaged(tmp_path: Path):
    rows = pa.table({"x": [1.0]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    opened = open_rows(str(tmp_path / "rows.parquet"), tmp_path, rows.schema, Delimited(), 10)
    (tmp_path / "rows.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"rows\.parquet"):
        next(opened)
