"""Statistics at their edges: no number that is none, and no verdict that the rows do not carry."""

import itertools
import math
import warnings
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from headframe.evaluation.intervals import Resampling, block_length
from headframe.evaluation.paired import FEWEST, PairedComparison, PairedTest
from headframe.evaluation.proportions import wilson
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    diebold_mariano,
    holm,
    mcnemar,
    mcnemar_power,
    mcnemar_rows,
)
from headframe.gates.error_control.addis import CANDIDATE, Addis
from headframe.gates.error_control.base import ErrorControl
from headframe.gates.error_control.familywise import Familywise
from headframe.ledger.past_tests import PastTest
from headframe.tasks.base import Task
from headframe.tasks.classification import Classification
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression

ALPHA = 0.05
COMPARISON = PairedComparison(resamples=200)


@pytest.fixture(autouse=True)
def _numpy_may_not_murmur():
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def plain_mcnemar(wins: int, losses: int) -> Fraction:
    """The share of all ways to toss so many coins that have at least so many heads."""
    tosses = wins + losses
    return sum((Fraction(math.comb(tosses, heads), 2**tosses) for heads in range(wins, tosses + 1)), Fraction(0))


def plain_power(rows: int, discordance: float, effect: float, alpha: float) -> float:
    """The chance of a significant table: by the number of discordant rows, then by how many of them are won."""
    effect = min(effect, 1.0)
    share = min(1.0, max(discordance, effect))
    won = (share + effect) / (2 * share) if share else 0.5
    total = 0.0
    for many in range(rows + 1):
        chance = math.comb(rows, many) * share**many * (1 - share) ** (rows - many)
        for wins in range(many + 1):
            if many and plain_mcnemar(wins, many - wins) <= alpha:
                total += chance * math.comb(many, wins) * won**wins * (1 - won) ** (many - wins)
    return total


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 9])
def test_mcnemar_is_a_plain_loop_everywhere(rows: int):
    for wins in range(rows + 1):
        losses = rows - wins
        assert mcnemar(wins, losses) == pytest.approx(float(plain_mcnemar(wins, losses)))
        assert mcnemar(wins, losses, "less") == pytest.approx(float(plain_mcnemar(losses, wins)))
    for discordance, effect, alpha in itertools.product(
        [0.0, 0.3, 1.0], [0.0, 1e-9, 0.4, 1.0, 1.5, 1e9, math.inf], [1e-12, 0.05, 0.4]
    ):
        found = mcnemar_power(rows, discordance, effect, alpha)
        assert found == pytest.approx(plain_power(rows, discordance, effect, alpha), abs=1e-9)


def test_an_effect_beyond_the_largest_needs_no_fewer_rows_than_that():
    assert mcnemar_rows(0.1, 7.5, ALPHA, 0.8) == mcnemar_rows(0.1, 1.0, ALPHA, 0.8) == 5
    assert mcnemar_power(100, 0.1, math.nextafter(1, 2), ALPHA) == mcnemar_power(100, 0.1, 1.0, ALPHA)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_pairs_of_no_or_few_rows_are_numbers(rows: int):
    for mine, other in itertools.product(itertools.product([False, True], repeat=rows), repeat=2):
        pairs = DiscordantPairs.count(np.array(mine, bool), np.array(other, bool), np.arange(rows))
        tested = COMPARISON.pairs(pairs, rows, ALPHA)
        believed(tested)
        assert COMPARISON.verdict(tested, ALPHA) == "not enough rows"
        assert pairs.gain.value == pytest.approx((sum(mine) - sum(other)) / max(1, rows))


def believed(tested: PairedTest) -> None:
    """Every number is one, and every share is between 0 and 1."""
    shares = [tested.p_better, tested.p_worse, tested.power]
    assert all(math.isfinite(each) and 0 <= each <= 1 for each in shares), tested
    assert all(math.isfinite(each) for each in (tested.units, tested.gain.value, tested.gain.error)), tested
    assert tested.rows_needed is None or tested.rows_needed >= 1
    assert all(math.isfinite(each) for each in tested.numbers.values() if isinstance(each, float)), tested


VALUES = [0.0, 1.0, -1.0, 0.3, 1 / 3, 1e-300, 1e300, -1e300]


@pytest.mark.parametrize("many", [0, 1, 2, 7, 8, 31, 80, 400])
@pytest.mark.parametrize("horizon", [1, 4])
def test_windows_that_all_gain_alike_decide_nothing(many: int, horizon: int):
    for value in (0.0, 0.3, 1 / 3, 0.1, -0.7, 1e6 / 3):
        tested = COMPARISON.windows(np.full(many, value), horizon, ALPHA)
        believed(tested)
        assert COMPARISON.verdict(tested, ALPHA) in {"not enough rows", *(["not better"] if value == 0 else [])}
        assert (tested.p_better, tested.p_worse) == (1, 1)
    gain = diebold_mariano(np.full(400, 0.3), horizon, ALPHA)
    assert gain is not None
    assert gain.has_unknown_error


