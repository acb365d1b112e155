"""Several series in one table that take turns look like one of twice the frequency: that is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from made_series import hours, loads

from headframe.config.plan.data import DatasetConfig
from headframe.datasets.ingest import ingest
from headframe.places import Places
from headframe.series.findings import examine
from headframe.series.frequency import read_times
from headframe.series.interleaved import plain_columns
from headframe.validation.validate import validate


def said(times: pd.DatetimeIndex | np.ndarray, **columns: object) -> str:
    rows = pa.table({"t": times, **columns})
    return str(examine(read_times(rows, "t"), "t", None, rows))


def stations(many: int, rows: int = 600, every: str = "1h", apart: str | None = None) -> pd.DatetimeIndex:
    """Series of one frequency, each a little after the one before."""
    offset = pd.Timedelta(apart) if apart else pd.Timedelta(every) / many
    first = pd.date_range("2024-01-01", periods=rows // many, freq=every)
    return pd.DatetimeIndex(np.sort(np.concatenate([first + each * offset for each in range(many)])))


def walk(rows: int, seed: int = 3) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=rows))


@pytest.mark.parametrize(("many", "every", "apart"), [
    (2, "1h", None), (2, "15min", None), (3, "3h", None), (2, "1h", "10min"), (3, "1h", "20min"), (2, "10D", None),
])  # fmt: skip
def test_a_column_that_takes_turns_with_the_moments_is_named(many: int, every: str, apart: str | None) -> None:
    times = stations(many, every=every, apart=apart)
    names = ["north", "south", "west"][:many]
    found = said(times, station=(names * len(times))[: len(times)], load=walk(len(times)))
    assert "but 'station' takes turns between north, south" in found
    assert "as where" in found
    assert "series share the table: if so, keep one of them" in found
    by_number = said(times, station=([17, 4, 9][:many] * len(times))[: len(times)], load=walk(len(times)))
    assert "but 'station' takes turns between 17, 4" in by_number


@pytest.mark.parametrize("many", [2, 3])
@pytest.mark.parametrize("dropped", [[], [7], list(range(100, 141))])
def test_two_levels_are_seen_without_a_column_that_names_them(many: int, dropped: list[int]) -> None:
    times = stations(many)
    level = np.tile([0.0, 40.0, 90.0][:many], len(times) // many)
    values = level + np.repeat(walk(len(times) // many), many)
    kept = np.delete(np.arange(len(times)), dropped)
    assert f"but 'load' alternates between {many} levels from row to row" in said(times[kept], load=values[kept])
    counted = np.arange(len(times))[kept]
    assert f"but 'load' alternates between {many} levels" in said(counted, load=values[kept])


def test_what_clocks_and_calendars_repeat_is_no_turn() -> None:
    quiet = "without gaps"
    half_hours = pd.date_range("2024-01-01", periods=2000, freq="30min")
    shifts = np.where(half_hours.hour < 12, "early", "late")
    assert said(half_hours, minute=half_hours.minute, hour=half_hours.hour, shift=shifts, v=walk(2000)).endswith(quiet)
    for every in ("12h", "6h", "8h"):  # day and night, tides
        times = pd.date_range("2024-01-01", periods=2000, freq=every)
        values = 20 + 10 * np.cos(times.hour / 24 * 2 * np.pi) + walk(2000) / 50
        assert said(times, part=times.hour.astype(str), v=values).endswith(quiet)
    days = pd.date_range("2024-01-01", periods=800, freq="D")
    assert said(days, weekday=days.day_name(), weekend=days.day_of_week > 4, v=walk(800)).endswith(quiet)
    months = pd.date_range("1990-01-01", periods=300, freq="MS")
    assert said(months, month=months.month_name(), quarter=months.quarter, v=walk(300)).endswith(quiet)
    pairs = pd.DatetimeIndex(np.delete(half_hours, slice(2, None, 3)))  # never three rows one after the other
    assert "levels" not in said(pairs, v=walk(len(pairs)))
    assert said(half_hours, place=["here"] * 2000, v=walk(2000)).endswith(quiet)
    assert said(half_hours, place=["a", None] * 1000, v=[1.0, None] * 1000).endswith(quiet)


def real(data: Path) -> dict[str, pd.DataFrame]:
    found = {str(path): pd.read_csv(path) for path in sorted((data / "nab").glob("data/**/*.csv"))}
    found |= {name: pd.read_csv(data / name) for name in ("ett/ETTh1.csv", "elec2/elec.csv")}
    return found | {path.name: pd.read_csv(path) for path in (data / "classic-series").glob("*.csv")}


@pytest.mark.slow
def test_no_real_series_is_taken_for_several(real_data: Path) -> None:
    looked = 0
    for name, frame in real(real_data).items():
        first = frame.columns[0]
        times = np.arange(len(frame)) if "elec" in name else pd.DatetimeIndex(pd.to_datetime(frame[first]))
        kept = ~pd.Index(times).duplicated()
        order = np.argsort(times[kept], kind="stable")
        columns = {column: frame[column].to_numpy()[kept][order] for column in frame.columns[1:]}
        found = said(times[kept][order], **columns)
        assert "as where" not in found, (name, found)
        looked += "a row every" in found
    assert looked >= 50


def test_the_doubt_is_shown_by_the_validation_of_a_table(tmp_path: Path) -> None:
    times = stations(2, 240)
    dataset = DatasetConfig.model_validate({
        "name": "load", "title": "Load", "licence": "CC0", "citation": "nobody, 2024",
        "sources": {"rows": {"uri": "file:load.csv"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "inputs": ["load"], "time": "t", "tasks": ["forecasting"],
        "split": {"_target_": "headframe.datasets.splits.TimeSplitter", "train": 140, "validation": 50, "test": 50},
        "contract": {"columns": {
            "t": {"dtype": "timestamp"}, "place": {"dtype": "string"}, "load": {"dtype": "float"},
        }},
    })  # fmt: skip
    lines = [
        f"{time},{'ab'[row % 2]},{load}\n" for row, (time, load) in enumerate(zip(times, loads(times), strict=True))
    ]
    (tmp_path / "load.csv").write_text("t,place,load\n" + "".join(lines), encoding="utf-8")
    record = ingest(dataset, Places(tmp_path, tmp_path))
    validated = validate(dataset, record, Places(tmp_path).of_step(tmp_path / ".headframe"))
    assert "a row every 30min (found), without gaps; but 'place' takes turns between a, b" in str(validated)


def test_columns_of_other_cells_are_not_read() -> None:
    schema = pa.schema([("t", pa.timestamp("us")), ("v", pa.float64()), ("tags", pa.list_(pa.string()))])
    assert plain_columns(schema) == ["t", "v"]
    assert "without gaps" in said(hours(40), v=np.arange(40.0))
