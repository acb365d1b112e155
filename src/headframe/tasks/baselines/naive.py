"""Naive forecasts: what was, stays (Hyndman and Athanasopoulos 2021, Forecasting: principles and practice, 5.2)."""

from typing import ClassVar

import numpy as np
from scipy.signal import detrend, find_peaks
from typing_extensions import override

from headframe.tasks.baselines.base import BaselineData, NaturalBaseline

LEAST = 0.3  # autocorrelation of a season; noise reaches it in a few dozen rows only
PROMINENCE = 0.1  # by how much it must stand out from that of the lags around it
NEARLY = 0.9  # of the highest peak: what repeats at a lag repeats at its multiples


class LastValue(NaturalBaseline):
    """The last value before the forecast, for every step."""

    name: ClassVar[str] = "last_value"

    @override
    def scores(self, data: BaselineData) -> np.ndarray | None:
        return _repeated(data, 1)


class SeasonalLastValue(NaturalBaseline):
    """The last value of the same place in the season; applies where training rows show one: see `season_length`."""

    name: ClassVar[str] = "seasonal_last_value"

    @override
    def scores(self, data: BaselineData) -> np.ndarray | None:
        period = season_length(data.training_targets)
        return None if period is None else _repeated(data, period)


def _repeated(data: BaselineData, period: int) -> np.ndarray | None:
    """Return the last period before each window, repeated; None where a window has no whole period before it."""
    if data.positions.min(initial=period) < period:
        return None
    values = data.task.encode(data.targets.slice(0, int(data.positions.max(initial=0))))
    steps = np.arange(data.task.horizon) % period - period
    return data.task.scores(values[data.positions[:, np.newaxis] + steps])


def season_length(values: np.ndarray) -> int | None:
    """Return the lag, from 2 to a third of the rows, at which series resemble themselves most; None without such a lag.

    It is the first of the highest peaks of the autocorrelation, averaged over the variables without their linear
    trends.

    Args:
        values: (rows, variables), in the order of time.
    """
    rows = len(values)
    longest = rows // 3
    if longest <= 2:  # noqa: PLR2004 - no lag has neighbours on both sides
        return None
    centred = detrend(values.astype(np.float64), axis=0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * rows, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[: longest + 2]
    known = covariance[0] > 0
    if not known.any():
        return None
    correlation = (covariance[:, known] / covariance[0, known]).mean(axis=1)
    peaks, _ = find_peaks(correlation, height=LEAST, prominence=PROMINENCE)
    peaks = peaks[(peaks > 1) & (peaks <= longest)]
    if not len(peaks):
        return None
    return int(peaks[correlation[peaks] >= NEARLY * correlation[peaks].max()][0])
