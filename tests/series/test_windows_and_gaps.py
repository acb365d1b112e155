"""Windows of a series never span a gap, unless the plan says how it is filled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_series import collected, dataset_of, forecasting, hours, loads

from headframe.examples.prepare import PreparedData, prepare

LOOKBACK, HORIZON = 6, 3


def windows(prepared: PreparedData, times: pd.DatetimeIndex) -> list[pd.DatetimeIndex]:
    """The moments of all windows of all splits: what they look back on, then what they predict."""
    found = np.concatenate([prepared.indices(split, LOOKBACK) for split in ("train", "validation", "test")])
    return [times[first : first + LOOKBACK + HORIZON] for first in found]


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
