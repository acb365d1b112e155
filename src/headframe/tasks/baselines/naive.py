"""Naive forecasts: what was, stays (Hyndman and Athanasopoulos 2021, Forecasting: principles and practice, 5.2)."""

from typing import ClassVar

import numpy as np
from scipy.signal import detrend, find_peaks
from typing_extensions import override

from headframe.tasks.baselines.base import BaselineData, DenseBaseline

LEAST = 0.3  # autocorrelation of a season; noise reaches it in a few dozen rows only
PROMINENCE = 0.1  # by how much it must stand out from that of the lags around it
SPARSE = 4  # steps for each row above which rows are too few to show a season
NEARLY = 0.9  # of the highest peak: what repeats at a lag repeats at its multiples


class LastValue(DenseBaseline):
    """The last value before the forecast, for every step."""

    name: ClassVar[str] = "last_value"

    @override
    def scores(self, data: BaselineData) -> np.ndarray | None:
        return _repeated(data, 1)


class SeasonalLastValue(DenseBaseline):
    """The last value of the same place in the season; applies where training rows show one: see `season_length`."""

    name: ClassVar[str] = "seasonal_last_value"
    absence: ClassVar[str] = (
        "There is no seasonal last value: the training rows show no season (a period after which they repeat), or some "
        "test rows have no such period before them."
    )

    @override
    def scores(self, data: BaselineData) -> np.ndarray | None:
        period = season_length(data.training_targets, data.steps[data.training])
        return None if period is None else _repeated(data, period)


def _repeated(data: BaselineData, period: int) -> np.ndarray | None:
    """Return the last period before each window, repeated; None where a window has no such period before it.

    Periods are counted in time. Where a gap took the row that is a period back, the one of a period earlier stands in.
    """
    steps = data.steps
    wanted = steps[data.positions][:, np.newaxis] + np.arange(data.dense_task.horizon) % period - period
    while (lacking := steps[rows := np.searchsorted(steps, wanted)] != wanted).any():
        wanted = np.where(lacking, wanted - period, wanted)
        if wanted.min() < 0:
            return None
    values = data.dense_task.encode(data.targets.slice(0, int(data.positions.max(initial=0))))
    return data.dense_task.scores(values[rows])


def season_length(values: np.ndarray, steps: np.ndarray) -> int | None:
    """Return the lag, from 2 to a third of the steps, at which series resemble themselves most; None without one.

    It is the first of the highest peaks of the autocorrelation, averaged over the variables without their linear
    trends, with gaps interpolated; where most steps have no row, no season is looked for.

    Args:
        values: (rows, variables), in the order of time.
        steps: on which step each row lies, int64 (rows,), ascending.
    """
    span = int(steps[-1] - steps[0]) + 1 if len(steps) else 0
    longest = span // 3
    if longest <= 2 or span > SPARSE * len(steps):  # noqa: PLR2004 - no lag has neighbours on both sides
        return None
    columns = values.astype(np.float64).T
    level = np.stack([np.interp(np.arange(span), steps - steps[0], each) for each in columns], axis=1)
    spectrum = np.abs(np.fft.rfft(detrend(level, axis=0), 2 * span, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[: longest + 2]
    known = covariance[0] > 0
    if not known.any():
        return None
    correlation = (covariance[:, known] / covariance[0, known]).mean(axis=1)
    peaks, _ = find_peaks(correlation, height=LEAST, prominence=PROMINENCE)
    peaks = peaks[peaks <= longest]
    if not len(peaks):
        return None
    return int(peaks[correlation[peaks] >= NEARLY * correlation[peaks].max()][0])
