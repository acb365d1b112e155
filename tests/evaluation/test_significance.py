"""Tests of two models against what others compute, plain loops and formulas."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

from headframe.evaluation.intervals import Resampling
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    autocovariance_gain,
    cosine_gain,
    diebold_mariano,
    fewest_rows,
    holm,
    mcnemar,
    mcnemar_power,
    mcnemar_rows,
    paired_bootstrap,
)
from headframe.metrics.statistics import Statistic, from_table
from headframe.tasks.classification import Classification
from headframe.tasks.regression import Regression


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (3, 5), (12, 4), (40, 61), (7, 7), (250, 190)])
def test_mcnemar_is_that_of_statsmodels_and_its_sides_are_binomial_tails(wins: int, losses: int):
    table = [[100, wins], [losses, 50]]
    assert mcnemar(wins, losses, "two-sided") == pytest.approx(reference_mcnemar(table, exact=True).pvalue, rel=1e-9)
    many = wins + losses
    tail = sum(math.comb(many, k) for k in range(wins, many + 1)) / 2**many
    assert mcnemar(wins, losses) == pytest.approx(tail, rel=1e-9)
    assert mcnemar(losses, wins, "less") == pytest.approx(tail, rel=1e-9)


def test_without_a_discordant_row_nothing_is_proven():
    assert mcnemar(0, 0) == mcnemar(0, 0, "less") == mcnemar(0, 0, "two-sided") == 1.0


@pytest.mark.parametrize(
    ("rows", "discordance", "effect", "alpha"),
    [(40, 0.2, 0.1, 0.05), (120, 0.1, 0.05, 0.03), (60, 0.0, 0.05, 0.05), (30, 1.0, 0.4, 0.01), (1, 0.5, 0.1, 0.05)],
)
def test_the_power_of_mcnemar_is_the_sum_over_every_table(rows: int, discordance: float, effect: float, alpha: float):
    share = max(discordance, effect)
    better, worse = (share + effect) / 2, (share - effect) / 2
    power = 0.0
    for wins in range(rows + 1):
        for losses in range(rows - wins + 1):
            if wins + losses and mcnemar(wins, losses) <= alpha:
                power += stats.multinomial.pmf([wins, losses, rows - wins - losses], rows, [better, worse, 1 - share])
    assert mcnemar_power(rows, discordance, effect, alpha) == pytest.approx(power, abs=1e-9)


def test_the_rows_that_mcnemar_needs_have_the_power_and_half_of_them_have_not():
    needed = mcnemar_rows(0.05, 0.01, 0.05, 0.8)
    assert needed is not None
    assert mcnemar_power(needed, 0.05, 0.01, 0.05) >= 0.8 > mcnemar_power(needed // 2, 0.05, 0.01, 0.05)
    # Connor 1987 (Biometrics 43): the normal approximation, which the exact test needs a little more than.
    z, power = stats.norm.isf(0.05), stats.norm.isf(0.2)
    connor = (z * math.sqrt(0.05) + power * math.sqrt(0.05 - 0.01**2)) ** 2 / 0.01**2
    assert connor < needed < 1.1 * connor


def test_no_number_of_rows_finds_what_is_not_there():
    assert fewest_rows(lambda _: 0.5, 0.8) is None
    assert mcnemar_rows(0.5, 1e-7, 0.05, 0.8) is None
    assert [fewest_rows(lambda rows, least=least: float(rows >= least), 0.5) for least in (1, 2, 3, 1000)] == [
        1,
        2,
        3,
        1000,
    ]


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.5], [0.2, 0.2, 0.001, 0.9, 0.04], []])
def test_holm_is_that_of_statsmodels(p_values: list[float]):
    expected = multipletests(p_values, method="holm")[1] if p_values else []
    np.testing.assert_allclose(holm(p_values), expected)


def test_pairs_count_contents_once_and_know_how_far_the_share_can_be_trusted():
    right = np.array([1, 1, 1, 0, 0, 1, 1, 1], dtype=bool)
    champion = np.array([1, 0, 0, 1, 0, 1, 1, 0], dtype=bool)
    alone = DiscordantPairs.count(right, champion, np.arange(8))
    assert (alone.wins, alone.losses, alone.contents, alone.gain.value) == (3, 1, 8, 0.25)
    # Bonett and Price 2012: with p = (count + 1) / (n + 2), the variance is (p12 + p21 - (p12 - p21)^2) / (n + 2).
    p12, p21 = 4 / 10, 2 / 10
    assert alone.gain.error == pytest.approx(math.sqrt((p12 + p21 - (p12 - p21) ** 2) / 10))
    repeated = DiscordantPairs.count(right, champion, np.array([0, 1, 1, 2, 3, 4, 4, 5]))
    assert (repeated.wins, repeated.losses, repeated.contents, repeated.gain.value) == (2, 1, 6, 0.25)
    assert repeated.gain.error > alone.gain.error


def test_a_gain_is_held_against_students_t():
    gain = GainEstimate(0.2, 0.1, 12)
    assert gain.p_better() == pytest.approx(stats.t.sf(2, 12))
    assert gain.p_better(0.1) == pytest.approx(stats.t.sf(1, 12))
    assert gain.p_worse() == pytest.approx(stats.t.sf(-2, 12))
    assert gain.p_worse(0.1) == pytest.approx(stats.t.sf(-3, 12))
    assert gain.limits(0.9) == pytest.approx(tuple(0.2 + 0.1 * each for each in stats.t.ppf([0.05, 0.95], 12)))
    nothing = GainEstimate(0.0, 0.0, 3)
    assert (nothing.p_better(), nothing.p_worse(), nothing.power(0.01, 0.05)) == (1.0, 1.0, 1.0)


def test_the_power_of_a_gain_is_that_of_statsmodels_where_there_are_many_rows():
    gain = GainEstimate(0.0, 0.004, 1e9)
    # One sample of n with mean effect and deviation s has the power of a normal test with error s / sqrt(n).
    expected = NormalIndPower(ddof=0).power(0.01 / (0.004 * 100), 10_000, 0.05, ratio=0, alternative="larger")
    assert gain.power(0.01, 0.05) == pytest.approx(expected, abs=1e-6)
    needed = gain.rows(1000, 0.01, 0.05, 0.8)
    z = stats.norm.isf(0.05) - stats.norm.isf(0.8)
    assert needed == math.ceil(1000 * (z * 0.004 / 0.01) ** 2)


def _regressions(seed: int, rows: int, better: float = 0.0) -> tuple[Regression, pa.Table, pa.Table]:
    draw = np.random.default_rng(seed)
    task = Regression(primary_metric="rmse")
    target = draw.normal(size=rows)
    task.fit(pa.table({"y": target}))
    shared = draw.normal(size=rows)
    mine, other = (target + 0.8 * shared + scale * draw.normal(size=rows) for scale in (0.6 - better, 0.6))
    return task, pa.table({"target": target, "prediction": mine}), pa.table({"target": target, "prediction": other})


def test_the_bootstrap_draws_the_same_rows_of_both_and_agrees_with_the_delta_method():
    task, mine, other = _regressions(3, 800)
    gain = paired_bootstrap(task, mine, other, Resampling(0.95, 4000, 1), metric="rmse", higher_is_better=False)
    squares = [(each["prediction"].to_numpy() - each["target"].to_numpy()) ** 2 for each in (mine, other)]
    roots = [math.sqrt(each.mean()) for each in squares]
    assert gain.value == pytest.approx(roots[1] - roots[0])
    influence = squares[1] / (2 * roots[1]) - squares[0] / (2 * roots[0])
    assert gain.error == pytest.approx(influence.std() / math.sqrt(800), rel=0.05)
    assert gain == paired_bootstrap(task, mine, other, Resampling(0.95, 4000, 1), metric="rmse", higher_is_better=False)
    back = paired_bootstrap(task, other, mine, Resampling(0.95, 4000, 1), metric="rmse", higher_is_better=False)
    assert (back.value, back.error) == (pytest.approx(-gain.value), pytest.approx(gain.error))


def test_repeated_contents_are_no_new_evidence_for_the_bootstrap():
    task, mine, other = _regressions(4, 200)
    how = Resampling(0.95, 2000, 1)
    alone = paired_bootstrap(task, mine, other, how, metric="mae", higher_is_better=False)
    content = pa.array([f"{each:016x}" for each in range(200)] * 10)
    tenfold = [pa.concat_tables([each] * 10).append_column("content", content) for each in (mine, other)]
    together = paired_bootstrap(task, *tenfold, how, metric="mae", higher_is_better=False)
    assert together.error == pytest.approx(alone.error, rel=0.1)
    assert together.degrees_of_freedom == alone.degrees_of_freedom == 199


def test_the_bootstrap_of_a_slow_metric_is_that_of_its_formula():
    class Slow(Classification):
        def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
            return {"macro_f1": from_table(lambda rows: task.measure(rows)["macro_f1"], predictions)}

    task = Classification()
    draw = np.random.default_rng(5)
    labels = pa.array(draw.choice(["a", "b"], 120))
    for each in (task, slow := Slow()):
        each.fit(pa.table({"y": labels}))
    codes = task.encode(pa.table({"y": labels}))
    tables = [task.predictions(draw.dirichlet([1, 1], 120), codes) for _ in range(2)]
    how = Resampling(0.95, 200, 1)
    expected = paired_bootstrap(task, *tables, how, metric="macro_f1", higher_is_better=True)
    found = paired_bootstrap(slow, *tables, how, metric="macro_f1", higher_is_better=True)
    assert (found.value, found.error) == (expected.value, pytest.approx(expected.error))


def _losses(seed: int, rows: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    steps = np.lib.stride_tricks.sliding_window_view(draw.chisquare(1, (2, rows + horizon - 1)), horizon, axis=1)
    return tuple(steps.mean(axis=2))  # type: ignore[return-value]


@pytest.mark.parametrize("horizon", [1, 4, 12])
def test_diebold_and_mariano_with_harveys_correction_is_their_formula(horizon: int):
    mine, other = _losses(horizon, 300, horizon)
    change = other - mine
    mean, many = change.mean(), len(change)
    autocovariances = [
        sum((change[at] - mean) * (change[at - lag] - mean) for at in range(lag, many)) / many for lag in range(horizon)
    ]
    statistic = mean / math.sqrt((autocovariances[0] + 2 * sum(autocovariances[1:])) / many)
    corrected = statistic * math.sqrt((many + 1 - 2 * horizon + horizon * (horizon - 1) / many) / many)
    gain = autocovariance_gain(other - mine, horizon)
    assert gain is not None
    assert gain.value / gain.error == pytest.approx(corrected)
    assert gain.p_better() == pytest.approx(stats.t.sf(corrected, many - 1))
    if horizon == 1:
        assert gain.p_better() == pytest.approx(stats.ttest_1samp(change, 0, alternative="greater").pvalue)


def test_the_variance_from_cosines_is_their_formula():
    mine, other = _losses(9, 200, 4)
    gain = cosine_gain(other - mine, 4)
    assert gain is not None
    assert gain.degrees_of_freedom == 12
    change = other - mine
    sums = [
        math.sqrt(2 / 200) * sum(math.cos(math.pi * wave * (at + 0.5) / 200) * change[at] for at in range(200))
        for wave in range(1, 13)
    ]
    assert gain.error == pytest.approx(math.sqrt(sum(each**2 for each in sums) / 12 / 200))


def test_a_negative_variance_leaves_the_cosines_alone():
    horizon = 3
    change = np.tile([1.0, -1.0], 60) + 0.01
    assert autocovariance_gain(change, horizon) is not None
    change = np.tile([1.0, -1.0], 60)
    change[0] += 0.2
    lags = [np.dot(change[lag:] - change.mean(), (change - change.mean())[: 120 - lag]) for lag in range(2)]
    assert lags[0] + 2 * lags[1] < 0
    assert autocovariance_gain(change, 2) is None
    careful = cosine_gain(change, 2)
    assert careful is not None
    assert diebold_mariano(change, 2, 0.05) == careful


def test_too_few_windows_have_no_gain():
    mine, other = _losses(1, 7 * 8, 8)
    assert diebold_mariano(other - mine, 8, 0.05) is None
    assert autocovariance_gain(other[:8] - mine[:8], 8) is None
    mine, other = _losses(1, 8 * 8, 8)
    assert diebold_mariano(other - mine, 8, 0.05) is not None


def test_both_variances_must_be_convinced():
    mine, other = _losses(2, 400, 6)
    both = [autocovariance_gain(other - mine, 6), cosine_gain(other - mine, 6)]
    reaches = [each.error * stats.t.isf(0.03, each.degrees_of_freedom) for each in both if each is not None]
    chosen = diebold_mariano(other - mine, 6, 0.03)
    assert chosen is not None
    assert chosen.error * stats.t.isf(0.03, chosen.degrees_of_freedom) == max(reaches)
