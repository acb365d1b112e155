"""The frequency of a series is found, and what breaks it is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_series import collected, dataset_of, hours, loads

from headframe.config.plan.data import TrainingDataConfig
from headframe.datasets.splits import assign
from headframe.errors import DataError
from headframe.places import Places
from headframe.series.findings import examine
from headframe.series.frequency import find_frequency, ordinals
from headframe.validation.validate import validate


@pytest.mark.parametrize(
    ("offset", "found"),
    [
        *(
            (name, name)
            for name in ("30s", "15min", "h", "6h", "D", "2D", "14D", "B", "W-WED", "MS", "QS", "YS", "36h", "90min")
        ),
        ("ME", "MS"),  # one row a month, at its end
        ("QE", "QS"),
        ("W-SUN", "W-SUN"),
    ],
)
@pytest.mark.parametrize("dropped", [[], [7, 20, 21]])
def test_a_frequency_is_found_with_and_without_gaps(offset: str, found: str, dropped: list[int]) -> None:
    times = pd.date_range("2020-01-03", periods=60, freq=offset).delete(dropped)
    assert find_frequency(times) == found
    assert examine(times, "t", None).missing == len(dropped)


def test_days_and_hours_of_a_zone_are_whole_across_both_changes_of_clocks() -> None:
    for start in ("2024-03-25", "2024-10-21"):
        for offset in ("h", "D"):
            times = pd.date_range(start, periods=400 if offset == "h" else 30, freq=offset, tz="Europe/Berlin")
            assert find_frequency(times) == offset
            assert ordinals(times, offset)[0].tolist() == list(range(len(times)))


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (np.arange(20), "1"),
        (np.arange(0, 40, 2), "2"),
        (np.arange(20) * 0.1, "0.1"),
        (np.arange(20) * 3_600_000 + 1_700_000_000_000, "3600000"),  # milliseconds of an hourly series
        (np.arange(40_000) / 64, "0.015625"),
        (np.array([1990, 1991, 1992, 1995]), "1"),
        (np.array([0, 1, 5, 6, 100, 170]), None),
        (np.array([3]), None),
    ],
)
def test_the_frequency_of_counts_is_a_number(times: np.ndarray, found: str | None) -> None:
    assert find_frequency(times) == found


def test_events_have_no_frequency() -> None:
    seconds = np.sort(np.random.default_rng(0).integers(0, 10**6, 200)).astype("datetime64[s]")
    assert find_frequency(pd.DatetimeIndex(seconds)) is None


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (hours(48), "a row every hour (found), without gaps"),
        (hours(48).delete([30]), "1 missing: 1 row between 2024-01-02 05:00:00 and 2024-01-02 07:00:00"),
        (hours(60).delete(range(30, 42)), "12 missing: 12 rows between 2024-01-02 05:00:00 and 2024-01-02 18:00:00"),
        (pd.date_range("2024-02-20", "2024-03-10").delete(9), "00:00:00 and 2024-03-01 00:00:00 (the leap day)"),
        (hours(100, "2024-02-27").delete(range(48, 72)), "24 rows between 2024-02-28 23:00:00 and"),
        (hours(100, "2024-02-27").delete(range(48, 72)), "(the leap day)"),
        (hours(48, "2024-03-30").delete(26), "an hour that clocks skip for daylight saving, as in Europe/Berlin"),
        (hours(48, "2024-03-09").delete(26), "as in America/New_York"),
        (hours(400).delete([30, 60, 90, 120, 150]), "and 2 more gaps"),
        (hours(400).delete([30, 60, 90, 120]), "and 1 more gap"),
        (hours(400_000).delete(range(9, 399_999, 4)), "and 99,995 more gaps"),  # in no more time than a few
    ],
)
def test_gaps_are_named(times: pd.DatetimeIndex, said: str) -> None:
    assert said in str(examine(times, "t", None))


AUTUMN = hours(60, "2024-10-26").insert(27, pd.Timestamp("2024-10-27 02:00"))


@pytest.mark.parametrize(
    ("times", "every", "said"),
    [
        (AUTUMN, None, "'t' has 2024-10-27 02:00:00 twice.*daylight saving.*columns.t.zone=Europe/Berlin"),
        (hours(48).insert(9, hours(48)[8]), None, "in rows 9 and 10, but a series has one row for each time"),
        (hours(48).append(hours(48)), None, "again in row 49, .*several series share the table, choose one"),
        (hours(48)[::-1], None, "does not ascend: row 2 has 2024-01-02 22:00:00 after 2024-01-02 23:00:00"),
        (hours(48, every="15min"), "h", "do not come every h: .* 00:15:00 after .* 00:00:00; they come every 15min"),
        (hours(48), "D", "do not come every D: .*; they come every h"),
        (hours(48), "2h", "do not come every 2h"),
        (hours(9, "2024-03-01", "B").delete(5).insert(5, pd.Timestamp("2024-03-09")), "B", "not come every B: .*03-09"),
    ],
)
def test_what_breaks_a_frequency_is_named(times: pd.DatetimeIndex, every: str | None, said: str) -> None:
    fault = examine(times, "t", every).fault
    with pytest.raises(DataError, match=said):
        raise DataError(fault)


def test_what_was_found_is_shown_and_what_the_plan_says_is_held(tmp_path: Path) -> None:
    times = hours(120).delete(range(30, 42))
    dataset = dataset_of()
    table = collected(tmp_path, times, loads(times), dataset)
    places = Places(tmp_path).of_step(tmp_path / ".headframe")
    shown = "t: a row every hour (found), 12 missing: 12 rows between 2024-01-02 05:00:00 and 2024-01-02 18:00:00"
    validated = validate(dataset, table.record(), places)
    assert shown in str(validated)
    assert "every hour (found)" in (tmp_path / validated.report).read_text()
    assert "a row every 1h, 12 missing" in str(validate(dataset_of(every="1h"), table.record(), places))
    with pytest.raises(DataError, match=r"breaks its contract: the rows do not come every 7min.*they come every h"):
        validate(dataset_of(every="7min"), table.record(), places)


def test_an_hour_that_occurs_twice_is_no_repetition_to_be_removed(tmp_path: Path) -> None:
    dataset = dataset_of((20, 10, 10))
    table = collected(tmp_path, AUTUMN, loads(AUTUMN), dataset)
    with pytest.raises(DataError, match="both are true; name the time zone"):
        assign(dataset.training_data, table)


@pytest.mark.parametrize("every", ["fortnight", "0h", "-1h", "", "1 hour", "0"])
def test_what_is_no_frequency_is_refused(every: str) -> None:
    with pytest.raises(ValueError, match="no frequency"):
        TrainingDataConfig.model_validate({**dataset_of().training_data.model_dump(), "every": every})
