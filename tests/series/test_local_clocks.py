"""Series that are regular by the clocks of a place: a year of each, with both changes of clocks."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headframe.config.plan.data import GapsConfig
from headframe.series.findings import examine
from headframe.series.series import Series
from headframe.series.zones import parse_zoned

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]


def local_text(zone: str, every: str) -> list[str]:
    """A year of local times as a file has them: every so many hours of the clock, or each hour that passed."""
    if every == "1h":
        return [str(each.tz_localize(None)) for each in pd.date_range("2024-01-01", periods=8784, freq="h", tz=zone)]
    return [str(each) for each in pd.date_range("2024-01-01", "2024-12-31 23:00", freq=every)]


def read(zone: str, text: list[str]) -> tuple[pd.DatetimeIndex, dict[int, str]]:
    found, wrong = parse_zoned(pa.array(text), pa.timestamp("us", zone))
    return pd.DatetimeIndex(found.to_pandas()), wrong


def table(times: pd.DatetimeIndex, load: np.ndarray) -> pa.Table:
    column = pa.array(times.tz_convert(None)).cast(pa.timestamp("us", str(times.tz)))
    return pa.table({"time": column, "load": load * 1.0})


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("every", ["1h", "3h", "6h", "12h", "1D", "7D"])
def test_a_year_by_the_clocks_of_a_place_has_its_frequency_and_no_gap(zone: str, every: str) -> None:
    text = local_text(zone, every)
    times, wrong = read(zone, text)
    if (zone, every) == ("Australia/Lord_Howe", "1h"):  # half an hour is doubled, and no row before shows which it is
        assert ["occurs twice in Australia/Lord_Howe" in each for each in wrong.values()] == [True]
        assert all("give its offset" in each for each in wrong.values())
        return
    assert wrong == {}
    expected = {"1h": "h", "1D": "D", "7D": "W-MON"}.get(every, every)
    found = examine(times, "time", None)
    assert (found.every, found.fault, found.count) == (expected, "", 0)
    assert examine(times, "time", every).fault == ""
    laid = Series(time="time", every=expected).lay_out(table(times, np.arange(len(times))))
    assert laid.runs.max() == 0, "a window may lie anywhere"
    assert laid.rows.num_rows == len(text)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("every", ["30min", "1h", "6h", "12h"])
def test_steps_of_time_that_passed_are_true_in_any_zone(zone: str, every: str) -> None:
    times = pd.date_range("2024-01-01", "2024-12-31", freq=every, tz="UTC").tz_convert(zone)
    found = examine(times, "time", None)
    assert (pd.Timedelta(pd.tseries.frequencies.to_offset(found.every)), found.count) == (pd.Timedelta(every), 0)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("every", ["3h", "6h", "12h"])
def test_a_gap_is_filled_with_the_times_of_the_clock(zone: str, every: str) -> None:
    """Around both changes, so that times that passed would be off by an hour."""
    times, _ = read(zone, local_text(zone, every))
    change = int(np.flatnonzero(np.diff(times.asi8) != np.median(np.diff(times.asi8)))[0]) if zone != "UTC" else 500
    kept = np.delete(np.arange(len(times)), [change + 1])
    rows = table(times[kept], kept)
    found = examine(times[kept], "time", None)
    assert (found.every, found.count, found.missing) == (every, 1, 1)
    gaps = GapsConfig.model_validate({"_target_": "headframe.series.gaps.Interpolate", "limit": 1})
    laid = Series(time="time", every=every, gaps=gaps).lay_out(rows)
    assert pd.DatetimeIndex(laid.rows["time"].to_pandas()).equals(times)
    np.testing.assert_allclose(laid.rows["load"].to_numpy(), np.arange(len(times)))


def test_a_history_without_a_change_of_clocks_is_of_the_same_frequency() -> None:
    times, _ = read("Europe/Berlin", local_text("Europe/Berlin", "6h"))
    for first in range(0, len(times) - 12, 11):
        piece = times[first : first + 12]
        assert examine(piece, "time", "6h").fault == ""
        laid = Series(time="time", every="6h").lay_out(table(piece, np.arange(12)))
        assert laid.runs.max() == 0


def test_rows_on_no_step_of_either_clock_are_refused() -> None:
    times, _ = read("Europe/Berlin", local_text("Europe/Berlin", "6h"))
    late = times.where(np.arange(len(times)) != 900, times + pd.Timedelta("20min"))
    assert "the rows do not come every 6h" in examine(late, "time", "6h").fault
