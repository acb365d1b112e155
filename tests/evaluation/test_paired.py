"""Which paired test is made, what it says, and when it says that there are too few rows."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headframe.errors import ConfigurationError
from headframe.evaluation import significance
from headframe.evaluation.intervals import CONTENT, Resampling
from headframe.evaluation.paired import FEWEST, PairedComparison, PairedTest, count, losses
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    autocovariance_gain,
    diebold_mariano,
    mcnemar,
    mcnemar_power,
    mcnemar_rows,
    paired_bootstrap,
)
from headframe.tasks.classification import Classification
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression

ALPHA = 0.05
COMPARISON = PairedComparison(effect=0.02, power=0.8, resamples=300)
HOW = Resampling(0.95, 300, 1)
CLEAR = PairedTest("bootstrap", 0.5, 0.5, 0.9, 40, 100, GainEstimate(0.01, 0.1, 9), {})


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "not better"),
        ({"p_better": ALPHA}, "better"),
        ({"p_better": ALPHA + 1e-9}, "not better"),
        ({"p_better": 0.0, "gain": GainEstimate(0.0, 0.1, 9)}, "not better"),
        ({"p_better": 0.0, "gain": GainEstimate(-0.1, 0.1, 9)}, "not better"),
        ({"p_worse": ALPHA, "gain": GainEstimate(-0.1, 0.1, 9)}, "worse"),
        ({"p_worse": ALPHA + 1e-9, "gain": GainEstimate(-0.1, 0.1, 9)}, "not better"),
        ({"p_worse": 0.0, "gain": GainEstimate(0.0, 0.1, 9)}, "not better"),
        ({"p_worse": 0.0}, "not better"),
        ({"power": 0.8}, "not better"),
        ({"power": 0.8 - 1e-9}, "not enough rows"),
        ({"power": 0.1, "p_better": 0.01}, "better"),
        ({"units": FEWEST, "p_better": 0.01}, "better"),
        ({"units": FEWEST - 0.01, "p_better": 0.01}, "not enough rows"),
        ({"gain": GainEstimate(0.1, 0.0, 9), "p_better": 0.0}, "not enough rows"),
        ({"gain": GainEstimate(0.0, 0.0, 9), "power": 1.0}, "not better"),
    ],
)
def test_the_verdict_follows_from_the_numbers(changes: dict[str, object], verdict: str) -> None:
    assert COMPARISON.verdict(replace(CLEAR, **changes), ALPHA) == verdict  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "too few rows to find a gain of 0.02 with power 0.8: 1,234 are needed"),
        ({"rows_needed": None}, "too few rows to find a gain of 0.02 with power 0.8: no number of rows would do"),
        ({"units": 20}, "too few rows to find a gain of 0.02 with power 0.8: 1,234 are needed"),
        (
            {"units": 19.96},
            "only 20 of them are independent, and a test takes at least 20: 1,234 are needed",
        ),
        (
            {"gain": GainEstimate(0.1, 0.0, 9), "units": 3},
            "the gain is the same on all resamples, so nothing shows how much of it is chance",
        ),
    ],
)
def test_too_few_rows_are_explained(changes: dict[str, object], sentence: str) -> None:
    assert COMPARISON.too_few(replace(CLEAR, **{"rows_needed": 1234, **changes})) == sentence  # type: ignore[arg-type]


def test_a_test_that_is_set_is_the_one_that_is_made(forecasted) -> None:
    task, mine = forecasted(60, 2, 1)
    _, other = forecasted(60, 2, 1, seed=0)
    for test in ("bootstrap", "diebold_mariano"):
        found = replace(COMPARISON, test=test).compare(task, mine, other, replace(HOW, block=4), ALPHA)
        assert found.test == test
        assert found.units == (60 / 4 if test == "bootstrap" else 60 / 2)
    assert found.numbers["horizon"] == 2


@pytest.mark.parametrize(("wins", "lost", "contents", "rows"), [(30, 10, 200, 200), (9, 8, 60, 150), (0, 0, 5, 12)])
def test_pairs_are_held_against_mcnemar_and_rows_count_repetitions(
    wins: int, lost: int, contents: int, rows: int
) -> None:
    pairs = DiscordantPairs(contents, wins, lost, GainEstimate((wins - lost) / contents, 0.1, contents - 1))
    found = COMPARISON.pairs(pairs, rows, ALPHA)
    share = (wins + lost) / contents
    needed = mcnemar_rows(share, 0.02, ALPHA, 0.8)
    assert needed is not None
    assert found == PairedTest(
        "mcnemar", mcnemar(wins, lost), mcnemar(wins, lost, "less"), mcnemar_power(contents, share, 0.02, ALPHA),
        math.ceil(max(needed, 20) * rows / contents), contents, pairs.gain,
        {"won": wins, "lost": lost, "contents": contents},
    )  # fmt: skip


def test_pairs_that_no_number_of_rows_tells_apart_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "MOST_ROWS", 10**5)  # more would take seconds
    pairs = DiscordantPairs(100, 25, 25, GainEstimate(0.0, 0.1, 99))
    assert replace(COMPARISON, effect=1e-7).pairs(pairs, 100, ALPHA).rows_needed is None
    assert replace(COMPARISON, effect=0.9).pairs(pairs, 300, ALPHA).rows_needed == 60, "20 contents, three times each"


@pytest.mark.parametrize(
    ("error", "units", "rows", "floor"), [(0.001, 50, 100, 40), (0.001, 30, 100, 67), (0.5, 50, 100, 40)]
)
def test_a_gain_needs_the_rows_of_its_power_and_of_twenty_units(
    error: float, units: float, rows: int, floor: int
) -> None:
    gain = GainEstimate(0.01, error, units - 1)
    found = COMPARISON.gain("bootstrap", gain, units, rows, ALPHA, {"a": 1})
    needed = gain.rows(rows, 0.02, ALPHA, 0.8)
    assert needed is not None
    assert found.rows_needed == max(needed, floor)
    assert (needed < floor) is (error < 0.01)
    assert (found.p_better, found.p_worse) == (gain.p_better(), gain.p_worse())
    assert (found.power, found.units, found.numbers) == (gain.power(0.02, ALPHA), units, {"a": 1})


def test_a_gain_whose_error_is_unknown_needs_nobody_knows_how_many_rows() -> None:
    assert COMPARISON.gain("bootstrap", GainEstimate(0.1, 0.0, 9), 50, 100, ALPHA, {}).rows_needed is None
    assert COMPARISON.gain("bootstrap", GainEstimate(0.1, 1e3, 9), 50, 100, 1e-9, {}).rows_needed is None


def test_windows_are_held_against_diebold_and_mariano() -> None:
    gains = np.random.default_rng(1).normal(0.3, 1, 200)
    found = COMPARISON.windows(gains, 4, ALPHA)
    gain, corrected = diebold_mariano(gains, 4, ALPHA), autocovariance_gain(gains, 4)
    assert gain is not None
    assert corrected is not None
    assert (found.test, found.gain, found.units) == ("diebold_mariano", gain, 50)
    assert found.p_better == gain.p_better()
    assert found.numbers == {
        "horizon": 4,
        "degrees_of_freedom": gain.degrees_of_freedom,
        "p_harvey_leybourne_newbold": corrected.p_better(),
    }
    alternating = np.tile([1.0, -1.0], 60)
    alternating[0] += 0.2
    assert autocovariance_gain(alternating, 2) is None
    assert COMPARISON.windows(alternating, 2, ALPHA).numbers["p_harvey_leybourne_newbold"] is None


def test_too_few_windows_prove_nothing() -> None:
    gains = np.array([3.0, 5.0, 4.0])
    found = COMPARISON.windows(gains, 2, ALPHA)
    assert found == PairedTest("diebold_mariano", 1.0, 1.0, 0.0, None, 1.5, GainEstimate(4.0, 0.0, 1), {"horizon": 2})
    assert COMPARISON.verdict(found, ALPHA) == "not enough rows"


TASKS = {
    "accuracy": Classification(),
    "log_loss": Classification(primary_metric="log_loss"),
    "rmse": Regression(),
    "mse": Forecasting(2),
    "mae": Forecasting(2, primary_metric="mae"),
}


@pytest.mark.parametrize(
    ("metric", "auto", "allowed"),
    [
        ("accuracy", "mcnemar", "mcnemar"),
        ("log_loss", "bootstrap", "bootstrap"),
        ("rmse", "bootstrap", "bootstrap"),
        ("mse", "diebold_mariano", "diebold_mariano or bootstrap"),
        ("mae", "diebold_mariano", "diebold_mariano or bootstrap"),
    ],
)
def test_the_test_fits_the_metric_or_is_refused(metric: str, auto: str, allowed: str) -> None:
    task = TASKS[metric]
    assert PairedComparison().chosen(task) == auto
    for test in ("mcnemar", "bootstrap", "diebold_mariano"):
        asked = PairedComparison(test=test)  # type: ignore[arg-type]
        if test in allowed:
            assert asked.chosen(task) == test
            continue
        words = rf"{test} is not for {task.kind} with metric {metric}; choose {allowed}, or auto"
        with pytest.raises(ConfigurationError, match=words):
            asked.chosen(task)


def test_classifiers_are_compared_content_by_content(classified) -> None:
    task, mine = classified(60, 3, skill=3.0)
    _, other = classified(60, 3, skill=1.0)
    content = pa.array([f"{row // 2:016x}" for row in range(60)])
    mine, other = (each.append_column(CONTENT, content) for each in (mine, other))
    right = [
        [row["prediction"] == row["target"] for row in each.select(["prediction", "target"]).to_pylist()]
        for each in (mine, other)
    ]
    change = [sum(right[0][row : row + 2]) - sum(right[1][row : row + 2]) for row in range(0, 60, 2)]
    pairs = count(task, mine, other, np.repeat(np.arange(30), 2))
    assert (pairs.contents, pairs.wins, pairs.losses) == (30, sum(c > 0 for c in change), sum(c < 0 for c in change))
    assert pairs.gain.value == pytest.approx(sum(change) / 60)
    assert COMPARISON.compare(task, mine, other, HOW, ALPHA) == COMPARISON.pairs(pairs, 60, ALPHA)


@pytest.mark.parametrize("block", [1, 5])
def test_other_metrics_are_compared_by_the_bootstrap(block: int, classified) -> None:
    task, mine = classified(60, 3, skill=3.0, primary_metric="log_loss")
    _, other = classified(60, 3, skill=1.0)
    how = replace(HOW, block=block)
    gain = paired_bootstrap(task, mine, other, how, metric="log_loss", higher_is_better=False)
    assert gain.value > 0, "a smaller loss is a gain"
    expected = COMPARISON.gain("bootstrap", gain, 60 / block, 60, ALPHA, {"resamples": 300, "block": block})
    assert COMPARISON.compare(task, mine, other, how, ALPHA) == expected


@pytest.mark.parametrize(("metric", "power"), [("mse", 2), ("mae", 1)])
def test_forecasts_are_compared_window_by_window(metric: str, power: int, forecasted) -> None:
    task, mine = forecasted(90, 2, 3)
    task.primary_metric = metric
    errors = task.errors(mine)
    expected = [np.mean([abs(error) ** power for error in window.ravel()]) for window in errors]
    assert losses(task, mine) == pytest.approx(expected)
    assert losses(task, mine).mean() == pytest.approx(task.measure(mine)[metric])
    worse = task.predictions(np.full((90, 2, 3), 9.0), np.zeros((90, 2, 3), np.float32))
    worse = worse.set_column(worse.column_names.index("target"), "target", mine["target"])
    found = COMPARISON.compare(task, mine, worse, HOW, ALPHA)
    assert found == COMPARISON.windows(losses(task, worse) - losses(task, mine), 2, ALPHA)
    assert COMPARISON.verdict(found, ALPHA) == "better"
