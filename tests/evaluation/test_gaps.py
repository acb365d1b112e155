"""Windows on both sides of a gap are neighbours in blocks and autocovariances, and nothing is wrong with that.

The variance of a mean is the sum over all pairs of windows. Pairs across a gap are as many in the estimate as in the
series, and no more alike than they are, so they add what they should: about nothing.
"""

import numpy as np
import pytest
from scipy import stats

from headframe.evaluation.intervals import Resampling, block_length, draw_counts
from headframe.evaluation.significance import autocovariance_gain, diebold_mariano

HORIZON, WINDOWS = 4, 400


def gains(draw: np.random.Generator, longest: int | None) -> np.ndarray:
    """Gains of two models that are equally good, one a window; between runs of up to `longest` windows is a gap."""
    lengths = draw.integers(1, longest + 1, WINDOWS) if longest else np.array([WINDOWS])
    gaps = np.repeat(np.arange(len(lengths)), lengths)[:WINDOWS]
    first = np.arange(WINDOWS) + HORIZON * gaps
    steps = draw.normal(size=first[-1] + HORIZON)
    return np.convolve(steps, np.full(HORIZON, 1 / HORIZON), mode="valid")[first]


def plain_error(values: np.ndarray) -> float:
    """The standard error from the products of all pairs nearer than the horizon, as rows are numbered."""
    centred = values - values.mean()
    pairs = [(one, two) for one in range(len(values)) for two in range(len(values)) if abs(one - two) < HORIZON]
    return float(np.sqrt(sum(centred[one] * centred[two] for one, two in pairs))) / len(values)


@pytest.mark.parametrize("longest", [None, 10 * HORIZON, 3 * HORIZON, HORIZON, 1])
def test_gaps_make_no_standard_error_too_small(longest: int | None):
    draw = np.random.default_rng(11)
    true = np.std([gains(draw, longest).mean() for _ in range(2000)])
    found = [autocovariance_gain(gains(draw, longest), HORIZON) for _ in range(200)]
    error = np.sqrt(np.mean([each.error**2 for each in found if each is not None]))
    resampled = []
    for seed in range(40):
        values, how = gains(draw, longest), Resampling(0.95, 200, seed, block_length(HORIZON, WINDOWS))
        means = np.concatenate([values @ counts for counts in draw_counts(np.arange(WINDOWS), how)]) / WINDOWS
        resampled.append(means.var())
    print(f"runs up to {longest}: autocovariances {error / true:.3f}, blocks {np.sqrt(np.mean(resampled)) / true:.3f}")
    assert 0.93 <= error / true <= 1.1
    assert 0.85 <= np.sqrt(np.mean(resampled)) / true <= 1.15, "a sixth of the variance is lost with blocks this long"
    values = gains(draw, longest)
    correction = (WINDOWS + 1 - 2 * HORIZON + HORIZON * (HORIZON - 1) / WINDOWS) / WINDOWS
    corrected = autocovariance_gain(values, HORIZON)
    assert corrected is not None
    assert corrected.error == pytest.approx(plain_error(values) / np.sqrt(correction))


@pytest.mark.parametrize("longest", [None, 10 * HORIZON, HORIZON])
def test_gaps_let_no_more_equally_good_models_pass(longest: int | None):
    draw = np.random.default_rng(12)
    passed = [diebold_mariano(gains(draw, longest), HORIZON, 0.05) for _ in range(1000)]
    share = float(np.mean([each.p_better() <= 0.05 for each in passed if each is not None]))
    print(f"runs up to {longest}: {share:.3f} of 0.05 allowed")
    assert share <= stats.binom.isf(0.001, 1000, 0.05) / 1000
