"""The levels at which challengers are tested: by formula, by the bound that they keep, and over a year."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from scipy.special import ndtr

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.errors import ConfigurationError
from headframe.gates.error_control.addis import CANDIDATE, DISCARD, Addis
from headframe.gates.error_control.base import ErrorControl
from headframe.gates.error_control.familywise import Familywise, spend_alpha
from headframe.gates.validation import ShownOnValidation
from headframe.ledger.past_tests import PastTest

ALPHA, DAYS, SHARE = 0.05, 365, 0.05
CONF = Path(__file__).resolve().parents[2] / "conf"


def level_of_the_paper(p_values: Sequence[float], rejected: Sequence[bool], candidate: float, discard: float) -> float:
    """ADDIS as in section 3 of Tian and Ramdas (2019), one time step after the other; with w0 = alpha."""
    kept = [(p, hit) for p, hit in zip(p_values, rejected, strict=True) if p <= discard]
    step = len(kept) + 1
    times = [number for number, (_, hit) in enumerate(kept, start=1) if hit]

    def candidates_after(time: int) -> int:
        return sum(p <= candidate for number, (p, _) in enumerate(kept, start=1) if number > time)

    def gamma(index: int) -> float:
        return 6 / math.pi**2 / index**2

    total = ALPHA * gamma(step - candidates_after(0))
    for order, time in enumerate(times):
        total += (0.0 if order == 0 else ALPHA) * gamma(step - time - candidates_after(time))
    return min(candidate, (discard - candidate) * total)


def history(p_values: Sequence[float], rejected: Sequence[bool]) -> list[PastTest]:
    return [
        PastTest(number + 1, 0, p, promoted_after=number if hit else None)
        for number, (p, hit) in enumerate(zip(p_values, rejected, strict=True), start=1)
    ]


def test_the_first_levels_are_those_of_the_formula():
    assert Addis().level([], 1) == pytest.approx(0.4 * 0.05 * 6 / math.pi**2)
    assert Addis().level([PastTest(2, 1, 0.9), PastTest(3, 1, 0.02)], 1) == Addis().level([], 1), "both are free"
    assert Addis().level([PastTest(2, 1, 0.3)], 1) == pytest.approx(Addis().level([], 1) / 4), "is paid for"
    assert Addis().level([PastTest(2, 1, 0.9, candidates=2)], 1) == pytest.approx(Addis().level([], 1) / 4)
    tried = [PastTest(number, 1, 0.5) for number in range(2, 9)]
    assert Familywise().level(tried, 1) == pytest.approx(0.05 * 6 / math.pi**2 / 64)
    assert Familywise().level(tried, 9) == Familywise().level([], 1), "against another champion"


def test_what_is_spent_on_one_champion_adds_up_to_alpha():
    spent = sum(spend_alpha(ALPHA, each) for each in range(1, 200_000))
    assert spent == pytest.approx(ALPHA, rel=1e-4)
    assert spent < ALPHA


def test_levels_equal_those_of_the_paper_on_any_history():
    random = np.random.default_rng(5)
    for _ in range(200):
        p_values = random.beta(0.4, 1, size=random.integers(0, 40))
        rejected = (p_values <= CANDIDATE) & (random.random(len(p_values)) < 0.5)
        expected = level_of_the_paper(p_values.tolist(), rejected.tolist(), CANDIDATE, DISCARD)
        assert Addis().level(history(p_values.tolist(), rejected.tolist()), 0) == pytest.approx(expected, rel=1e-12)


def test_the_estimated_share_of_false_promotions_never_exceeds_alpha_even_where_promotions_are_late():
    random = np.random.default_rng(6)
    rule = Addis()
    for _ in range(100):
        tests: list[PastTest] = []
        estimate = 0.0
        for number in range(60):
            p = float(random.choice([random.random(), 0.01 * random.random()]))
            level, many = rule.level(tests, 1), int(random.integers(1, 3))
            estimate += level / (DISCARD - CANDIDATE) if p > CANDIDATE and (p <= DISCARD or many > 1) else 0.0
            tests.append(PastTest(number + 2, 1, p, candidates=many))
            for place, each in enumerate(tests):  # somebody approves one that passed some time ago
                if each.p <= 0.01 and each.promoted_after is None and random.random() < 0.2:
                    tests[place] = replace(each, promoted_after=len(tests))
            promoted = sum(each.promoted_after is not None for each in tests)
            assert estimate <= rule.alpha * max(1, promoted) + 1e-12


@pytest.mark.parametrize(("name", "rule"), [("addis", Addis()), ("familywise", Familywise())])
def test_the_shipped_yaml_has_the_defaults(name: str, rule: ErrorControl):
    shipped = yaml.safe_load((CONF / "error_control" / f"{name}.yaml").read_text(encoding="utf-8"))
    target = shipped.pop("_target_")
    assert target.rpartition(".")[2] == type(rule).__name__
    assert type(rule)(**shipped) == rule


@pytest.mark.parametrize("alpha", ["0", "0.5", "much"])
def test_an_alpha_out_of_range_is_refused_when_the_plan_is_loaded(alpha: str):
    with pytest.raises(ConfigurationError, match=r"promotion.error_control.alpha=.*: Addis expects a number \(greater"):
        load_plan([f"promotion.error_control.alpha={alpha}"], Project(CONF.parent))


# A year of daily challengers


@dataclass(frozen=True)
class World:
    """What the models of a year are measured on.

    A model's score is its true value plus luck on the rows, so two models share the champion's luck: the p-values of
    one champion's challengers depend on each other, and a champion that was lucky is hard to beat.

    Attributes:
        gain: what a better challenger is better by, in standard errors of the difference on the test rows.
        validation: the same on the validation rows.
        renewed: days after which test and validation rows are new ones; 0: never.
        share: of the challengers that are better than the champion; the others are exactly as good.
    """

    gain: float
    validation: float
    renewed: int = 0
    share: float = SHARE


@dataclass
class Years:
    """What some years have in common.

    Attributes:
        promotions: in each year.
        false: how many of them replaced a champion by one that was no better.
        better: challengers of the last quarter that were better.
        found: how many of them were promoted.
        tests: that consulted test rows.
    """

    promotions: np.ndarray
    false: np.ndarray
    better: int = 0
    found: int = 0
    tests: int = 0

    @property
    def false_share(self) -> float:
        return float(self.false.sum() / max(1, self.promotions.sum()))

    @property
    def power(self) -> float:
        return self.found / max(1, self.better)

    def __str__(self) -> str:
        many = len(self.false)
        return (
            f"false promotions {self.false_share:.3f}, power in the last quarter {self.power:.2f}, "
            f"{self.promotions.sum() / many:.1f} promotions and {self.tests / many:.0f} tests a year"
        )


def simulate(rule: ErrorControl, world: World, screen: float | None, years: int, seed: int = 1) -> Years:
    """Run years of one challenger a day; with `screen` validation rows decide first, at that level."""
    random, luck = np.random.default_rng(seed), math.sqrt(0.5)
    found = Years(np.zeros(years, dtype=int), np.zeros(years, dtype=int))
    for year in range(years):
        tests: list[PastTest] = []
        champion, lucky = 0, random.normal(size=2) * luck
        for day in range(DAYS):
            if world.renewed and day % world.renewed == 0:
                lucky = random.normal(size=2) * luck
            better = random.random() < world.share
            last = day >= 0.75 * DAYS
            found.better += better and last
            own = random.normal(size=2) * luck
            gains = own - lucky + (np.array([world.gain, world.validation]) if better else 0.0)
            p, seen = ndtr(-gains)
            if screen is not None and seen > screen:
                continue
            found.tests += 1
            passed = p <= rule.level(tests, champion)
            tests.append(PastTest(day + 1, champion, float(p), promoted_after=len(tests) + 1 if passed else None))
            if passed:
                champion, lucky = day + 1, own
                found.promotions[year] += 1
                found.false[year] += not better
                found.found += better and last
    return found


SCREEN = ShownOnValidation().alpha
SAME_ROWS = World(3.5, 3.5)  # for the whole year, of which one test at 0.05 finds the gain in 97 % of cases
NEW_ROWS = World(3.29, 2.33, renewed=30)  # each month; in 95 %, with half as many validation rows


@pytest.mark.parametrize("world", [SAME_ROWS, NEW_ROWS], ids=["same rows", "new rows"])
def test_a_year_of_daily_challengers_leaves_power_and_few_false_promotions(world: World):
    now = simulate(Addis(), world, SCREEN, years=40)
    before = simulate(Familywise(), world, None, years=10)
    print(f"now: {now}\nbefore: {before}")
    assert now.false_share <= ALPHA
    assert now.power >= 0.6
    assert before.power <= 0.15, "each version consulted test rows, by the familywise rule"
    assert now.tests / 40 <= 60, "validation rows decide most of them"


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "least", "most"), [(0.5, 0.0, 0.1), (2, 0.95, 1.0)])
@pytest.mark.parametrize("world", [SAME_ROWS, NEW_ROWS], ids=["same rows", "new rows"])
def test_half_that_gain_is_hardly_found_and_twice_always(world: World, factor: float, least: float, most: float):
    """Of half the gain one test at 0.05 alone would find a half."""
    other = replace(world, gain=world.gain * factor, validation=world.validation * factor)
    found = simulate(Addis(), other, SCREEN, years=40)
    print(f"{factor} times the gain: {found}")
    assert found.false_share <= ALPHA
    assert least <= found.power <= most


@pytest.mark.slow
@pytest.mark.parametrize("renewed", [0, 30, 7, 1])
@pytest.mark.parametrize("gain", [2.5, 3.29, 4.0])
@pytest.mark.parametrize("screen", [SCREEN, None], ids=["validation first", "test rows alone"])
def test_false_promotions_are_few_in_many_years_of_any_kind(renewed: int, gain: float, screen: float | None):
    """Challengers of one champion share its luck, so their p-values depend on each other; the bound holds anyway."""
    found = simulate(Addis(), World(gain, gain / math.sqrt(2), renewed), screen, years=400, seed=2)
    print(f"gain {gain}, renewed {renewed}, screen {screen}: {found}")
    assert found.false.sum() <= stats.binom.isf(0.001, np.maximum(1, found.promotions).sum(), ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Addis(), Familywise()], ids=["addis", "familywise"])
@pytest.mark.parametrize("renewed", [0, 30])
def test_a_year_without_any_better_challenger_seldom_promotes_one(rule: ErrorControl, renewed: int):
    """Then each promotion is false, so the share is 1 where there is one: it has to be seldom."""
    found = simulate(rule, World(0.0, 0.0, renewed, share=0.0), SCREEN, years=2000, seed=3)
    any_false = float((found.false > 0).mean())
    print(type(rule).__name__, renewed, any_false)
    assert any_false <= stats.binom.isf(0.001, 2000, ALPHA) / 2000


@pytest.mark.slow
def test_a_year_of_classifiers_by_mcnemars_test_on_rows():
    """As above, on rows: 40,000 for validation and as many for testing, new ones each month; errors of both overlap."""
    random, effect, rows, rule = np.random.default_rng(4), 0.01, 40_000, Addis()
    promotions = false = better_last = found_last = 0
    for _ in range(20):
        tests: list[PastTest] = []
        champion, error = 0, 0.20

        def draw(error: float, hard: np.ndarray) -> np.ndarray:
            return random.random(hard.shape) > error * 2 * hard

        for day in range(DAYS):
            if day % 30 == 0:
                hard = random.random((2, rows))
                present = draw(error, hard)
            better = random.random() < SHARE
            own = draw(error - effect * better, hard)
            wins, losses = (own & ~present).sum(axis=1), (~own & present).sum(axis=1)
            seen, p = stats.binom.sf(wins - 1, wins + losses, 0.5)
            last = day >= 0.75 * DAYS
            better_last += better and last
            if seen > SCREEN:
                continue
            passed = p <= rule.level(tests, champion)
            tests.append(PastTest(day + 1, champion, float(p), promoted_after=len(tests) + 1 if passed else None))
            if passed:
                champion, present, error = day + 1, own, error - effect * better
                promotions, false = promotions + 1, false + (not better)
                found_last += better and last
    print(f"false {false} of {promotions}, power in the last quarter {found_last / better_last:.2f} of {better_last}")
    assert false <= stats.binom.isf(0.001, promotions, ALPHA)
    assert found_last / better_last >= 0.6
