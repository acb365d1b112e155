"""Collecting: the real data sets, the same bytes again, and everything that goes wrong."""

import csv
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_data
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_diabetes

from headframe.config.plan.data import CONTENT, ROW_ID, DatasetConfig
from headframe.datasets.ingest import ingest, is_current
from headframe.datasets.table import Table, open_record
from headframe.digests import file_digest
from headframe.errors import DataError, HeadframeError
from headframe.places import Places
from headframe.records import TableRecord

Collected = Callable[..., Any]
People = Callable[..., DatasetConfig]


def states(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in sorted(folder.iterdir())}


def row_bytes(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in states(folder).items()}


@pytest.mark.parametrize(
    ("name", "real", "rows"),
    [
        ("digits", False, 1797),
        ("diabetes", False, 442),
        *((name, False, rows) for name, rows in fake_data.ROWS.items()),
        ("mnist", True, 70_000),
        ("sms_spam", True, 5_574),
        ("csl_titles", True, 10_000),
        ("etth1", True, 17_420),
        ("adult", True, 48_842),
        ("bccd", True, 364),
        ("cardio", True, 1_831),
        ("dsb2018_nuclei", True, 222),
        ("groceries", True, 9_835),
        ("ionosphere", True, 351),
        ("kosarak10k", True, 10_000),
        ("t10i4d100k", True, 100_000),
        ("tatoeba_cmn_eng", True, 22_075),
        ("thyroid", True, 3_772),
        ("wine", True, 178),
    ],
)
def test_shipped_data_sets_have_their_rows_and_stable_names(
    collected: Collected, name: str, real: bool, rows: int
) -> None:
    dataset, record, root, _ = collected(name, real=real)
    table = open_record(record, root)
    table.verify()
    assert (record.rows, record.rejected, record.folder) == (rows, dataset.max_rejected, f"data/{name}")
    assert table.schema.names == [ROW_ID, CONTENT, *dataset.contract.columns]
    assert len(set(table.read([ROW_ID]).column(ROW_ID).to_pylist())) == rows
    assert sum(batch.num_rows for batch in table.batches([CONTENT], 1000)) == rows
    about = json.loads((table.folder / "dataset.json").read_text())
    assert about["licence"]
    assert about["citation"]
    assert {source["sha256"] for source in about["sources"].values()} == {
        source.sha256 for source in dataset.sources.values()
    }


@pytest.mark.parametrize("real", [False, True])
def test_repeated_messages_are_numbered(collected: Collected, real: bool) -> None:
    rows = collected("sms_spam", real=real).table.read([ROW_ID, CONTENT])
    first: dict[str, int] = {}
    for name, content in zip(*(rows.column(column).to_pylist() for column in (ROW_ID, CONTENT)), strict=True):
        number = first.get(content, 0)
        assert name == (f"{content}-{number}" if number else content)
        first[content] = number + 1


@pytest.mark.parametrize("real", [False, True])
def test_adult_is_what_the_standard_library_reads(collected: Collected, real: bool) -> None:
    adult = collected("adult", real=real)
    came = adult.table.read()
    expected = []
    for file in ("adult.data", "adult.test"):
        lines = [line for line in (adult.mirror / "adult" / file).read_text().splitlines() if line and line[0] != "|"]
        expected += list(csv.reader(lines, skipinitialspace=True))
    for position, name in enumerate(came.column_names[2:17]):
        texts = [row[position].rstrip(".") if name == "income" else row[position] for row in expected]
        assert [str(value) for value in came.column(name).to_pylist()] == [t.replace("?", "None") for t in texts]
    training = came.filter(pc.equal(came.column("part"), "train"))
    missing = {name: training.column(name).null_count for name in training.column_names}
    assert {name: count for name, count in missing.items() if count} == (
        {"workclass": 1836, "occupation": 1843, "native_country": 583}
        if real
        else {"workclass": 112, "occupation": 112, "native_country": 35}
    )


