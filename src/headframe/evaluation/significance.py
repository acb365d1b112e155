"""Tests of two models on the same rows: how likely a difference is by chance, and how many rows it takes to see one.

A *gain* is always what the version has and the champion has not: positive where the version is better, whatever the
direction of the metric.

- Two classifiers: McNemar's exact test (McNemar 1947, doi:10.1007/BF02295996): of the rows on which one is right and
  the other wrong, a binomial half must be each one's. Its power is exact, too.
- Any metric: the paired bootstrap (Efron 1979): the standard error of the gain over resamples that draw the same
  rows of both, repeated contents together; the gain over it is held against Student's t.
- Forecasts: Diebold and Mariano (1995, doi:10.1080/07350015.1995.10524599) on one loss a window. Windows overlap, so
  the variance of their mean is that of a series. It is estimated twice, and both must be convinced: from the
  autocovariances up to horizon - 1 with the correction of Harvey, Leybourne and Newbold (1997,
  doi:10.1016/S0169-2070(96)00719-4), and from the first few cosines of the series with a t of as many degrees
  (Lazarus, Lewis, Stock and Watson 2018, doi:10.1080/07350015.2018.1506926; for this test Coroneo and Iacone 2020,
  doi:10.1002/jae.2756). The first can be negative, and then only the second counts, which cannot. In simulations of
  losses that also have a memory of their own, the first alone promoted up to 7 % of equally good models where 5 % were
  allowed, and 11 % where there were only five horizons of rows. Windows on both sides of a gap count as neighbours;
  gaps let no more of them pass (`tests/evaluation/test_gaps.py`).

At which level each of many challengers is tested is `gates/error_control`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from scipy import stats
from scipy.special import stdtr, stdtrit

from headframe.evaluation.intervals import Resampling, all_equal, number_contents, resample
from headframe.tasks.base import Task

MOST_ROWS = 10**9
"""More rows than this are never required: the effect is as good as none."""

HORIZONS_A_COSINE = 4
"""Windows, in horizons, behind each cosine: fewer would see the overlap, more would waste what there is.

