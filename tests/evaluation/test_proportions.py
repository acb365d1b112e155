"""Intervals of shares against SciPy's, and against the truth in simulations, with and without repetitions."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from headframe.evaluation.intervals import Resampling, draw_counts, percentile_limits
from headframe.evaluation.proportions import independent_rows, limits_of_proportions, wilson
from headframe.metrics.statistics import Confusion, MeanProportion, Proportion


@pytest.mark.parametrize(("hits", "rows"), [(0, 20), (17, 20), (20, 20), (9950, 10_000)])
def test_shares_get_wilsons_interval(hits: int, rows: int):
    expected = stats.binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    assert wilson(hits / rows, rows, 0.95) == pytest.approx((expected.low, expected.high))


def of_all(hit: np.ndarray) -> Proportion:
    return Proportion(hit, np.ones(len(hit), dtype=bool))


def test_rows_that_differ_all_count():
    hit = np.random.default_rng(0).random(200) < 0.8
    assert independent_rows(of_all(hit), np.arange(200)) == 200


def test_repetitions_that_cannot_disagree_count_once():
    contents = np.repeat(np.arange(50), 4)
    assert independent_rows(of_all(np.ones(200, dtype=bool)), contents) == 50
    half = np.repeat(np.random.default_rng(0).random(50) < 0.5, 4)
    assert independent_rows(of_all(half), contents) == pytest.approx(50, rel=0.03)


def test_only_repetitions_among_the_rows_of_a_share_count_against_it():
    contents = np.append(np.zeros(100, dtype=int), np.arange(1, 11))
    of = contents > 0
    assert independent_rows(Proportion(of, of), contents) == 10


Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def repeated(contents: int, first: float, again: float) -> Draw:
    """Rows of which every repetition is predicted alike: right with chance `first`, repeated ones with `again`."""

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = np.where(generator.random(contents) < 0.15, generator.integers(2, 12, contents), 1)
        right = generator.random(contents) < np.where(sizes > 1, again, first)
        numbers = np.repeat(np.arange(contents), sizes)
        return right[numbers], numbers

    return draw


def noisy(contents: int, times: int, chance: float) -> Draw:
    """Rows whose repetitions are predicted independently of each other, as where the target is drawn by lot."""

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.repeat(np.arange(contents), times)
        return generator.random(len(numbers)) < chance, numbers

    return draw


def share_covered(draw: Draw, truth: float, repetitions: int, *, clustered: bool = True) -> float:
    """How often the 95 % interval of a share holds the truth; with `clustered` false every row counts as its own."""
    hits = 0
    for seed in range(repetitions):
        hit, contents = draw(np.random.default_rng(seed))
        known = contents if clustered else np.arange(len(hit))
        low, high = limits_of_proportions(MeanProportion((of_all(hit),)), known, 0.95)
        hits += low <= truth <= high
    return hits / repetitions


def test_intervals_of_repeated_rows_hold_the_truth_as_often_as_they_say():
    draw = repeated(400, 0.9, 0.9)
    assert share_covered(draw, 0.9, 400, clustered=False) < 0.8
    assert 0.92 <= share_covered(draw, 0.9, 400) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "truth", "least", "most"),
    [
        (repeated(100, 0.98, 0.98), 0.98, 0.94, 0.99),
        (repeated(1000, 0.98, 0.98), 0.98, 0.94, 0.99),
        (repeated(1000, 0.6, 0.6), 0.6, 0.94, 0.97),
        # Six and a half repetitions are the mean of 2 to 11, so rows of repeated contents are 0.975 to 0.85.
        (repeated(1000, 0.95, 0.7), (0.85 * 0.95 + 0.975 * 0.7) / 1.825, 0.94, 0.98),
        (repeated(100, 0.95, 0.7), (0.85 * 0.95 + 0.975 * 0.7) / 1.825, 0.91, 0.98),  # few contents are little evidence
        (noisy(30, 50, 0.9), 0.9, 0.94, 0.98),
        (noisy(300, 5, 0.9), 0.9, 0.94, 0.98),
    ],
    ids=["few", "rare", "common", "worse", "few_worse", "lots_of_noise", "noise"],
)
def test_coverage_of_shares_of_repeated_rows(draw: Draw, truth: float, least: float, most: float):
    assert least <= share_covered(draw, truth, 2000) <= most


@pytest.mark.slow
@pytest.mark.parametrize("contents", [150, 600])
def test_coverage_of_a_mean_of_repeated_rows(contents: int):
    """The bootstrap by contents at nominal 90 %, and the same bootstrap of as many rows as they are worth.

    A skewed cost is hard on percentiles of few rows by itself: of 59 single rows they hold the truth in 88 %,
    of 150 contents that are worth 59 in 86 %; of the repeated rows, taken for single ones, in less than 75 %.
    """
    repetitions = 1000
    hits = dict.fromkeys(("contents", "rows", "single"), 0)
    for seed in range(repetitions):
        generator = np.random.default_rng(seed)
        sizes = np.where(generator.random(contents) < 0.15, generator.integers(2, 12, contents), 1)
        worth = round(contents * 1.825**2 / 8.425)  # Kish: square of the mean size over the mean square
        numbers = np.repeat(np.arange(contents), sizes)
        cost = generator.exponential(size=contents)[numbers]
        for name, costs, known in (
            ("contents", cost, numbers),
            ("rows", cost, np.arange(len(numbers))),
            ("single", generator.exponential(size=worth), np.arange(worth)),
        ):
            weights = np.concatenate(list(draw_counts(known, Resampling(0.9, 300, seed))), axis=1)
            low, high = percentile_limits(costs @ weights / weights.sum(axis=0), 0.9)
            hits[name] += low <= 1 <= high
    assert hits["rows"] / repetitions < 0.75
    assert abs(hits["contents"] - hits["single"]) / repetitions < 0.05
    assert 0.84 <= hits["contents"] / repetitions <= 0.94


def confused(rows: int, wrong: float, classes: np.ndarray, generator: np.random.Generator) -> Confusion:
    """True and predicted classes; `classes` are their shares, and a wrong prediction is any other one."""
    many = len(classes)
    target = generator.choice(many, rows, p=classes)
    missed = generator.random(rows) < wrong
    return Confusion(target, np.where(missed, (target + generator.integers(1, many, rows)) % many, target), many)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "f1", "recall", "precision"])
@pytest.mark.parametrize(
    ("rows", "wrong", "classes"),
    [
        (400, 0.1, np.full(2, 0.5)),
        (300, 0.02, np.array([0.9, 0.1])),
        (400, 0.01, np.full(10, 0.1)),
        (300, 0.05, np.array([0.7, 0.2, 0.05, 0.05])),
        (1000, 0.05, np.full(50, 0.02)),
    ],
    ids=["two", "rare", "ten", "uneven", "fifty"],
)
def test_coverage_of_what_is_made_of_shares(name: str, rows: int, wrong: float, classes: np.ndarray):
    """At nominal 95 %; rare errors and shared ones make intervals wider than need be, never much narrower."""

    def statistic(generator: np.random.Generator, many: int):
        found = confused(many, wrong, classes, generator)
        return getattr(found, name) if name in {"balanced_accuracy", "macro_f1"} else getattr(found, name)(1)

    truth = float(statistic(np.random.default_rng(10_000), 2_000_000).evaluate(np.ones((2_000_000, 1)))[0])
    hits = 0
    for seed in range(600):
        low, high = limits_of_proportions(statistic(np.random.default_rng(seed), rows).limits, np.arange(rows), 0.95)
        hits += low <= truth <= high
    assert 0.925 <= hits / 600 <= 0.998
