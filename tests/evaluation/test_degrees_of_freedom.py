"""How many independent rows a gain rests on, and how many more a test would need."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from headframe.errors import ConfigurationError
from headframe.evaluation import intervals
from headframe.evaluation.intervals import CONTENT, Resampling, draw_counts
from headframe.evaluation.metrics import _difference
from headframe.evaluation.paired import PairedComparison
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    autocovariance_gain,
    cosine_gain,
    fewest_rows,
    holm,
    mcnemar,
    mcnemar_power,
    paired_bootstrap,
    t_critical,
    t_tail,
)
from headframe.records import Interval
from headframe.tasks.regression import Regression


@pytest.mark.parametrize("degrees", [1, 3, 12, 500])
def test_t_is_that_of_scipy(degrees: float) -> None:
    assert t_tail(1.7, degrees) == pytest.approx(stats.t.sf(1.7, degrees))
    assert t_critical(0.03, degrees) == pytest.approx(stats.t.isf(0.03, degrees))


def test_mcnemars_p_values_are_sums_of_binomials() -> None:
    for wins in range(7):
        for lost in range(7):
            many = wins + lost
            tail = sum(math.comb(many, each) for each in range(wins, many + 1)) / 2**many
            below = sum(math.comb(many, each) for each in range(wins + 1)) / 2**many
            assert mcnemar(wins, lost) == pytest.approx(tail if many else 1.0)
            assert mcnemar(wins, lost, "less") == pytest.approx(below if many else 1.0)


@pytest.mark.parametrize(("rows", "discordance", "effect", "alpha"), [(12, 0.5, 0.3, 0.05), (30, 0.1, 0.2, 0.2)])
def test_mcnemars_power_is_that_of_all_outcomes(rows: int, discordance: float, effect: float, alpha: float) -> None:
    """Each row is won, lost or neither; the sum goes over all numbers of both."""
    share = max(discordance, effect)
    won, lost = (share + effect) / 2, (share - effect) / 2
    power = 0.0
    for wins in range(rows + 1):
        for losses in range(rows + 1 - wins):
            if mcnemar(wins, losses) <= alpha:
                ways = math.comb(rows, wins) * math.comb(rows - wins, losses)
                power += ways * won**wins * lost**losses * (1 - won - lost) ** (rows - wins - losses)
    assert mcnemar_power(rows, discordance, effect, alpha) == pytest.approx(power, abs=1e-9)


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9, 0.5]) == pytest.approx([1.0, 1.0, 1.0])
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.3]) == pytest.approx([0.3])
    assert holm([]) == []


@pytest.mark.parametrize(("rows", "degrees", "error"), [(40, 3, 0.02), (40, 39, 0.02), (10, 1.5, 0.004), (400, 2, 0.5)])
def test_the_rows_needed_are_the_first_number_with_the_power(rows: int, degrees: float, error: float) -> None:
    """With n times the rows there are n times the degrees of freedom, at least one, and the error is a root smaller."""

    def power(many: int) -> float:
        freedom = max(1.0, degrees * many / rows)
        return float(stats.t.sf(stats.t.isf(0.05, freedom) - 0.01 / (error / math.sqrt(many / rows)), freedom))

    needed = GainEstimate(0.0, error, degrees).rows(rows, 0.01, 0.05, 0.8)
    assert needed is not None
    assert power(needed) >= 0.8 > power(needed - 1)


def test_the_rows_needed_are_found_one_by_one() -> None:
    for least in range(1, 70):
        assert fewest_rows(lambda many, least=least: float(many >= least), 0.5) == least  # type: ignore[misc]
    assert fewest_rows(lambda many: many / 10, 0.5) == 5, "the power itself is enough"
    assert fewest_rows(lambda many: many / 8, 0.5) == 4


def test_an_exact_gain_of_zero_needs_a_row_and_an_effect_of_nothing_none() -> None:
    assert GainEstimate(0.0, 0.0, 9).rows(40, 0.01, 0.05, 0.8) == 1
    assert GainEstimate(0.0, 1.0, 9).rows(40, 1e-9, 0.05, 0.8) is None


@pytest.mark.parametrize(
    ("value", "error", "unknown"), [(0.1, 0.0, True), (-0.1, 0.0, True), (0.0, 0.0, False), (0.1, 0.1, False)]
)
def test_a_gain_without_a_spread_has_an_unknown_error(value: float, error: float, unknown: bool) -> None:
    gain = GainEstimate(value, error, 9)
    assert gain.has_unknown_error is unknown
    if not error:
        assert (gain.p_better(), gain.p_worse()) == (1.0, 1.0), "nothing shows how much of it is chance"


def _tables(rows: int) -> tuple[Regression, pa.Table, pa.Table]:
    draw = np.random.default_rng(rows)
    task = Regression(primary_metric="mae")
    target = draw.normal(size=rows)
    task.fit(pa.table({"y": target}))
    made = [pa.table({"target": target, "prediction": target + draw.normal(size=rows)}) for _ in range(2)]
    return task, made[0], made[1]


@pytest.mark.parametrize(("block", "degrees"), [(1, 119), (5, 23), (7, 120 / 7 - 1), (60, 1), (120, 1)])
def test_the_bootstrap_counts_blocks_and_one_less(block: int, degrees: float) -> None:
    task, mine, other = _tables(120)
    how = Resampling(0.95, 200, 1, block)
    gain = paired_bootstrap(task, mine, other, how, metric="mae", higher_is_better=False)
    assert gain.degrees_of_freedom == pytest.approx(degrees)


def test_the_bootstrap_counts_contents_not_rows() -> None:
    task, mine, other = _tables(120)
    content = pa.array([f"{row // 4:016x}" for row in range(120)])
    repeated = [each.append_column(CONTENT, content) for each in (mine, other)]
    how = Resampling(0.95, 200, 1)
    gain = paired_bootstrap(task, *repeated, how, metric="mae", higher_is_better=False)
    assert gain.degrees_of_freedom == 29


def test_the_bootstrap_of_two_equal_models_has_no_spread() -> None:
    task, mine, _ = _tables(120)
    gain = paired_bootstrap(task, mine, mine, Resampling(0.95, 200, 1), metric="mae", higher_is_better=False)
    assert (gain.value, gain.error) == (0.0, 0.0)


def test_pairs_have_one_degree_less_than_contents_and_at_least_one() -> None:
    right, wrong = np.array([True, True, False]), np.array([False, True, False])
    assert DiscordantPairs.count(right, wrong, np.arange(3)).gain.degrees_of_freedom == 2
    assert DiscordantPairs.count(right, wrong, np.zeros(3, dtype=int)).gain.degrees_of_freedom == 1
    assert DiscordantPairs.count(right, wrong, np.zeros(3, dtype=int)).contents == 1
    pairs = DiscordantPairs.count(right, wrong, np.arange(3))
    assert pairs.discordance == pytest.approx(1 / 3)


def test_a_series_of_windows_has_degrees_by_its_estimate() -> None:
    gains = np.random.default_rng(2).normal(size=200)
    whole, waves = autocovariance_gain(gains, 3), cosine_gain(gains, 3)
    assert whole is not None
    assert waves is not None
    assert whole.degrees_of_freedom == 199
    assert waves.degrees_of_freedom == min(200 // 12, int(0.4 * 200 ** (2 / 3)))
    long = cosine_gain(np.tile(gains, 50), 3)
    assert long is not None
    assert long.degrees_of_freedom == int(0.4 * 10_000 ** (2 / 3))


@pytest.mark.parametrize(("windows", "found"), [(23, False), (24, True)])
def test_two_cosines_take_eight_horizons(windows: int, found: bool) -> None:
    gains = np.random.default_rng(3).normal(size=windows)
    assert (cosine_gain(gains, 3) is not None) is found


@pytest.mark.parametrize(("windows", "found"), [(3, False), (4, True)])
def test_autocovariances_take_more_windows_than_steps(windows: int, found: bool) -> None:
    gains = np.array([1.0, 5.0, -2.0, 0.5])[:windows]
    assert (autocovariance_gain(gains, 3) is not None) is found or windows == 4
    assert autocovariance_gain(np.ones(9), 1) is None, "nothing varies"


def test_one_content_is_drawn_once_in_every_resample() -> None:
    for counts in draw_counts(np.zeros(3, dtype=np.int64), Resampling(0.95, 7, 1)):
        assert counts.tolist() == [[1.0] * 7] * 3


@pytest.mark.parametrize(("chunk", "resamples"), [(1, 1), (1, 3), (20, 4), (20, 5), (1000, 5)])
def test_there_are_as_many_resamples_as_asked_for(chunk: int, resamples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_CHUNK", chunk)
    drawn = list(draw_counts(np.arange(10), Resampling(0.95, resamples, 1)))
    assert np.concatenate(drawn, axis=1).shape == (10, resamples)


def test_only_the_metrics_that_are_named_are_resampled() -> None:
    task, mine, _ = _tables(30)
    how = Resampling(0.95, 20, 1)
    assert set(intervals.resample(task, mine, how, ["mae"])) == {"mae"}
    assert len(intervals.resample(task, mine, how)) > 1


def test_errors_of_rows_are_no_series() -> None:
    for metric in ("mae", "rmse"):
        assert PairedComparison().chosen(Regression(primary_metric=metric)) == "bootstrap"  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="diebold_mariano is not for regression with metric mae; choose boot"):
        PairedComparison(test="diebold_mariano").chosen(Regression(primary_metric="mae"))


@pytest.mark.parametrize("lost", range(4))
def test_a_difference_of_equal_resamples_takes_the_limits_of_both(lost: int) -> None:
    limits: list[float | None] = [0.4, 0.7, 0.1, 0.3]
    limits[lost] = None
    mine = Interval(value=0.6, low=limits[0], high=limits[1])
    theirs = Interval(value=0.2, low=limits[2], high=limits[3])
    found = _difference(mine, theirs, np.zeros(5), 0.95)
    assert (found.value, found.low, found.high) == (pytest.approx(0.4), None, None)