With four, equally good models were promoted in 4.3 to 6.2 % of simulations where 5 % were allowed."""

FEWEST_COSINES = 2


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of tests made together (Holm 1979), for each to be compared with the alpha of all together."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors))
    found = np.empty(len(p_values))
    found[order] = adjusted
    return [float(each) for each in found]


# Pairs of right and wrong


@dataclass(frozen=True)
class DiscordantPairs:
    """Two classifiers on the same contents; repetitions of a content are no new evidence and count once.

    Attributes:
        contents: how many different ones there are.
        wins: on which the version is right more often than the champion.
        losses: on which it is less often.
        gain: share of the rows that the version is right on more than the champion, from -1 to 1, with its
            standard error.
    """

    contents: int
    wins: int
    losses: int
    gain: GainEstimate

    @classmethod
    def count(cls, right: np.ndarray, champion: np.ndarray, contents: np.ndarray) -> DiscordantPairs:
        """Count pairs.

        The standard error is that of Bonett and Price (2012, doi:10.3102/1076998611411915) with a won and a lost
        row added, so that it is not 0 where nothing differs; of repeated contents it is that of clusters.

        Args:
            right: bool (rows,), whether the version is.
            champion: the same of the champion.
            contents: int (rows,) from 0, equal where rows are repetitions of each other.
        """
        change = right.astype(np.float64) - champion.astype(np.float64)
        rows, many = len(change), int(contents.max(initial=-1)) + 1
        sums = np.bincount(contents, weights=change, minlength=many)
        sizes = np.bincount(contents, minlength=many)
        moved = sums.sum() / (rows + 2)
        squares = ((sums - moved * sizes) ** 2).sum() + (1 - moved) ** 2 + (1 + moved) ** 2
        return cls(
            contents=many,
            wins=int((sums > 0).sum()),
            losses=int((sums < 0).sum()),
            gain=GainEstimate(
                float(change.sum()) / max(1, rows), float(np.sqrt(squares)) / (rows + 2), max(1, many - 1)
            ),
        )

    @property
    def discordance(self) -> float:
        """Share of the contents that one of both wins; 0 where there are none."""
        return (self.wins + self.losses) / max(1, self.contents)


def mcnemar(wins: int, losses: int, alternative: str = "greater") -> float:
    """Return the exact p-value that `wins` are more (`greater`), less (`less`) or other (`two-sided`) by chance."""
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5, alternative=alternative).pvalue)


@lru_cache(maxsize=4096)
def mcnemar_power(rows: int, discordance: float, effect: float, alpha: float) -> float:
    """Return the exact power of the one-sided test, over all numbers of discordant rows.

    `discordance` is the share of rows that one of both wins; one smaller than the effect counts as the effect. The
    largest effect that there is, 1, stands for those beyond it.
    """
    effect = min(1.0, effect)
    share = min(1.0, max(discordance, effect))
    wins = (share + effect) / (2 * share) if share else 0.5
    low, high = stats.binom.ppf([1e-12, 1 - 1e-12], rows, share).astype(int)
    many = np.arange(max(low, 0), high + 1)
    needed = stats.binom.isf(alpha, many, 0.5) + 1  # the fewest wins whose tail is at most alpha
    found = np.where(needed <= many, stats.binom.sf(needed - 1, many, wins), 0.0)
    return float(min(1.0, (stats.binom.pmf(many, rows, share) * found).sum()))


@lru_cache(maxsize=1024)
def mcnemar_rows(discordance: float, effect: float, alpha: float, power: float) -> int | None:
    """Return how many rows the one-sided test needs to find a gain with a power; None where no number would do.

    Power rises in steps, since rows are whole; the result may be off by a step.
    """
    return fewest_rows(lambda rows: mcnemar_power(rows, discordance, effect, alpha), power)


# Gains with a standard error


@dataclass(frozen=True)
class GainEstimate:
    """A gain with its standard error.

    Attributes:
        value: positive where the version is better.
        error: its standard error; 0 where both predict alike, or where there is a gain that nothing spreads.
        degrees_of_freedom: degrees of Student's t.
    """

    value: float
    error: float
    degrees_of_freedom: float

    @property
    def has_unknown_error(self) -> bool:
        """Whether there is a gain without a spread, so that nothing shows how much of it is chance."""
        return self.error == 0 and self.value != 0

    def p_better(self, margin: float = 0.0) -> float:
        """Return the p-value that the gain is more than `margin` by chance."""
        return self._tail(self.value - margin)

    def p_worse(self, margin: float = 0.0) -> float:
        """Return the p-value that the gain is less than `-margin` by chance."""
        return self._tail(-self.value - margin)

    def _tail(self, distance: float) -> float:
        if self.error == 0:
            return 1.0  # there is no gain, or nothing shows how much of it is chance
        return t_tail(distance / self.error, self.degrees_of_freedom)

    def limits(self, confidence: float) -> tuple[float, float]:
        """Return the confidence interval of the gain."""
        reach = t_critical((1 - confidence) / 2, self.degrees_of_freedom) * self.error
        return self.value - reach, self.value + reach

    def power(self, effect: float, alpha: float) -> float:
        """Return the chance that a gain of `effect` would be found, with this standard error."""
        if self.error == 0:
            return 1.0
        # Student's t with the effect added, not the non-central t: the normal approximation, with heavier tails.
        return t_tail(t_critical(alpha, self.degrees_of_freedom) - effect / self.error, self.degrees_of_freedom)

    def rows(self, rows: int, effect: float, alpha: float, power: float) -> int | None:
        """Return how many rows would do, where this gain rests on `rows`; None where no number would."""

        def power_of(many: int) -> float:
            factor = many / rows
            freedom = max(1.0, self.degrees_of_freedom * factor)
            return GainEstimate(self.value, self.error / math.sqrt(factor), freedom).power(effect, alpha)

        return fewest_rows(power_of, power)


def t_tail(distance: float, degrees_of_freedom: float) -> float:
    """Return the chance that Student's t exceeds a distance; `scipy.stats` would take a hundred times as long."""
    return float(stdtr(degrees_of_freedom, -distance))


