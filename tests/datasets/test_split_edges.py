"""Splits against plain integers: the hash of a content, where shares end, what a column of parts may hold."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from headframe.config.plan.data import CONTENT
from headframe.datasets.splits import HashSplitter, PredefinedSplitter, TimeSplitter, _check_disjoint, uniform_hash
from headframe.errors import DataError

CONTENTS = [0, 1, 2, 255, 2**32, 2**53 + 1, 2**63, 2**64 - 1, *range(10, 400)]


def plain_hash(content: int, salt: str) -> float:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014) in Python's own integers."""
    mixed = content ^ int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "little")
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) % 2**64
    return ((mixed ^ (mixed >> 31)) >> 11) / 2**53


@pytest.mark.parametrize("salt", ["", "x", "\u2028"])
def test_a_content_is_hashed_as_plain_integers_are(salt: str) -> None:
    found = uniform_hash(np.array(CONTENTS, dtype=np.uint64), salt)
    assert found.tolist() == [plain_hash(content, salt) for content in CONTENTS]
    assert 0 <= found.min() <= found.max() < 1


def test_shares_end_before_their_bounds() -> None:
    """Test rows are drawn first, then validation rows; a content at a bound belongs to the next share."""
    rows = pa.table({CONTENT: [f"{content:016x}" for content in CONTENTS]})
    draws = [plain_hash(content, "") for content in CONTENTS]
    low, high = sorted(draws)[100], sorted(draws)[250]
    found = HashSplitter(test=low, validation=high - low).assign(rows, None)
    expected = ["test" if draw < low else "validation" if draw < low + (high - low) else "train" for draw in draws]
    assert found.tolist() == expected
    assert expected.count("test") == 100


@pytest.mark.parametrize(
    ("test", "validation", "allowed"),
    [(0.0, 0.0, True), (0.5, 0.49, True), (0.5, 0.5, False), (1.0, 0.0, False), (-0.1, 0.2, False), (0.2, -0.1, False)],
)
def test_shares_leave_rows_to_train_on(test: float, validation: float, allowed: bool) -> None:
    if allowed:
        HashSplitter(test=test, validation=validation)
        return
    with pytest.raises(ValueError, match="must be at least 0 and leave rows to train on"):
        HashSplitter(test=test, validation=validation)


def test_a_row_whose_published_part_is_empty_is_refused() -> None:
    rows = pa.table({CONTENT: [f"{content:016x}" for content in range(3)], "part": ["train", None, "test"]})
    with pytest.raises(DataError, match="column 'part' holds 'nothing'; expected: train, validation, test"):
        PredefinedSplitter().assign(rows, None)


def test_all_parts_that_mean_nothing_are_refused_and_the_first_by_name_is_named() -> None:
    rows = pa.table({CONTENT: ["0" * 16] * 3, "part": ["dev", "a", "train"]})
    with pytest.raises(DataError, match="holds 'a'; expected"):
        PredefinedSplitter().assign(rows, None)
    with pytest.raises(ValueError, match="names leads to hold-out, practice; only train, validation, test, unused"):
        PredefinedSplitter(names={"a": "practice", "b": "train", "c": "hold-out"})
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="must be at least 0 and below 1"):
            PredefinedSplitter(validation=share)


def test_validation_rows_of_a_published_split_are_drawn_by_content() -> None:
    contents = CONTENTS[:200]
    rows = pa.table({
        CONTENT: [f"{content:016x}" for content in [*contents, *contents[:40]]],
        "part": ["train"] * 200 + ["train"] * 20 + ["test"] * 20,
    })  # fmt: skip
    found = PredefinedSplitter(validation=0.3, salt="s").assign(rows, None).tolist()
    drawn = ["validation" if plain_hash(content, "s") < 0.3 else "train" for content in contents]
    tested = set(contents[20:40])
    expected = ["unused" if content in tested else part for content, part in zip(contents, drawn, strict=True)]
    assert found == [*expected, *drawn[:20], *["test"] * 20]


@pytest.mark.parametrize("counts", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_every_part_of_a_series_has_a_row(counts: tuple[int, int, int]) -> None:
    train, validation, test = counts
    with pytest.raises(ValueError, match="must each be at least one row"):
        TimeSplitter(train=train, validation=validation, test=test)
    whole = pa.table({CONTENT: ["0" * 16] * 3, "time": [1, 2, 3]})
    assert TimeSplitter(train=1, validation=1, test=1).assign(whole, "time").tolist() == ["train", "validation", "test"]


def test_a_content_at_the_end_of_a_share_belongs_to_the_next() -> None:
    rows = pa.table({CONTENT: [f"{content:016x}" for content in CONTENTS], "part": ["train"] * len(CONTENTS)})
    draws = [plain_hash(content, "s") for content in CONTENTS]
    bound = sorted(draws)[100]
    expected = ["validation" if draw < bound else "train" for draw in draws]
    assert expected.count("validation") == 100
    assert HashSplitter(test=0.0, validation=bound, salt="s").assign(rows, None).tolist() == expected
    assert PredefinedSplitter(validation=bound, salt="s").assign(rows, None).tolist() == expected


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([1, 3, 2, 4], "row 3 has 2 after 3"),
        ([1, 2, 4, 3], "row 4 has 3 after 4"),
        ([5, 4, 3, 2], "row 2 has 4 after 5"),
    ],
)
def test_the_first_row_that_goes_back_in_time_is_named(times: list[int], found: str) -> None:
    rows = pa.table({CONTENT: ["0" * 16] * 4, "time": times})
    with pytest.raises(DataError, match=f"column 'time' does not ascend: {found}; sort"):
        TimeSplitter(train=1, validation=1, test=1).assign(rows, "time")


@pytest.mark.parametrize(
    ("contents", "splits", "named"),
    [
        ([7, 3, 7, 3], ["train", "train", "validation", "validation"], "0000000000000003 in both train and validation"),
        ([3, 9, 9], ["train", "test", "validation"], "0000000000000009 in both test and validation"),
        ([9, 3, 3], ["train", "test", "validation"], "0000000000000003 in both test and validation"),
        ([3, 3, 3], ["train", "train", "validation"], "0000000000000003 in both train and validation"),
    ],
)
def test_the_smallest_content_in_two_splits_is_named(contents: list[int], splits: list[str], named: str) -> None:
    with pytest.raises(
        DataError, match=f"the split of d leaks: equal rows lie in two splits, first the content {named}"
    ):
        _check_disjoint("d", np.array(contents, dtype=np.uint64), np.array(splits))
    used = np.array(splits) != splits[-1]
    _check_disjoint("d", np.array(contents, dtype=np.uint64), np.where(used, splits, "unused"))
