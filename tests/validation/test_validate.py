"""Contracts against plain pandas, and everything that must not pass for met."""

import datetime
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_data
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from headframe.config.plan.data import ColumnContract, DatasetConfig, TableContract
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.table import Table
from headframe.datasets.table_writer import write_table
from headframe.errors import DataError
from headframe.places import Places
from headframe.validation import checks as module
from headframe.validation.checks import ExpectationResult, check
from headframe.validation.expectations import Expectation, expectations
from headframe.validation.validate import validate

# Great Expectations imports a module that Python wants to take back; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_.*' is deprecated:DeprecationWarning")

ROWS = 1000
LOOSE: dict[str, dict[str, Any]] = {
    "i": {"dtype": "int"},
    "f": {"dtype": "float"},
    "s": {"dtype": "string"},
    "b": {"dtype": "bool"},
    "t": {"dtype": "timestamp"},
    "image": {"dtype": "tensor", "shape": [2, 2, 1]},
}


def dataset(columns: dict[str, dict[str, Any]], **contract: Any) -> DatasetConfig:
    settings = {
        "name": "numbers",
        "title": "Numbers",
        "licence": "CC0-1.0",
        "citation": "made up",
        "sources": {"none": {"uri": "file:none"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "inputs": [next(iter(columns))],
        "tasks": ["classification"],
        "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.1, "test": 0.1},
        "contract": {"columns": columns, **contract},
    }
    return DatasetConfig.model_validate(settings)


@pytest.fixture
def store(tmp_path: Path) -> Callable[[dict[str, pa.Array]], Table]:
    """Write columns, defects and all, as the table `data/numbers`."""

    def write(columns: dict[str, pa.Array]) -> Table:
        folder = tmp_path / "data" / "numbers"
        folder.mkdir(parents=True)
        columns_of = {name: {**LOOSE[name], "nullable": True} for name in columns}
        return write_table(folder, dataset(columns_of), {}, [ReadBatch(pa.RecordBatch.from_pydict(columns))])

    return write


@pytest.fixture
def frame() -> pd.DataFrame:
    """Every kind of defect, in known numbers."""
    random = np.random.default_rng(7)
    number = random.normal(size=ROWS)
    number[random.random(ROWS) < 0.05] = np.nan
    number[random.random(ROWS) < 0.02] = np.inf
    number[random.random(ROWS) < 0.02] = -np.inf
    words = random.choice(["ham", "spam", "eggs", "😀😀", "ham\n", ""], ROWS)
    return pd.DataFrame(
        {
            "i": pd.array(np.where(random.random(ROWS) < 0.1, None, random.integers(-5, 40, ROWS)), "Int64"),
            "f": number,
            "s": pd.array(np.where(random.random(ROWS) < 0.1, None, words), "str"),
            "b": pd.array(np.where(random.random(ROWS) < 0.1, None, random.random(ROWS) < 0.5), "boolean"),
            "t": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 900, ROWS), "h"),
        }
    )


def arrays(frame: pd.DataFrame) -> dict[str, pa.Array]:
    kinds = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "b": pa.bool_(), "t": pa.timestamp("us")}
    return {
        name: pa.array(frame[name], kinds[name], from_pandas=name != "f") for name in frame.columns
    }  # NaN in "f" stays NaN


def by_expectation(results: list[ExpectationResult]) -> dict[tuple[str | None, str], ExpectationResult]:
    return {(one.column, one.expectation.removeprefix("expect_column_values_to_")): one for one in results}