def t_critical(alpha: float, degrees_of_freedom: float) -> float:
    """Return the distance that Student's t exceeds with a chance of `alpha`."""
    return float(-stdtrit(degrees_of_freedom, alpha))


def fewest_rows(power_of: Callable[[int], float], power: float) -> int | None:
    """Return the fewest rows whose power suffices, by doubling and halving; None beyond `MOST_ROWS`."""
    high = 1
    while power_of(high) < power:
        high *= 2
        if high > MOST_ROWS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def paired_bootstrap(
    task: Task, predictions: pa.Table, champion: pa.Table, how: Resampling, *, metric: str, higher_is_better: bool
) -> GainEstimate:
    """Return the gain in any metric with its standard error over resamples; each draws the same rows of both.

    The champion's rows come in the order of the version's, with the same targets. Resamples that do not define the
    metric, as those without a class, are left out.
    """
    sign = 1.0 if higher_is_better else -1.0
    own, other = (resample(task, rows, how, [metric])[metric] for rows in (predictions, champion))
    changes = own.values - other.values
    changes = changes[np.isfinite(changes)]
    units = (int(number_contents(predictions, how).max(initial=-1)) + 1) / how.block
    has_spread = len(changes) > 1 and not all_equal(changes)
    error = float(changes.std(ddof=1)) if has_spread else 0.0
    return GainEstimate(sign * (own.value - other.value), error, max(1.0, units - 1))


# Forecasts


def autocovariance_gain(gains: np.ndarray, horizon: int) -> GainEstimate | None:
    """Return the gain in mean loss after Diebold and Mariano as Harvey, Leybourne and Newbold correct it.

    Args:
        gains: the champion's loss minus the version's, one a window, in the order of time.
        horizon: steps that a window predicts; windows that begin nearer to each other overlap.

    Returns:
        None where the variance is not positive, which its estimate can be, or there are no more windows than steps.
    """
    many = len(gains)
    if many <= horizon:
        return None
    centred = gains - gains.mean()
    variance = centred @ centred / many
    variance += sum(2 * (centred[lag:] @ centred[:-lag]) / many for lag in range(1, horizon))
    if not variance > 0:
        return None
    correction = (many + 1 - 2 * horizon + horizon * (horizon - 1) / many) / many
    return GainEstimate(float(gains.mean()), math.sqrt(variance / many / correction), many - 1)


def cosine_gain(gains: np.ndarray, horizon: int) -> GainEstimate | None:
    """Return the gain in mean loss with a standard error from the first cosines of the series.

    Returns:
        None where there are fewer than `FEWEST_COSINES` times `HORIZONS_A_COSINE` horizons of windows.
    """
    many = len(gains)
    used = min(many // (HORIZONS_A_COSINE * horizon), int(0.4 * many ** (2 / 3)))
    if used < FEWEST_COSINES:
        return None
    moments = (np.arange(many) + 0.5) / many
    waves = math.sqrt(2) * np.cos(np.pi * np.outer(np.arange(1, used + 1), moments))
    centred = gains - gains.mean()  # each wave sums to 0, so this changes rounding only
    variance = float(np.square(waves @ centred).sum()) / many / used
    return GainEstimate(float(gains.mean()), math.sqrt(variance / many), used)


def diebold_mariano(gains: np.ndarray, horizon: int, alpha: float) -> GainEstimate | None:
    """Return the more careful of `autocovariance_gain` and `cosine_gain`, for a one-sided test at `alpha`.

    Returns:
        None where there are too few windows, see `cosine_gain`.
    """
    careful, corrected = cosine_gain(gains, horizon), autocovariance_gain(gains, horizon)
    if careful is None:
        return None
    if all_equal(gains):
        return GainEstimate(float(gains[0]), 0.0, careful.degrees_of_freedom)  # rounding is no spread
    if corrected is None:
        return careful
    return max(careful, corrected, key=lambda gain: gain.error * t_critical(alpha, gain.degrees_of_freedom))