@pytest.mark.parametrize("real", [False, True])
def test_the_transformer_series_is_what_numpy_reads(collected: Collected, real: bool) -> None:
    etth1 = collected("etth1", real=real)
    table = etth1.table.read()
    expected = np.genfromtxt(etth1.mirror / "ett" / "ETTh1.csv", delimiter=",", skip_header=1, usecols=range(1, 8))
    assert (np.column_stack([table.column(name).to_numpy() for name in table.column_names[3:]]) == expected).all()
    assert table.column(ROW_ID)[0].as_py() == "2016-07-01T00:00:00"


def test_the_patients_are_what_scikit_learn_loads(collected: Collected) -> None:
    diabetes = collected("diabetes")
    table = diabetes.table.read()
    inputs, target = load_diabetes(return_X_y=True, scaled=False)
    assert (np.column_stack([table.column(name).to_numpy() for name in diabetes.dataset.inputs]) == inputs).all()
    assert (table.column("progression").to_numpy() == target).all()


def test_equal_input_gives_equal_bytes_in_any_folder_and_stays_untouched(
    people: People, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = people(checked=True)
    record = ingest(dataset, Places(tmp_path))
    before = states(tmp_path / "data" / "people")
    assert ingest(dataset, Places(tmp_path)) == record
    assert states(tmp_path / "data" / "people") == before
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert ingest(dataset, Places(elsewhere, tmp_path)) == record
    assert row_bytes(elsewhere / "data" / "people") == row_bytes(tmp_path / "data" / "people")
    assert not list((tmp_path / ".headframe" / "collecting").iterdir())


def test_a_corrected_licence_changes_dataset_json_and_not_the_table(people: People, tmp_path: Path) -> None:
    record = ingest(people(), Places(tmp_path))
    before = states(tmp_path / "data" / "people")
    assert ingest(people(licence="MIT"), Places(tmp_path)) == record
    after = states(tmp_path / "data" / "people")
    assert after["table.parquet"] == before["table.parquet"]
    assert json.loads(after["dataset.json"][0])["licence"] == "MIT"


def test_another_writer_of_equal_rows_leaves_the_file_as_it_is(people: People, tmp_path: Path) -> None:
    record = ingest(people(), Places(tmp_path))
    file = tmp_path / "data" / "people" / "table.parquet"
    pq.write_table(pq.read_table(file), file, compression="gzip")
    about = tmp_path / "data" / "people" / "dataset.json"
    text = json.loads(about.read_text())
    text["files"]["table.parquet"] = file_digest(file)
    about.write_text(json.dumps(text, indent=2) + "\n")
    before = states(tmp_path / "data" / "people")
    assert ingest(people(), Places(tmp_path)) == record
    assert states(tmp_path / "data" / "people") == before


def test_changed_rows_are_another_version(people: People, tmp_path: Path) -> None:
    old = ingest(people(), Places(tmp_path))
    text = (tmp_path / "people.csv").read_text()
    new = ingest(people(text + "Emmy,53,1.6,Göttingen\n"), Places(tmp_path))
    assert new.rows == old.rows + 1
    assert new.digest != old.digest
    with pytest.raises(DataError, match=f"holds version {new.digest[:12]} of the data, but {old.digest[:12]}"):
        open_record(old, tmp_path)


def test_an_opened_table_stays_the_version_that_was_opened(people: People, tmp_path: Path) -> None:
    old = open_record(ingest(people(), Places(tmp_path)), tmp_path)
    rows = pq.read_table(old.folder / "table.parquet")
    text = (tmp_path / "people.csv").read_text()
    new = ingest(people(text + "Emmy,53,1.6,Göttingen\n"), Places(tmp_path))
    assert pq.read_metadata(old.folder / "table.parquet").num_rows == new.rows == old.num_rows + 1
    assert old.read().equals(rows)
    assert sum(batch.num_rows for batch in old.batches()) == old.num_rows


def test_damage_to_the_table_is_found_and_mended(people: People, tmp_path: Path) -> None:
    record = ingest(people(), Places(tmp_path))
    file = tmp_path / "data" / "people" / "table.parquet"
    good = file.read_bytes()
    spoiled = bytearray(good)
    spoiled[len(good) // 3] ^= 1
    file.write_bytes(bytes(spoiled))
    with pytest.raises(DataError, match=r"table\.parquet has sha256 .* was changed or damaged"):
        Table.open(tmp_path / record.folder).verify()
    assert ingest(people(), Places(tmp_path)) == record
    assert file.read_bytes() == good


def relabel(folder: Path, name: str = "table.parquet", column: str = "city") -> None:
    """Change a column of a table and put right every sha256 in `dataset.json`, but not the digest of the rows."""
    rows = pq.read_table(folder / name)
    other = pa.array(["Rome"] * rows.num_rows)
    pq.write_table(rows.set_column(rows.column_names.index(column), rows.schema.field(column), other), folder / name)
    about = json.loads((folder / "dataset.json").read_text())
    about["files"][name] = file_digest(folder / name)
    (folder / "dataset.json").write_text(json.dumps(about, indent=2) + "\n")


@pytest.mark.parametrize(("name", "column"), [("table.parquet", "city"), ("rejected.parquet", "raw")])
def test_changed_rows_with_a_sha256_put_right_are_not_taken_for_the_version(
    people: People, tmp_path: Path, name: str, column: str
) -> None:
    dataset = people("name,age,height,city\nAda,36,1.6,London\nBob,old,1.7,Rome\n", max_rejected=1)
    record, places = ingest(dataset, Places(tmp_path)), Places(tmp_path)
    before = row_bytes(tmp_path / record.folder)
    assert is_current(record, dataset, places)
    relabel(tmp_path / record.folder, name, column)
    message = rf"{name} has rows of digest .* but dataset\.json says .* collect the data set again or restore"
    with pytest.raises(DataError, match=message):
        open_record(record, tmp_path)
    assert not is_current(record, dataset, places)
    assert ingest(dataset, places) == record
    assert row_bytes(tmp_path / record.folder) == before


@pytest.mark.parametrize(
    "change", [{"licence": "none"}, {"rejected": 3}, {"rows": 6}, {"rejected_digest": "0" * 64}, {"sources": {}}]
)
def test_whatever_dataset_json_says_is_checked(people: People, tmp_path: Path, change: dict[str, object]) -> None:
    dataset, places = people(), Places(tmp_path)
    record = ingest(dataset, places)
    file = tmp_path / record.folder / "dataset.json"
    good = file.read_bytes()
    file.write_text(json.dumps({**json.loads(good), **change}))
    assert not is_current(record, dataset, places)
    assert ingest(dataset, places) == record
    assert file.read_bytes() == good


def test_where_no_row_can_be_read_the_advice_is_to_correct_the_reader(people: People, tmp_path: Path) -> None:
    text = "name,age,height,city\nAda,x,1.6,London\nBob,y,1.7,Rome\n"
    for allowed in (0, 1, 2):
        with pytest.raises(DataError) as caught:
            ingest(people(text, max_rejected=allowed), Places(tmp_path))
        assert "line 2 of source people, column 'age' holds 'x', which is no whole number" in str(caught.value)
        assert "raise" not in str(caught.value)
    advice = "be read, so correct dataset.reader or the types in dataset.contract"
    assert f"not one row can {advice}" in _refusal(people(text), tmp_path)
    assert f"most rows cannot {advice}" in _refusal(people(f"{text}Eve,30,1.7,Oslo\n"), tmp_path)
    assert "raise dataset.max_rejected" in _refusal(people(f"{text}Eve,30,1.7,Oslo\nKim,20,1.8,Kiel\n"), tmp_path)


def _refusal(dataset: DatasetConfig, root: Path) -> str:
    with pytest.raises(DataError) as caught:
        ingest(dataset, Places(root))
    return str(caught.value)


def test_rejected_rows_are_kept_with_their_reasons_up_to_the_limit(people: People, tmp_path: Path) -> None:
    text = "name,age,height,city\nAda,36,1.6,London\nBob,old,1.7,Rome\nEve,30,inf,Oslo\nKim,20,,Kiel\n"
    with pytest.raises(DataError) as caught:
        ingest(people(text), Places(tmp_path))
    assert "2 rows cannot be read and dataset.max_rejected allows 0; line 3 of source people" in str(caught.value)
    assert "column 'age' holds 'old', which is no whole number" in str(caught.value)
    assert not (tmp_path / "data").exists()
    record = ingest(people(text, max_rejected=2), Places(tmp_path))
    assert (record.rows, record.rejected) == (2, 2)
    kept = Table.open(tmp_path / record.folder).rejected().to_pylist()
    assert [(row["source"], row["position"], row["raw"]) for row in kept] == [
        ("people", 3, "Bob,old,1.7,Rome"),
        ("people", 4, "Eve,30,inf,Oslo"),
    ]


def test_a_column_that_is_not_there_is_said(people: People, tmp_path: Path) -> None:
    table = Table.open(tmp_path / ingest(people(), Places(tmp_path)).folder)
    for read in (table.read, lambda names: list(table.batches(names))):
        with pytest.raises(DataError, match="has no column 'weight'; it has __row_id__, __content__, name"):
            read(["age", "weight"])


def test_emoji_and_chinese_text_survive(people: People, tmp_path: Path) -> None:
    names = Table.open(tmp_path / ingest(people(), Places(tmp_path)).folder).read(["name"]).column("name").to_pylist()
    assert names == ["Ada", "Grace", "Ada", "小明", "Zoë 😀"]


def test_equal_inputs_with_other_targets_share_their_content(people: People, tmp_path: Path) -> None:
    table = Table.open(tmp_path / ingest(people(), Places(tmp_path)).folder).read()
    first, third = (table.slice(at, 1).to_pylist()[0] for at in (0, 2))
    assert first[CONTENT] == third[CONTENT] == first[ROW_ID]
    assert third[ROW_ID] == f"{first[CONTENT]}-1"


def test_a_key_names_rows_and_may_not_repeat(people: People, tmp_path: Path) -> None:
    dataset = people("name,age,height,city\nAda,1,1,a\nBob,1,1,a\n", key="name")
    rows = Table.open(tmp_path / ingest(dataset, Places(tmp_path)).folder).read([ROW_ID])
    assert rows.column(ROW_ID).to_pylist() == ["Ada", "Bob"]
    with pytest.raises(DataError, match="key name='Ada' occurs twice"):
        ingest(people("name,age,height,city\nAda,1,1,a\nAda,2,1,a\n", key="name"), Places(tmp_path))


def test_neither_batches_nor_blocks_show_in_the_bytes(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "name,age,height,city\n" + "".join(f"n{at % 50},{at % 7},{at / 8},c\n" for at in range(1000))
    ingest(people(text), Places(tmp_path))
    whole = row_bytes(tmp_path / "data" / "people")
    monkeypatch.setattr("headframe.datasets.readers.delimited.BATCH", 37)
    (tmp_path / "data" / "people" / "dataset.json").unlink()
    ingest(people(text), Places(tmp_path))
    assert row_bytes(tmp_path / "data" / "people") == whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "people.csv is empty"),
        ("name,age,height,city\n", "hold no rows that can be read"),
        ("name,age,city\nAda,1,London\n", "column 'height' is missing; came: name, age, city"),
        (
            "name;age;height;city\nAda;1;1.5;London\n",
            "; its cells seem to be separated by ';': set reader.delimiter to that, or write a file separated by ','",
        ),
    ],
)
def test_structural_faults_stop_before_anything_is_written(
    people: People, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ingest(people(text), Places(tmp_path))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("blocked", ["data", ".headframe", "data/people"])
def test_a_place_that_cannot_be_written_is_said(people: People, tmp_path: Path, blocked: str) -> None:
    dataset = people()
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("a file where a folder is expected")
    with pytest.raises(HeadframeError) as caught:
        ingest(dataset, Places(tmp_path))
    assert caught.value.exit_code == 1
    assert "cannot be written" in str(caught.value)
    assert (tmp_path / blocked).read_text() == "a file where a folder is expected"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_data_on_another_file_system_is_said(people: People, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if Path(elsewhere).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("this machine has one file system only")
        (tmp_path / "data").symlink_to(elsewhere)
        with pytest.raises(HeadframeError, match="people lies on another file system than the project"):
            ingest(people(), Places(tmp_path))
        assert not list(Path(elsewhere).iterdir())
    assert not list((tmp_path / ".headframe" / "collecting").iterdir())


def test_a_full_disk_leaves_the_old_table(people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = ingest(people(), Places(tmp_path))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(HeadframeError, match="No space left on device"):
        ingest(people("name,age,height,city\nEve,1,1,a\n"), Places(tmp_path))
    open_record(old, tmp_path).verify()
    assert not list((tmp_path / ".headframe" / "collecting").iterdir())


CHILD = """
import json, os, signal, sys
from pathlib import Path
from headframe.config.plan.data import CONTENT, ROW_ID, DatasetConfig
from headframe import replace_folder
from headframe.datasets import ingest, table_writer
from headframe.places import Places

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

where, root = sys.argv[1], Path(sys.argv[2])
if where == "while the table is written":
    table_writer._Writer.digest = die
elif where == "before the table is in place":
    ingest.replace_folder = die
elif where == "before the old table is removed":
    replace_folder.shutil.rmtree = die
elif where == "between two renames":
    replace_folder._swapped = lambda *_: False
    rename = Path.rename
    def once(self, target):
        if self.parent.name == "collecting":
            die()
        return rename(self, target)
    Path.rename = once
dataset = DatasetConfig.model_validate(json.loads((root / "people.json").read_text()))
print(ingest.ingest(dataset, Places(root)).model_dump_json())
"""


def child(where: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, where, str(root)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "where",
    [
        "while the table is written",
        "before the table is in place",
        "before the old table is removed",
        "between two renames",
    ],
)
def test_a_kill_leaves_the_old_table_or_the_new_one(people: People, tmp_path: Path, where: str) -> None:
    old = ingest(people(), Places(tmp_path))
    dataset = people("name,age,height,city\nEve,1,1,a\n")
    (tmp_path / "people.json").write_text(dataset.model_dump_json())
    with child(where, tmp_path) as process:
        assert process.wait() == -9
    if where != "between two renames":  # there the next call brings the old one back first
        Table.open(tmp_path / old.folder).verify()
        assert (Table.open(tmp_path / old.folder).digest == old.digest) == (where != "before the old table is removed")
    with pytest.raises(DataError, match="hold no rows"):
        ingest(people("name,age,height,city\n"), Places(tmp_path))
    Table.open(tmp_path / old.folder).verify()
    new = ingest(people("name,age,height,city\nEve,1,1,a\n"), Places(tmp_path))
    open_record(new, tmp_path).verify()
    assert new.rows == 1
    assert not list((tmp_path / ".headframe" / "collecting").iterdir())


def test_two_processes_at_once_end_with_one_sound_table(people: People, tmp_path: Path) -> None:
    text = "name,age,height,city\n" + "".join(f"n{at},{at},,c\n" for at in range(20_000))
    (tmp_path / "people.json").write_text(people(text).model_dump_json())
    both = [child("nowhere", tmp_path) for _ in range(2)]
    outputs = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    record = TableRecord.model_validate_json(outputs.pop())
    assert not outputs
    open_record(record, tmp_path).verify()