@pytest.mark.parametrize("chunk", [2**20, 170])
def test_results_are_those_of_plain_pandas(
    store: Callable[..., Table], frame: pd.DataFrame, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    monkeypatch.setattr(Table.batches, "__defaults__", (None, 83))
    contract = {
        "i": {"dtype": "int", "min": 0, "max": 30, "one_of": list(range(0, 40, 2)), "unique": True},
        "f": {"dtype": "float", "min": -1.5},
        "s": {"dtype": "string", "one_of": ["ham", "spam"], "min_length": 1, "max_length": 3, "matches": "ham|😀+"},
        "b": {"dtype": "bool", "one_of": [True]},
        "t": {"dtype": "timestamp", "unique": True},
    }
    found = by_expectation(check(store(arrays(frame)), dataset(contract).contract))
    text, number = frame["s"], frame["f"]
    expected = {
        ("i", "not_be_null"): frame["i"].isna(),
        ("i", "be_between"): (frame["i"] < 0) | (frame["i"] > 30),
        ("i", "be_in_set"): frame["i"].notna() & ~frame["i"].isin(range(0, 40, 2)),
        ("i", "be_unique"): frame["i"].notna() & frame["i"].duplicated(keep=False),
        ("f", "not_be_null"): number.isna(),
        ("f", "be_between"): number.notna() & ~((number >= -1.5) & np.isfinite(number)),
        ("s", "not_be_null"): text.isna(),
        ("s", "be_in_set"): text.notna() & ~text.isin(["ham", "spam"]),
        ("s", "expect_column_value_lengths_to_be_between"): text.notna() & ~text.str.len().between(1, 3),
        ("s", "match_regex"): text.notna() & ~text.isin(["ham", "😀", "😀😀"]),
        ("b", "not_be_null"): frame["b"].isna(),
        ("b", "be_in_set"): frame["b"].eq(False),
        ("t", "not_be_null"): frame["t"].isna(),
        ("t", "be_unique"): frame["t"].duplicated(keep=False),
    }
    counted = {key: result.unexpected for key, result in found.items() if key in expected}
    assert counted == {key: int(wrong.fillna(False).sum()) for key, wrong in expected.items()}
    assert all(result.passed == (result.unexpected == 0) for result in found.values())
    assert all(result.error is None for result in found.values())
    assert len(found) == len(expected) + 2 + len(contract)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_break_a_float_without_bounds(store: Callable[..., Table], value: float) -> None:
    table = store({"f": pa.array([0.0, value, 1.0])})
    broken = [one for one in check(table, dataset({"f": {"dtype": "float"}}).contract) if not one.passed]
    assert [(one.unexpected, one.error) for one in broken] == [(1, None)]
    if math.isinf(value):
        nullable = dataset({"f": {"dtype": "float", "nullable": True}}).contract
        assert [one.unexpected for one in check(table, nullable) if not one.passed] == [1]


def test_images_are_checked_for_shape_range_and_presence(store: Callable[..., Table]) -> None:
    images = np.zeros((5, 2, 2, 1), np.uint8)
    images[1], images[4, 1, 1] = 17, 200
    table = store({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(images)})

    def broken(**constraints: Any) -> list[tuple[str, int, str | None]]:
        contract = dataset({"image": {"dtype": "tensor", **constraints}}).contract
        return [(one.expectation, one.unexpected, one.example) for one in check(table, contract) if not one.passed]

    assert broken(shape=[2, 2, 1]) == []
    assert broken(shape=[2, 2, 1], min=0, max=255) == []
    assert broken(shape=[2, 2, 1], max=16) == [("arrow_between", 2, "17")]
    assert broken(shape=[2, 2, 1], min=1)[0][1] == 4
    assert broken(shape=[4, 1, 1])[0][0] == "arrow_type"


def test_an_expectation_that_cannot_be_checked_fails(store: Callable[..., Table]) -> None:
    table = store({"s": pa.array(["a", "b"])})
    contract = dataset({"s": {"dtype": "string", "matches": "x"}}).contract
    column = contract.columns["s"].model_copy(update={"matches": "("})  # which no contract is loaded with
    contract = contract.model_copy(update={"columns": {"s": column}})
    broken = [one for one in check(table, contract) if not one.passed]
    assert [one.expectation for one in broken] == ["expect_column_values_to_match_regex"]
    assert broken[0].error


def test_an_expectation_without_a_result_fails(store: Callable[..., Table], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._GreatExpectationsValidator, "_add", lambda *_: None)
    results = check(store({"i": pa.array([1])}), dataset({"i": {"dtype": "int"}}).contract)
    unchecked = [one.error for one in results if one.expectation != "arrow_type"]
    assert unchecked == ["it was not checked"] * 3


def test_a_contract_without_expectations_is_a_failure(
    store: Callable[..., Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "expectations", lambda _: [])
    with pytest.raises(DataError, match="the contract has no constraints"):
        check(store({"i": pa.array([1])}), dataset({"i": {"dtype": "int"}}).contract)


def test_an_unmet_contract_names_constraint_column_count_and_example(
    store: Callable[..., Table], tmp_path: Path
) -> None:
    store({"i": pa.array([1, 2, 99, 120]), "s": pa.array(["a", None, "b", "c"])})
    strict = dataset({"i": {"dtype": "int", "max": 90}, "s": {"dtype": "string"}, "f": {"dtype": "float"}}, min_rows=10)
    folder = tmp_path / ".headframe" / "stages" / "validate"
    with pytest.raises(DataError) as caught:
        validate(strict, Table.open(tmp_path / "data" / "numbers").record(), Places(tmp_path).of_step(folder))
    assert caught.value.exit_code == 3
    for words in (
        "column 'i' must be at most 90, but 2 of 4 rows do not meet this, for example '99'",
        "column 's' must not be missing, but 1 of 4 rows do not meet this",
        "column 'f' must be of type double, which cannot be checked: the column is missing",
        "the table must have at least 10 rows, but it has 4",
        "the table must have exactly the columns __row_id__, __content__, i, s, f, but it has",
        ".headframe/stages/validate/validation.json",
    ):
        assert words in str(caught.value)
    report = json.loads((folder / "validation.json").read_text())
    assert sum(not one["passed"] for one in report["results"]) == 7


def test_a_wrong_type_is_named_and_its_other_expectations_fail(store: Callable[..., Table]) -> None:
    results = check(store({"s": pa.array(["1"])}), dataset({"s": {"dtype": "int", "min": 0}}).contract)
    kind = next(one for one in results if one.expectation == "arrow_type")
    assert (kind.passed, kind.example, kind.constraint) == (False, "string", "must be of type int64")
    assert not any(one.passed for one in results if one.column == "s")


def test_the_report_is_the_same_every_time(store: Callable[..., Table], tmp_path: Path, frame: pd.DataFrame) -> None:
    table = store(arrays(frame[["t"]]))
    loose = dataset({"t": {"dtype": "timestamp"}})
    first, second = (
        validate(loose, table.record(), Places(tmp_path).of_step(tmp_path / name)) for name in ("one", "two")
    )
    assert (tmp_path / first.report).read_bytes() == (tmp_path / second.report).read_bytes()
    assert first.report == "one/validation.json"
    assert first.expectations == 4


def test_a_changed_table_is_not_validated(store: Callable[..., Table], tmp_path: Path) -> None:
    table = store({"t": pa.array([datetime.datetime(2020, 1, 1)])})  # noqa: DTZ001 - tables hold no zones
    file = table.folder / "rejected.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DataError, match="was changed or damaged"):
        validate(dataset({"t": {"dtype": "timestamp"}}), table.record(), Places(tmp_path).of_step(tmp_path / "report"))


def test_every_key_of_a_contract_becomes_an_expectation() -> None:
    bare = len(expectations(TableContract(columns={"s": ColumnContract(dtype="string", nullable=True)})))
    for name, value in {"nullable": False, "unique": True, "one_of": ("a",), "min_length": 1, "matches": "a"}.items():
        column = ColumnContract(**{"dtype": "string", "nullable": True, name: value})
        assert len(expectations(TableContract(columns={"s": column}))) == bare + 1, name
    found = expectations(TableContract(columns={"s": ColumnContract(dtype="string")}))
    assert {type(each) for each in found} == {Expectation}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("mnist", 11), ("sms_spam", 8), ("csl_titles", 11), ("etth1", 26), ("adult", 29)),
        *(("bccd", 25), ("dsb2018_nuclei", 11), ("t10i4d100k", 7), ("cardio", 68)),
    ],
)
def test_real_data_sets_meet_their_contracts(
    tmp_path: Path, real_data: Path, repository: Project, name: str, number: int
) -> None:
    shipped = DatasetConfig.model_validate(yaml.safe_load((repository.conf / "dataset" / f"{name}.yaml").read_text()))
    record = ingest(shipped, Places(tmp_path, real_data))
    assert validate(shipped, record, Places(tmp_path).of_step(tmp_path / "report")).expectations == number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("digits", 8), ("mnist", 11), ("sms_spam", 8), ("csl_titles", 11), ("etth1", 26), ("adult", 29)),
        *(("diabetes", 35), ("bccd", 25), ("dsb2018_nuclei", 11), ("groceries", 13), ("thyroid", 23)),
    ],
)
def test_fake_files_and_packages_meet_the_shipped_contracts(tmp_path: Path, name: str, number: int) -> None:
    shipped = DatasetConfig.model_validate(fake_data.settings(name))
    record = ingest(shipped, Places(tmp_path, fake_data.mirror(name)))
    assert validate(shipped, record, Places(tmp_path).of_step(tmp_path / "report")).expectations == number


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("at", [2**53, 2**62 + 1, -(2**53), -(2**62) - 1])
def test_bounds_of_integers_are_compared_as_integers(
    store: Callable[[dict[str, pa.Array]], Table], at: int, nullable: bool
) -> None:
    table = store({"i": pa.array([at - 1, at, at + 1, None] if nullable else [at - 1, at, at + 1], pa.int64())})
    for bound, beyond in ({"max": at}, at + 1), ({"min": at}, at - 1), ({"one_of": [at - 1, at]}, at + 1):
        contract = TableContract.model_validate({"columns": {"i": {"dtype": "int", "nullable": nullable, **bound}}})
        restored = TableContract.model_validate_json(contract.model_dump_json())
        for each in (contract, restored):
            failed = [result for result in check(table, each) if not result.passed]
            assert [(result.unexpected, result.example) for result in failed] == [(1, str(beyond))]
            assert str(at) in failed[0].constraint
    wide = {"dtype": "int", "nullable": nullable, "min": -1e30, "max": 1e30}
    loose = TableContract.model_validate({"columns": {"i": wide}})
    assert all(result.passed for result in check(table, loose))
