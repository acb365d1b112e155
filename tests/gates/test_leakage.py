"""What the gate against leakage compares, on rows made by hand."""

import hashlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headframe.config.plan.data import CONTENT, ROW_ID, SplitConfig
from headframe.datasets.splits import SPLITS
from headframe.gates.leakage import Leakage

BY_TIME = {"_target_": "headframe.datasets.splits.TimeSplitter", "train": 2, "validation": 1, "test": 2}
BY_HASH = {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2}


def context(
    splits: list[str], split: dict[str, Any], measured: list[str] | None = None, horizon: int = 0, **columns: Any
) -> Any:
    """As much of a gate's context as the gate reads; every test row is measured unless other rows are named."""
    ids = [f"row-{number}" for number in range(len(splits))]
    table = pa.table({ROW_ID: ids, **columns})
    codes = np.searchsorted(sorted(SPLITS), splits).astype(np.uint8)
    tested = [name for name, part in zip(ids, splits, strict=True) if part == "test"]
    rows = SimpleNamespace(
        splits=np.array(splits),
        table=SimpleNamespace(read=table.select, schema=table.schema),
        predictions=pa.table({"row_id": tested if measured is None else measured}),
    )
    time = "time" if "time" in columns else None
    group = ("patient",) if "patient" in columns else ()
    # Rows that repeat are compared as raw rows alone.
    dataset = SimpleNamespace(time=time, split=SplitConfig.model_validate(split), repeats=True, group=group)
    digests = {"split": hashlib.sha256(codes.tobytes()).hexdigest()}
    records = SimpleNamespace(
        signed_digest=digests.__getitem__, task=SimpleNamespace(horizon=horizon), plan=SimpleNamespace(dataset=dataset)
    )
    return SimpleNamespace(rows=rows, records=records)


@pytest.mark.parametrize(
    ("times", "late"),
    [([1, 2, 3, 4, 5], 0), ([1, 2, 4, 4, 5], 1), ([1, 4, 4, 4, 5], 2), ([1, 2, 5, 4, 6], 1), ([5, 6, 7, 3, 4], 3)],
)
def test_every_row_of_a_series_that_was_learned_from_is_earlier_than_all_test_rows(times: list[int], late: int) -> None:
    splits = ["train", "train", "validation", "test", "test"]
    found = Leakage().judge(context(splits, BY_TIME, horizon=1, time=times))
    assert found.numbers["not_earlier"] == late
    assert (found.passed, found.verdict) == ((True, "no leakage") if not late else (False, "leaks"))
    if late:
        assert found.reason == (
            f"{late} rows that were learned from are not earlier than the first test row, {min(times[3:])}"
        )


def test_unused_rows_may_come_after_the_test_rows() -> None:
    splits = ["train", "train", "validation", "test", "unused"]
    assert Leakage().judge(context(splits, BY_TIME, horizon=1, time=[1, 2, 3, 4, 4])).passed


def test_without_a_column_of_time_the_order_of_rows_counts() -> None:
    splits = ["train", "validation", "test", "train"]
    found = Leakage().judge(context(splits, BY_TIME, horizon=1))
    assert (found.passed, found.numbers["not_earlier"]) == (False, 1)


def test_a_content_that_was_learned_from_is_counted_in_every_test_row_that_has_it() -> None:
    content = [f"{number:016x}" for number in (1, 2, 3, 1, 2, 7)]
    splits = ["train", "validation", "unused", "test", "test", "test"]
    found = Leakage().judge(context(splits, BY_HASH, **{CONTENT: content}))
    assert (found.passed, found.verdict, found.numbers["shared"]) == (False, "leaks", 2)
    assert {name: found.numbers[name] for name in SPLITS} == {"train": 1, "validation": 1, "test": 3, "unused": 1}
    alone = ["train", "unused", "unused", "unused", "test", "test"]
    assert Leakage().judge(context(alone, BY_HASH, **{CONTENT: content})).passed, "unused rows were not learned from"


def test_a_group_that_was_learned_from_is_counted_in_every_test_row_that_has_it() -> None:
    columns = {CONTENT: [f"{number:016x}" for number in range(6)], "patient": ["a", "b", "c", "a", "b", None]}
    found = Leakage().judge(context(["train", "validation", "train", "test", "test", "test"], BY_HASH, **columns))
    assert (found.passed, found.verdict, found.numbers["shared_patient"]) == (False, "leaks", 2)
    assert found.reason == "2 of 3 test rows have a patient that was learned from, first 'a'"
    alone = ["unused", "unused", "train", "test", "validation", "test"]
    assert Leakage().judge(context(alone, BY_HASH, **columns)).passed


def test_all_test_rows_are_measured_and_no_others() -> None:
    splits = ["train", "validation", "test", "test"]
    content = [f"{number:016x}" for number in range(4)]

    def judged(measured: list[str], horizon: int = 0) -> Any:
        return Leakage().judge(context(splits, BY_HASH, measured, horizon, **{CONTENT: content}))

    assert judged(["row-2", "row-3"]).passed
    assert judged(["row-2", "row-1"]).reason == "1 measured rows are no test rows, first row-1"
    assert judged(["row-2"]).reason == "1 rows were measured, but the split has 2 test rows"
    assert judged(["row-2"], horizon=1).passed, "of a forecast, windows that begin in test rows"


def test_another_split_than_the_one_that_was_signed_is_refused() -> None:
    made = context(["train", "validation", "test"], BY_HASH, **{CONTENT: [f"{number:016x}" for number in range(3)]})
    made.records.signed_digest = lambda name: f"another {name}"
    found = Leakage().judge(made)
    assert not found.passed
    assert found.reason.endswith("but the version was measured on split another spli")