@pytest.mark.parametrize("error", [0.0, 1e-300, 1e-12, 1.0, 1e300])
@pytest.mark.parametrize("degrees", [1, 2, 19, 1e9])
def test_a_gain_is_a_number_at_any_scale(error: float, degrees: float):
    with np.errstate(all="ignore"):  # a distance may be infinite; its tail is 0
        for value, margin in itertools.product(VALUES, [0.0, 0.02, 1e300]):
            gain = GainEstimate(value, error, degrees)
            shares = [gain.p_better(margin), gain.p_worse(margin), gain.power(0.01, ALPHA), gain.power(1e300, 1e-12)]
            assert all(0 <= each <= 1 for each in shares), (gain, margin, shares)
            if value <= margin:
                assert gain.p_better(margin) >= 0.5
            if -value <= margin:
                assert gain.p_worse(margin) >= 0.5
            if error == 0:
                assert gain.p_better(margin) == gain.p_worse(margin) == 1, "nothing shows how much is chance"


def test_p_values_of_0_and_1_stay_what_they_are():
    assert holm([]) == []
    assert holm([0.0, 1.0, 0.0]) == [0.0, 1.0, 0.0]
    assert holm([1.0, 1.0]) == [1.0, 1.0]
    for rows, share in itertools.product([0, 1e-9, 1, 2, 1e12], [0.0, 0.5, 1.0]):
        low, high = wilson(share, rows, 0.95)
        assert 0 <= low <= share + 1e-9
        assert share - 1e-9 <= high <= 1


def classified(right: list[bool]) -> tuple[Task, pa.Table]:
    task = Classification()
    task.fit(pa.table({"y": ["a", "b"]}))
    target = np.arange(len(right)) % 2
    scores = np.eye(2)[np.where(right, target, 1 - target)].reshape(len(right), 2)
    return task, task.predictions(scores, target)


def numeric(task: Task, error: np.ndarray) -> tuple[Task, pa.Table]:
    windows = task.horizon or 1
    task.fit(pa.table({"y": np.arange(40.0)}))
    shape = (len(error), windows, 1) if task.horizon else (len(error), 1)
    target = task.encode(pa.table({"y": np.arange(float(len(error) * windows))})).reshape(shape)
    scores = task.scores(target)
    return task, task.predictions(scores + error.reshape(-1, *[1] * (scores.ndim - 1)), target)


PATTERNS = {
    "none": np.zeros,
    "all": np.ones,
    "third": lambda many: np.full(many, 1 / 3),
    "first": lambda many: (np.arange(many) == 0) * 1.0,
    "turns": lambda many: np.arange(many) % 2 * 1.0,
}


@pytest.mark.parametrize("many", [1, 2, 3, 19, 20, 60])
@pytest.mark.parametrize("kind", ["classes", "numbers", "windows"])
def test_two_models_at_the_edges_are_compared_as_a_plain_loop_would(kind: str, many: int):
    def made(pattern: str) -> tuple[Task, pa.Table]:
        errors = PATTERNS[pattern](many)
        if kind == "classes":
            return classified((errors < 0.5).tolist())
        return numeric(Regression() if kind == "numbers" else Forecasting(2), errors)

    for mine, other in itertools.product(PATTERNS, repeat=2):
        (task, first), (_, second) = made(mine), made(other)
        block = block_length(task.horizon, many) if task.horizon else 1
        tested = COMPARISON.compare(task, first, second, Resampling(0.95, 200, 1, block), ALPHA)
        believed(tested)
        verdict = COMPARISON.verdict(tested, ALPHA)
        losses = [PATTERNS[each](many) ** 2 for each in (mine, other)]
        if kind == "classes":
            losses = [(each > 0.25) * 1.0 for each in losses]
        gains = [two - one for one, two in zip(*losses, strict=True)]
        if len(gains) / (task.horizon or 1) < FEWEST:
            assert verdict == "not enough rows"
        if not sum(gains) > 0:
            assert verdict != "better", (mine, other)
        if not sum(gains) < 0:
            assert verdict != "worse", (mine, other)
        if kind != "classes" and len(set(gains)) == 1 and gains[0]:
            assert verdict == "not enough rows", "all rows gain alike, so nothing shows how much is chance"


def test_copies_of_one_row_make_no_slice_provably_worse():
    """Thirty copies draw the same in every resample: no spread, however many there are."""
    task, mine = numeric(Regression(), np.full(30, 0.5))
    _, other = numeric(Regression(), np.full(30, 0.1))
    content = pa.array(["same"] * 30)
    how = Resampling(0.95, 200, 1)
    tested = COMPARISON.compare(
        task, mine.append_column("content", content), other.append_column("content", content), how, ALPHA
    )
    assert tested.gain.value < -0.1
    assert tested.gain.p_worse(0.02) == 1


@pytest.mark.parametrize("rule", [Addis(), Familywise()])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_levels_stay_levels_after_any_p_value(rule: ErrorControl, p: float):
    tests = [PastTest(number, 1, p, promoted_after=number if p == 0 else None) for number in range(1, 301)]
    for made in (0, 1, 2, 300):
        assert 0 < rule.level(tests[:made], 1) <= CANDIDATE
