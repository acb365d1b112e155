"""How often chance passes the gate, and how often a gain that matters does: a thousand pairs of models at a time.

Two models are equally good where their errors are drawn alike. What a rule "not worse than the champion" would do
with the same pairs stands beside it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from scipy.signal import lfilter

from headframe.evaluation.intervals import Resampling
from headframe.evaluation.paired import PairedTest
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    cosine_gain,
    mcnemar_rows,
    paired_bootstrap,
)
from headframe.gates.better import Better
from headframe.gates.error_control.familywise import spend_alpha
from headframe.tasks.regression import Regression

PAIRS = 1000
FIRST = spend_alpha(0.05, 1)
SLACK = 0.001  # a bound that holds is missed by a simulation this often


def most(chance: float, pairs: int = PAIRS) -> float:
    """The largest share that a simulation may find where `chance` holds."""
    return float(stats.binom.isf(SLACK, pairs, chance)) / pairs


def least(chance: float, pairs: int = PAIRS) -> float:
    """The smallest share that a simulation may find where `chance` holds."""
    return float(stats.binom.ppf(SLACK, pairs, chance)) / pairs


@dataclass(frozen=True)
class World:
    """A kind of models and a test for them.

    Attributes:
        gate: knows the smallest effect that matters.
        judge: yields what the gate finds in pairs whose true gain is the first argument, at an alpha.
    """

    gate: Better
    judge: Callable[[float, float, int], Iterator[PairedTest]]


def classifiers() -> World:
    gate = Better(effect=0.01)
    needed = mcnemar_rows(0.04, gate.effect, FIRST, gate.power)
    assert needed is not None
    rows = round(1.15 * needed)

    def judge(gain: float, alpha: float, pairs: int) -> Iterator[PairedTest]:
        draw = np.random.default_rng([1, round(1e6 * gain)])
        shares = [(0.04 + gain) / 2, (0.04 - gain) / 2, 0.96]
        for wins, losses, _ in draw.multinomial(rows, shares, pairs).tolist():
            right = np.ones(rows, dtype=bool)
            champion = right.copy()
            right[:losses], champion[losses : losses + wins] = False, False
            yield gate.pairs(DiscordantPairs.count(right, champion, np.arange(rows)), rows, alpha)

    return World(gate, judge)


def regressions() -> World:
    gate = Better(effect=0.135, test="bootstrap", resamples=200)
    rows = 350
    how = Resampling(0.95, gate.resamples, 17)

    def judge(gain: float, alpha: float, pairs: int) -> Iterator[PairedTest]:
        draw = np.random.default_rng([2, round(1e6 * gain)])
        task = Regression(primary_metric="rmse")
        wide = math.sqrt((1 - gain) ** 2 - 0.36)  # with the shared error of deviation 0.6 an RMSE of 1 - gain
        for _ in range(pairs):
            shared, target = 0.6 * draw.normal(size=rows), np.zeros(rows)
            mine, other = (pa.table({"target": target, "prediction": shared + scale * draw.normal(size=rows)})
                           for scale in (wide, 0.8))  # fmt: skip
            found = paired_bootstrap(task, mine, other, how, metric="rmse", higher_is_better=False)
            yield gate.gain("bootstrap", found, rows, rows, alpha, {})

    return World(gate, judge)


def forecasts() -> World:
    gate = Better(effect=0.18)
    windows, horizon = 1500, 12

    def judge(gain: float, alpha: float, pairs: int) -> Iterator[PairedTest]:
        draw = np.random.default_rng([3, round(1e6 * gain)])
        for _ in range(pairs):
            # One squared error a row, half of it shared by both; a window's loss is its mean over the horizon.
            shared, *own = draw.chisquare(1, (3, windows + horizon - 1))
            views = [np.lib.stride_tricks.sliding_window_view(shared + each, horizon).mean(axis=1) for each in own]
            yield gate.windows(views[1] - (views[0] - gain), horizon, alpha)

    return World(gate, judge)


WORLDS = {"classifiers": classifiers, "regressions": regressions, "forecasts": forecasts}


@pytest.mark.parametrize("name", WORLDS)
def test_equally_good_versions_pass_as_rarely_as_promised_and_half_pass_by_eye(name: str):
    world = WORLDS[name]()
    seen = list(world.judge(0.0, 0.05, PAIRS))
    words = Counter(world.gate.verdict(found, 0.05) for found in seen)
    by_eye = sum(found.gain.value >= 0 for found in seen) / PAIRS
    print(name, dict(words), "by eye", by_eye)
    assert words["better"] / PAIRS <= most(0.05)
    assert words["worse"] / PAIRS <= most(0.05)
    assert least(0.5) <= by_eye <= most(0.5) + 0.03  # two classifiers tie now and then, which by eye is no loss
    assert words["better"] / PAIRS >= 0.02, "the test finds nothing at all"


@pytest.mark.parametrize("name", WORLDS)
def test_a_gain_of_the_smallest_effect_that_matters_is_found_with_the_power_promised(name: str):
    world = WORLDS[name]()
    gate = world.gate
    seen = list(world.judge(gate.effect, FIRST, PAIRS))
    words = Counter(gate.verdict(found, FIRST) for found in seen)
    enough = [found for found in seen if found.power >= gate.power]
    found = sum(gate.verdict(each, FIRST) == "better" for each in enough) / len(enough)
    print(name, dict(words), "found where rows suffice", found)
    assert len(enough) > 0.75 * PAIRS, "the simulation has too few rows to say anything"
    assert found >= least(gate.power, len(enough))
    assert words["better"] / PAIRS >= least(gate.power)
    assert words["not better"] / PAIRS <= most(1 - gate.power)


def test_ten_equally_good_challengers_in_a_row_pass_together_as_rarely_as_one():
    """The champion stays the same, so its luck is part of every comparison."""
    draw = np.random.default_rng(4)
    rows, challengers, repetitions = 400, 10, 4000
    corrected = uncorrected = 0
    for _ in range(repetitions):
        shared = draw.normal(size=rows)
        champion = np.square(shared + draw.normal(size=rows))
        others = np.square(shared + draw.normal(size=(challengers, rows)))
        gains = champion - others
        means, errors = gains.mean(axis=1), gains.std(axis=1, ddof=1) / math.sqrt(rows)
        p_values = [GainEstimate(mean, error, rows - 1).p_better() for mean, error in zip(means, errors, strict=True)]
        corrected += any(p <= spend_alpha(0.05, number) for number, p in enumerate(p_values, start=1))
        uncorrected += min(p_values) <= 0.05
    print("corrected", corrected / repetitions, "uncorrected", uncorrected / repetitions)
    assert corrected / repetitions <= most(0.05, repetitions)
    assert uncorrected / repetitions > 3 * 0.05


def test_the_luckiest_of_ten_candidates_passes_as_rarely_as_one():
    """Whoever registers ten and gates the one with the best test score has tried ten times, once in the ledger."""
    draw = np.random.default_rng(7)
    rows, candidates, repetitions = 400, 10, 4000
    corrected = uncorrected = 0
    for _ in range(repetitions):
        shared = draw.normal(size=rows)
        champion = np.square(shared + draw.normal(size=rows))
        gains = champion - np.square(shared + draw.normal(size=(candidates, rows)))
        luckiest = gains[gains.mean(axis=1).argmax()]
        p = GainEstimate(luckiest.mean(), luckiest.std(ddof=1) / math.sqrt(rows), rows - 1).p_better()
        corrected += p <= spend_alpha(0.05, 1) / candidates
        uncorrected += p <= spend_alpha(0.05, 1)
    print("corrected", corrected / repetitions, "uncorrected", uncorrected / repetitions)
    assert corrected / repetitions <= most(0.05, repetitions)
    assert uncorrected / repetitions > 2 * 0.05


def _overlapping(draw: np.random.Generator, windows: int, horizon: int, memory: float) -> np.ndarray:
    """Draw gains whose true mean is 0: windows over rows that remember the one before."""
    many = windows + horizon + 300
    rows = draw.normal(size=many) * draw.normal(size=many)
    rows = lfilter([1.0], [1.0, -memory], rows)
    return np.lib.stride_tricks.sliding_window_view(rows[300:], horizon).mean(axis=1)[:windows]


@pytest.mark.parametrize(
    ("windows", "horizon", "memory"), [(120, 1, 0.0), (200, 4, 0.5), (1000, 96, 0.0), (2785, 96, 0.5)]
)
def test_forecasts_hold_the_size_for_short_and_long_horizons_and_losses_with_a_memory(
    windows: int, horizon: int, memory: float
):
    draw = np.random.default_rng([5, windows, horizon])
    gate = Better()
    passed = 0
    for _ in range(PAIRS):
        gains = _overlapping(draw, windows, horizon, memory)
        passed += gate.verdict(gate.windows(gains, horizon, 0.05), 0.05) == "better"
    print(windows, horizon, memory, "better", passed / PAIRS)
    assert passed / PAIRS <= most(0.05)


def test_the_cosines_alone_hold_the_size_where_losses_have_a_long_memory():
    draw = np.random.default_rng(6)
    found = [cosine_gain(_overlapping(draw, 500, 24, 0.8), 24) for _ in range(PAIRS)]
    passed = sum(gain.p_better() <= 0.05 for gain in found if gain is not None)
    print("cosines alone", passed / PAIRS)
    assert None not in found
    assert passed / PAIRS <= most(0.05)
