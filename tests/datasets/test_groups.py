"""Groups: rows of one patient, user or sentence lie on one side of every border, and count as one in intervals."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headframe.config.dataset_checks import check_dataset
from headframe.config.plan.data import CONTENT, ROW_ID, DatasetConfig
from headframe.datasets import splits
from headframe.datasets.groups import group_numbers
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.splits import assign, split
from headframe.datasets.table import Table
from headframe.datasets.table_writer import write_table
from headframe.digests import digest
from headframe.errors import ConfigurationError, DataError
from headframe.evaluation.intervals import GROUP, Resampling, metric_intervals, number_contents
from headframe.evaluation.paired import PairedComparison
from headframe.evaluation.significance import mcnemar
from headframe.evaluation.slices import append_contents
from headframe.places import Places
from headframe.tasks.classification import Classification

HASH = {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.3}
GIVEN = {"_target_": "headframe.datasets.splits.PredefinedSplitter", "column": "part", "validation": 0.3}
VALUES = st.lists(st.tuples(*[st.none() | st.integers(0, 6)] * 2, st.integers(0, 50)), min_size=1, max_size=25)


def settings(**changes: Any) -> DatasetConfig:
    return DatasetConfig.model_validate({
        "name": "visits", "title": "Visits", "licence": "CC0-1.0", "citation": "made up", "target": "ill",
        "sources": {"made": {"uri": "file:made"}}, "inputs": ["x"], "split": HASH,
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "contract": {"columns": {
            "patient": {"dtype": "string", "nullable": True}, "ward": {"dtype": "int", "nullable": True},
            "x": {"dtype": "int"}, "part": {"dtype": "string"}, "ill": {"dtype": "bool"},
        }},
    } | changes)  # fmt: skip


def visits(seed: int, rows: int = 400, patients: int = 60) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({
        "patient": [f"p{each}" for each in random.integers(0, patients, rows)],
        "ward": random.integers(0, 10**6, rows),
        "x": random.integers(0, 10**6, rows),
        "part": ["train"] * rows,
        "ill": random.random(rows) < 0.3,
    })  # fmt: skip


def stored(root: Path, config: DatasetConfig, rows: pa.Table) -> Table:
    folder = root / "data" / "visits"
    folder.mkdir(parents=True)
    return write_table(folder, config, dict(config.sources), map(ReadBatch, rows.to_batches(max_chunksize=100)))


def sides(table: Table, found: np.ndarray, column: str) -> dict[Any, set[str]]:
    sides: dict[Any, set[str]] = {}
    for value, part in zip(table.read([column])[column].to_pylist(), found.tolist(), strict=True):
        if value is not None and part != "unused":
            sides.setdefault(value, set()).add(part)
    return sides


@given(VALUES)
def test_groups_are_what_values_and_contents_connect(rows: list[tuple[int | None, int | None, int]]) -> None:
    a, b, contents = (list(each) for each in zip(*rows, strict=True))
    table = pa.table({"a": pa.array(a, pa.int64()), "b": pa.array(b, pa.int64())})
    found = group_numbers(table, ["a", "b"], np.array(contents))
    expected = list(range(len(rows)))  # by plain search: rows that share something get the smaller label
    for _ in rows:
        for one, other in ((i, j) for i in range(len(rows)) for j in range(i)):
            pairs = zip(rows[one], rows[other], strict=True)
            if any(left == right is not None for left, right in pairs):
                expected[one] = expected[other] = min(expected[one], expected[other])
    assert [[x == y for y in found] for x in found] == [[x == y for y in expected] for x in expected]


@pytest.mark.parametrize("how", [HASH, GIVEN], ids=["hash", "predefined"])
@pytest.mark.parametrize("group", ["patient", ["patient", "ward"]], ids=str)
def test_every_splitter_keeps_groups_on_one_side(tmp_path: Path, how: dict[str, Any], group: Any) -> None:
    config = settings(split=how, group=group)
    rows = visits(1)
    if isinstance(group, list):
        wards = np.array([int(each.removeprefix("p")) // 3 for each in rows["patient"].to_pylist()])
        rows = rows.set_column(1, "ward", pa.array(wards, mask=np.arange(len(wards)) % 5 == 0))
    numbers = [int(each.removeprefix("p")) for each in rows["patient"].to_pylist()]
    parts = ["test" if number < 12 and row % 2 else "train" for row, number in enumerate(numbers)]
    rows = rows.set_column(3, "part", pa.array(parts))
    table = stored(tmp_path, config, rows)
    found = assign(config.training_data, table)
    assert {"train", "validation", "test"} <= {*found.tolist()}
    for column in config.group:
        assert max(len(each) for each in sides(table, found, column).values()) == 1
    apart = assign(config.training_data.model_copy(update={"group": ()}), table)
    assert max(len(each) for each in sides(table, apart, "patient").values()) > 1
    if how is GIVEN:
        assert ((found == "test") == (np.array(parts) == "test")).all()  # published rows stay whole
    assert split(config, table.record(), Places(tmp_path, None)).test == (found == "test").sum()


def test_appended_rows_and_other_inputs_move_no_group(tmp_path: Path) -> None:
    before, after = visits(2, rows=200), visits(3, rows=200, patients=90)
    config = settings(group="patient")
    old = stored(tmp_path / "old", config, before)
    new = stored(tmp_path / "new", config, pa.concat_tables([before, after]))
    first, second = assign(config.training_data, old), assign(config.training_data, new)
    assert second[:200].tolist() == first.tolist()
    other = config.model_copy(update={"inputs": ("x", "ward")})
    assert assign(other.training_data, new).tolist() == second.tolist()
    again = stored(tmp_path / "again", other, before)
    assert again.read([ROW_ID, CONTENT]).equals(old.read([ROW_ID, CONTENT]))


def test_a_split_that_parts_a_group_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(group="patient")
    table = stored(tmp_path, config, visits(4))
    monkeypatch.setattr(splits, "group_numbers", lambda rows, columns, contents: contents)
    with pytest.raises(DataError, match=r"leaks: rows of one group .* whose patient is 'p\d+' in both train and "):
        split(config, table.record(), Places(tmp_path, None))


def test_groups_that_cannot_be_kept_are_refused_when_loaded() -> None:
    by_time = {"_target_": "headframe.datasets.splits.TimeSplitter", "train": 5, "validation": 2, "test": 2}
    columns = settings().contract.model_dump(exclude_defaults=True)["columns"]
    timed = {"columns": {**columns, "t": {"dtype": "int"}}}
    with pytest.raises(ConfigurationError, match="group=patient: TimeSplitter splits by time"):
        check_dataset(settings(group="patient", split=by_time, time="t", contract=timed), Path("src"))
    pictures = {"columns": {**columns, "image": {"dtype": "encoded_image"}}}
    own = {"_target_": "headframe.datasets.readers.base.Reader"}
    with pytest.raises(ConfigurationError, match="group=image: encoded_image cells hold no name of a group"):
        check_dataset(settings(group="image", contract=pictures, reader=own), Path("src"))
    with pytest.raises(ValueError, match=r"column 'patent' is not in contract\.columns"):
        settings(group="patent")


def test_a_data_set_without_groups_has_the_identity_of_before() -> None:
    assert digest(settings().training_data) == digest(settings(group=[]).training_data)
    assert digest(settings().training_data) != digest(settings(group="patient").training_data)


def test_predicted_rows_of_a_group_are_drawn_together(tmp_path: Path) -> None:
    config = settings(group="patient")
    table = stored(tmp_path, config, visits(5))
    predictions = pa.table({"row_id": table.read([ROW_ID])[ROW_ID]})
    patients = table.read(["patient"])["patient"].to_pylist()
    for repeats in (False, True):
        columns = config.training_data.model_copy(update={"repeats": repeats}).repeated_columns
        numbers = number_contents(append_contents(predictions, table, columns, config.group), HOW)
        assert len({*zip(numbers.tolist(), patients, strict=True)}) == len({*patients}) == len({*numbers.tolist()})
    assert append_contents(predictions, table, (), ()) is predictions


HOW = Resampling(confidence=0.95, resamples=200, seed=3)
GROUPS, SIZE = 60, 8


def judged(random: np.random.Generator, spread: float) -> tuple[Classification, pa.Table, float]:
    """Predictions of a classifier that is better for some patients than for others, and its true accuracy."""
    skill = np.clip(random.normal(0.75, spread, GROUPS), 0, 1)
    right = random.random((GROUPS, SIZE)) < skill[:, np.newaxis]
    target = random.integers(0, 2, GROUPS * SIZE)
    predicted = np.where(right.ravel(), target, 1 - target)
    task = Classification()
    task.fit(pa.table({"ill": [False, True]}))
    scores = np.eye(2)[predicted] * 0.6 + 0.2
    table = task.predictions(scores, target)
    contents = np.repeat([f"{GROUP}{each:016x}" for each in range(GROUPS)], SIZE)
    return task, table.append_column("content", pa.array(contents)), float(right.mean())


def test_intervals_cover_the_truth_where_rows_come_in_groups() -> None:
    random = np.random.default_rng(11)
    truth = np.clip(random.normal(0.75, 0.25, 10**6), 0, 1).mean()
    covered = {"grouped": 0, "single": 0}
    simulations = 120
    for _ in range(simulations):
        task, table, _ = judged(random, 0.25)
        for name, rows in (("grouped", table), ("single", table.drop_columns(["content"]))):
            found = metric_intervals(task, rows, HOW)["accuracy"]
            covered[name] += bool(found.low <= truth <= found.high)  # type: ignore[operator]
    assert covered["grouped"] >= 0.91 * simulations
    assert covered["single"] <= 0.85 * simulations


def test_equal_models_are_rarely_found_better_where_a_few_groups_decide() -> None:
    """One model wins a row in most groups and loses three in others: which wins more groups says nothing."""
    random = np.random.default_rng(7)
    comparison = PairedComparison(effect=0.05)
    task = Classification()
    task.fit(pa.table({"ill": [False, True]}))
    groups, size, simulations = 150, 4, 150
    target = np.zeros(groups * size, dtype=int)
    contents = pa.array(np.repeat([f"{GROUP}{each:016x}" for each in range(groups)], size))
    better = by_groups = 0
    for _ in range(simulations):
        lost = random.random(groups) < 1 / 4  # three rows there, one row in each other group: equal on average
        mine, other = np.zeros((2, groups, size), dtype=int)
        mine[lost, :3] = 1
        other[~lost, 0] = 1
        one, two = (
            task.predictions(np.eye(2)[each.ravel()], target).append_column("content", contents)
            for each in (mine, other)
        )
        tested = comparison.compare(task, one, two, HOW, 0.05)
        better += comparison.verdict(tested, 0.05) == "better"
        by_groups += mcnemar(int((~lost).sum()), int(lost.sum())) < 0.05 and tested.gain.value > 0
    assert better <= 0.09 * simulations
    assert by_groups > 0.3 * simulations
