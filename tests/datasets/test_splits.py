"""Splits: nothing crosses, nothing moves, the published test rows stay whole."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headframe.config.plan.data import CONTENT, ROW_ID, DatasetConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets import splits
from headframe.datasets.ingest import ingest
from headframe.datasets.splits import HashSplitter, PredefinedSplitter, TimeSplitter, assign, split
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError, DataError
from headframe.examples.prepare import prepare
from headframe.places import Places

Collected = Callable[..., Any]

CONTENTS = st.lists(st.integers(0, 2**64 - 1).map("{:016x}".format), min_size=1)


def rows(content: list[str], **columns: list[object]) -> pa.Table:
    return pa.table({CONTENT: content, **columns})


@given(CONTENTS, CONTENTS)
def test_appended_rows_move_no_other(before: list[str], after: list[str]) -> None:
    splitter = HashSplitter(validation=0.3, test=0.3)
    old, new = splitter.assign(rows(before), None), splitter.assign(rows(before + after), None)
    assert new[: len(old)].tolist() == old.tolist()


@given(CONTENTS, st.randoms())
def test_equal_contents_share_their_part_in_any_order(content: list[str], random: object) -> None:
    many = content * 2
    random.shuffle(many)  # type: ignore[attr-defined]
    parts = defaultdict(set)
    for one, part in zip(many, HashSplitter(validation=0.3, test=0.3).assign(rows(many), None), strict=True):
        parts[one].add(part)
    assert all(len(found) == 1 for found in parts.values())


def test_shares_are_met_and_another_salt_is_another_draw() -> None:
    content = [f"{value:016x}" for value in np.random.default_rng(0).integers(0, 2**63, 20_000)]
    first = HashSplitter(validation=0.1, test=0.25).assign(rows(content), None)
    assert (first == "test").mean() == pytest.approx(0.25, abs=0.01)
    assert (first == "validation").mean() == pytest.approx(0.1, abs=0.01)
    second = HashSplitter(validation=0.1, test=0.25, salt="x").assign(rows(content), None)
    assert ((first == "test") & (second == "test")).mean() == pytest.approx(0.25**2, abs=0.01)


def test_neighbouring_contents_are_drawn_independently() -> None:
    draw = splits.uniform_hash(np.arange(100_000, dtype=np.uint64), "salt")
    assert np.histogram(draw, 10, (0, 1))[0] == pytest.approx(10_000, rel=0.05)
    assert abs(np.corrcoef(draw[1:], draw[:-1])[0, 1]) < 0.01


def test_the_published_test_rows_stay_whole_and_their_copies_are_left_unused() -> None:
    content = [f"{value:016x}" for value in (1, 2, 3, 4, 2, 3, 5, 4)]
    part = ["train", "train", "train", "train", "validation", "test", "test", "validation"]
    got = PredefinedSplitter().assign(rows(content, part=part), None)
    assert got.tolist() == ["train", "unused", "unused", "unused", "validation", "test", "test", "validation"]


def test_validation_is_drawn_from_training_rows_alone() -> None:
    content = [f"{value:016x}" for value in range(2000)]
    part = ["train"] * 1500 + ["test"] * 500
    got = PredefinedSplitter(validation=0.1).assign(rows(content, part=part), None)
    assert (got[1500:] == "test").all()
    assert 100 < (got[:1500] == "validation").sum() < 200


@pytest.mark.parametrize("names", [{0: "train", 1: "test"}, {"0": "train", "1": "test"}])
def test_a_split_may_be_given_as_numbers(names: dict[Any, str]) -> None:
    content = [f"{number:016x}" for number in range(4)]
    got = PredefinedSplitter(names=names).assign(rows(content, part=[0, 1, 1, 0]), None)
    assert got.tolist() == ["train", "test", "test", "train"]


def test_a_part_that_means_nothing_is_said() -> None:
    with pytest.raises(DataError, match="column 'part' holds 'dev'; expected: train, validation, test"):
        PredefinedSplitter().assign(rows(["0" * 16], part=["dev"]), None)
    assert PredefinedSplitter(names={"dev": "validation"}).assign(rows(["0" * 16], part=["dev"]), None).tolist() == [
        "validation"
    ]


def test_time_orders_the_parts() -> None:
    table = rows(["0" * 16] * 6, date=list(range(6)))
    got = TimeSplitter(train=2, validation=1, test=2).assign(table, "date")
    assert got.tolist() == ["train", "train", "validation", "test", "test", "unused"]


@pytest.mark.parametrize(
    ("dates", "time", "error", "message"),
    [
        ([0, 1, 1, 2, 3], "date", DataError, "'date' has 1 in rows 2 and 3, but a series has one row for each time"),
        ([0, 2, 1, 3, 4], "date", DataError, "does not ascend"),
        ([0, 1], "date", DataError, "needs 5 rows, but the table has 2"),
        ([0, 1, 2, 3, 4], None, ConfigurationError, "dataset.time names no column"),
    ],
)
def test_a_series_that_cannot_be_cut_is_said(
    dates: list[int], time: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TimeSplitter(train=2, validation=1, test=2).assign(rows(["0" * 16] * len(dates), date=dates), time)


def test_a_leak_is_found_whoever_made_the_split() -> None:
    content = np.array([5, 6, 5, 7], dtype=np.uint64)
    splits._check_disjoint("people", content, np.array(["train", "train", "unused", "test"]))
    with pytest.raises(DataError, match="content 0000000000000005 in both test and train"):
        splits._check_disjoint("people", content, np.array(["train", "train", "test", "test"]))


def test_an_empty_part_is_said(people: Callable[..., DatasetConfig], tmp_path: Path) -> None:
    shares = {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.0, "test": 0.3}
    dataset = people(split=shares)
    with pytest.raises(DataError, match="leaves no validation rows among 5"):
        split(dataset, ingest(dataset, Places(tmp_path)), Places(tmp_path))


def test_names_of_splits_that_yaml_takes_for_truth_values_are_refused() -> None:
    parts = rows(["0" * 16, "1" * 16], part=["yes", "no"])
    said = r"column 'part' holds 'no'; expected: True, False; YAML takes yes, no, on, off, true and false for truth"
    with pytest.raises(DataError, match=said):
        PredefinedSplitter(names={True: "train", False: "test"}).assign(parts, None)
    numbers = rows(["0" * 16, "1" * 16], part=[1, 2])
    assert PredefinedSplitter(names={1: "train", 2: "test"}).assign(numbers, None).tolist() == ["train", "test"]


def test_few_contents_are_the_reason_that_is_given(people: Callable[..., DatasetConfig], tmp_path: Path) -> None:
    dataset = people("name,age,height,city\n" + "Ada,36,1.65,Paris\nZoe,12,1.5,Rome\n" * 100)
    record = ingest(dataset, Places(tmp_path))
    said = r"rows among 200, which have 2 different contents: rows of equal content stay in one split, so add columns"
    with pytest.raises(DataError, match=said):
        split(dataset, record, Places(tmp_path))
    task = TaskConfig.model_validate({"_target_": "headframe.tasks.classification.Classification", "kind": "x"})
    with pytest.raises(DataError, match=said):
        prepare(dataset.training_data, task, Table.open(tmp_path / record.folder))


@pytest.mark.parametrize(("real", "repeated"), [(False, 211), (True, 403)])
def test_repeated_messages_never_cross(collected: Collected, real: bool, repeated: int) -> None:
    messages = collected("sms_spam", real=real)
    dataset, table = messages.dataset, messages.table
    found = split(dataset, messages.record, Places(messages.root))
    texts, labels = (table.read([name]).column(name).to_pylist() for name in ("text", "label"))
    assert len(texts) - len(set(zip(texts, labels, strict=True))) == repeated
    parts = defaultdict(set)
    for text, part in zip(texts, assign(dataset, table), strict=True):
        parts[text].add(str(part))
    assert {len(found) for found in parts.values()} == {1}
    assert found.train + found.validation + found.test == messages.record.rows
    assert not found.unused


@pytest.mark.parametrize(
    ("name", "real", "counts"),
    [
        ("digits", False, (1119, 281, 397, 0)),
        ("diabetes", False, (266, 58, 118, 0)),
        ("mnist", False, (539, 61, 100, 0)),
        ("csl_titles", False, (800, 100, 100, 0)),
        ("etth1", False, (8_640, 2_880, 2_880, 3_020)),
        ("adult", False, (1_790, 200, 1_000, 10)),
        ("bccd", False, (18, 6, 6, 0)),
        ("dsb2018_nuclei", False, (16, 1, 7, 0)),
        ("groceries", False, (377, 110, 113, 0)),
        ("tatoeba_cmn_eng", False, (656, 46, 98, 0)),
        ("thyroid", False, (201, 105, 194, 0)),
        ("mnist", True, (55_188, 4_812, 10_000, 0)),
        ("csl_titles", True, (8_000, 1_000, 1_000, 0)),
        ("etth1", True, (8_640, 2_880, 2_880, 3_020)),
        ("adult", True, (29_297, 3_236, 16_281, 28)),
        ("bccd", True, (205, 87, 72, 0)),
        ("dsb2018_nuclei", True, (139, 29, 54, 0)),
        ("groceries", True, (5_903, 2_018, 1_914, 0)),
        ("cardio", True, (762, 369, 700, 0)),
        ("tatoeba_cmn_eng", True, (18_724, 1_128, 2_223, 0)),
    ],
)
def test_shipped_splits_are_what_they_were(
    collected: Collected, name: str, real: bool, counts: tuple[int, ...]
) -> None:
    dataset, record, root, _ = collected(name, real=real)
    found = split(dataset, record, Places(root))
    assert (found.train, found.validation, found.test, found.unused) == counts
    assert found == split(dataset, record, Places(root))


def test_neither_row_ids_nor_the_split_depend_on_the_chosen_inputs(
    people: Callable[..., DatasetConfig], tmp_path: Path
) -> None:
    text = "name,age,height,city\n" + "".join(f"n{at % 7},{at % 5},{at % 3},c{at % 2}\n" for at in range(300))
    found = []
    for inputs in (["name", "age", "height"], ["age"], ["height", "name"]):
        dataset = people(text, inputs=inputs)
        table = Table.open(tmp_path / ingest(dataset, Places(tmp_path)).folder)
        found.append((table.digest, assign(dataset, table).tolist(), table.read([ROW_ID]).to_pydict()))
    assert found[1:] == found[:1] * 2


def test_neither_target_nor_key_nor_the_sources_split_makes_copies_differ(
    people: Callable[..., DatasetConfig], tmp_path: Path
) -> None:
    text = "name,age,height,city\nAda,1,1,train\nBob,1,1,test\n"
    by_source = {"_target_": "headframe.datasets.splits.PredefinedSplitter", "column": "city"}
    dataset = people(text, key="name", inputs=["height"], target="age", split=by_source)
    table = Table.open(tmp_path / ingest(dataset, Places(tmp_path)).folder)
    assert len(set(table.read([CONTENT])[CONTENT].to_pylist())) == 1
    assert assign(dataset, table).tolist() == ["unused", "test"]
