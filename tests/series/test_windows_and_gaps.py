"""Windows of a series never span a gap, unless the plan says how it is filled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_series import ADJACENT, FORWARD_FILL, INTERPOLATE, collected, dataset_of, forecasting, hours, loads

from headframe.config.plan.data import SplitConfig
from headframe.errors import ConfigurationError, DataError
from headframe.examples.framing import WindowFraming
from headframe.examples.prepare import PreparedData, prepare

LOOKBACK, HORIZON = 6, 3
FRAMING = WindowFraming(LOOKBACK, HORIZON, None)


def windows(prepared: PreparedData, times: pd.DatetimeIndex) -> list[pd.DatetimeIndex]:
    """The moments of all windows of all splits: what they look back on, then what they predict."""
    found = np.concatenate([prepared.positions(split, FRAMING) for split in ("train", "validation", "test")])
    return [times[place - LOOKBACK : place + HORIZON] for place in found]


@pytest.mark.parametrize("dropped", [range(30, 42), [30], [5, 6, 90], range(75, 85), [59, 60, 61]])
def test_no_window_spans_a_gap(tmp_path: Path, dropped: list[int]) -> None:
    whole = hours(120)
    times = whole.delete(list(dropped))
    dataset = dataset_of()
    prepared = prepare(dataset.training_data, forecasting(HORIZON), collected(tmp_path, times, loads(times), dataset))
    for window in windows(prepared, times):
        assert (window[1:] - window[:-1] == pd.Timedelta("1h")).all(), window
    # By a plain loop: all windows of consecutive hours whose predicted rows lie in one split.
    splits = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    expected = sum(
        times[first + LOOKBACK + HORIZON - 1] - times[first] == pd.Timedelta(hours=LOOKBACK + HORIZON - 1)
        and len({*splits[first + LOOKBACK : first + LOOKBACK + HORIZON]}) == 1
        for first in range(100 - LOOKBACK - HORIZON + 1)
    )
    assert len(windows(prepared, times)) == expected


@pytest.mark.parametrize("kind", [FORWARD_FILL, INTERPOLATE])
def test_a_gap_is_filled_where_the_plan_says_how_and_only_where_it_is_looked_back_on(tmp_path: Path, kind: str) -> None:
    whole = hours(120)
    times = whole.delete([*range(30, 33), *range(70, 82)])
    values = 1.5 * (times - whole[0]) / pd.Timedelta("1h")
    dataset = dataset_of(gaps={"_target_": kind, "limit": 3})
    prepared = prepare(dataset.training_data, forecasting(HORIZON), collected(tmp_path, times, values, dataset))
    laid = prepared.laid_out
    assert laid is not None
    filled = pd.DatetimeIndex(prepared.rows.column("t").to_pandas())
    assert filled.equals(whole.delete(range(70, 82))[: len(filled)])
    expected = pd.Series(values, times).reindex(filled)
    expected = expected.ffill() if kind == FORWARD_FILL else expected.interpolate("time")
    np.testing.assert_allclose(prepared.rows.column("load").to_numpy(), expected, rtol=1e-12)
    measured = np.isin(prepared.rows.column("load").to_numpy(), values)
    assert measured[~laid.filled].all()
    assert filled[laid.filled].equals(whole[30:33])
    for split in ("train", "validation", "test"):
        for place in prepared.positions(split, FRAMING):
            window = filled[place - LOOKBACK : place + HORIZON]
            assert (window[1:] - window[:-1] == pd.Timedelta("1h")).all()
            assert not laid.filled[place - 1 : place + HORIZON].any()
    used = {row for place in prepared.positions("train", FRAMING) for row in range(place - LOOKBACK, place)}
    assert used.issuperset(np.flatnonzero(laid.filled))
    assert not laid.filled[prepared.splits == "train"].any()


def test_rows_count_and_not_time_where_the_plan_says_so(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=140, freq="B").delete([0, 64, 105])  # holidays
    dataset = dataset_of(gaps={"_target_": ADJACENT})
    prepared = prepare(dataset.training_data, forecasting(HORIZON), collected(tmp_path, days, range(137), dataset))
    assert len(prepared.positions("train", FRAMING)) == 60 - LOOKBACK - HORIZON + 1


def test_readings_by_event_are_refused_unless_rows_count(tmp_path: Path) -> None:
    seconds = np.sort(np.random.default_rng(0).choice(10**6, 120, replace=False)).astype("datetime64[s]")
    dataset = dataset_of()
    table = collected(tmp_path, pd.DatetimeIndex(seconds), range(120), dataset)
    with pytest.raises(DataError, match=r"not equally far apart in 't'.*dataset.gaps._target_=.*Adjacent"):
        prepare(dataset.training_data, forecasting(HORIZON), table)
    counted = dataset_of(gaps={"_target_": ADJACENT})
    assert prepare(counted.training_data, forecasting(HORIZON), table).positions("test", FRAMING).size


def test_windows_need_a_column_of_time(tmp_path: Path) -> None:
    dataset = dataset_of()
    table = collected(tmp_path, hours(120), range(120), dataset)
    untimed = dataset.training_data.model_copy(
        update={
            "time": None,
            "split": SplitConfig(target="headframe.datasets.splits.HashSplitter", validation=0.2, test=0.2),
        }
    )
    with pytest.raises(ConfigurationError, match=r"dataset.time names no column"):
        prepare(untimed, forecasting(HORIZON), table)
