"""Gates that compare with a champion, on predictions made by hand: what they count, show and say."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from headframe.evaluation.intervals import Resampling
from headframe.evaluation.significance import holm, mcnemar
from headframe.gates import baseline_tests
from headframe.gates.baseline_tests import BaselineTest
from headframe.gates.baselines import Baselines
from headframe.gates.better import Better
from headframe.gates.slices import Slices
from headframe.gates.validation import ShownOnValidation
from headframe.records import PLANNED
from headframe.tasks.classification import Classification
from headframe.tasks.regression import Regression

ROWS = 200


CLASSES = Classification()
CLASSES.fit(pa.table({"y": pa.array(np.arange(2))}))


def classified(right: int, first: int = 0) -> pa.Table:
    """Rows of two classes, of which so many are right from `first` on; the others are wrong."""
    target, rows = np.arange(ROWS) % 2, np.arange(ROWS)
    logits = np.zeros((ROWS, 2))
    logits[rows, np.where((rows >= first) & (rows < first + right), target, 1 - target)] = 1.0
    predictions = CLASSES.predictions(CLASSES.scores(logits), target)
    return predictions.add_column(0, "row_id", pa.array([f"row-{row:03}" for row in rows]))


ERRORS = Regression(primary_metric="mae")
ERRORS.fit(pa.table({"y": pa.array(np.linspace(-1.0, 1.0, ROWS))}))


def measured(error: float, seed: int = 1) -> pa.Table:
    """Rows of a regression, with errors of this size."""
    target = np.random.default_rng(0).normal(size=ROWS)
    wrong = error * np.random.default_rng(seed).normal(size=ROWS)
    ids = [f"row-{number:03}" for number in range(ROWS)]
    return pa.table({"row_id": ids, "target": target, "prediction": target + wrong})


def context(
    mine: pa.Table, other: pa.Table | None = None, *, seen: bool = False, own_metric: str = "", lost: str = "",
    **request: Any,
) -> Any:  # fmt: skip
    """As much of a gate's context as these gates read; without `other` there is no champion."""
    task = ERRORS if pa.types.is_floating(mine["target"].type) else CLASSES
    metrics, primary = task.measure(mine), task.primary_metric
    rows = SimpleNamespace(
        split="test",
        reference_task=task,
        predictions=mine,
        count=mine.num_rows,
        value=metrics.get(primary),
        metrics=metrics,
        resampling=lambda resamples, rows=None: Resampling(0.95, resamples, 17),
        raw=mine.select,
    )
    known = SimpleNamespace(table=None if lost else other, source=lost or "stored predictions", seen=seen)
    comparison = SimpleNamespace(
        rows=rows, champion=known, champion_metrics={} if other is None else task.measure(other)
    )
    asked = {"level": 0.05, "tries": 1, "candidates": 1, **request}
    dataset = SimpleNamespace(target="target")
    return SimpleNamespace(
        request=SimpleNamespace(champion=3 if other is not None or lost else None, **asked),
        rows=rows,
        comparison=comparison,
        validation=comparison,
        records=SimpleNamespace(
            task=SimpleNamespace(primary_metric=own_metric or primary, horizon=0),
            plan=SimpleNamespace(dataset=dataset, evaluation=SimpleNamespace(slices=())),
        ),
    )


def test_better_shows_every_number_that_it_rests_on() -> None:
    """The version is right on rows 20 to 189, the champion on 0 to 139: 50 won, 20 lost."""
    found = Better(effect=0.2).judge(context(classified(170, 20), classified(140), level=0.04, tries=3))
    numbers = found.numbers
    assert (found.passed, found.verdict, found.p) == (True, "better", mcnemar(50, 20))
    assert numbers["p"] == stats.binomtest(50, 70, alternative="greater").pvalue
    assert numbers["p_worse"] == pytest.approx(stats.binom.cdf(50, 70, 0.5))
    expected = {
        "test": "mcnemar", "metric": "accuracy", "value": 0.85, "champion": 0.7, "difference": pytest.approx(0.15),
        "level": 0.04, "alpha_used": 0.04, "confidence": 0.92, "tries": 3, "candidates": 1, "effect": 0.2,
        "rows": 200, "independent": 200, "won": 50, "lost": 20, "contents": 200,
        "champion_predictions": "stored predictions", "champion_may_have_seen_rows": "no",
    }  # fmt: skip
    assert {name: numbers[name] for name in expected} == expected
    assert numbers["low"] < 0.15 < numbers["high"]
    assert found.reason == (
        "accuracy 0.8500 is better than 0.7000 of the champion on the same 200 test rows "
        f"(p {mcnemar(50, 20):.2g} by McNemar's exact test, 0.04 allowed at try 3)"
    )


@pytest.mark.parametrize(("tries", "candidates", "said"), [(1, 1, "allowed)"), (2, 2, "at try 2 among 2 candidates)")])
def test_tries_and_candidates_are_named_from_the_second_on(tries: int, candidates: int, said: str) -> None:
    judged = context(classified(170, 20), classified(140), tries=tries, candidates=candidates)
    assert Better(effect=0.2).judge(judged).reason.endswith(said)


def test_the_limits_of_better_leave_alpha_on_each_side() -> None:
    """Of a metric where less is better they are turned: version minus champion, the lower limit first."""
    mine, other = measured(0.5, 1), measured(0.9, 2)
    found = Better(resamples=400).judge(context(mine, other, level=0.02))
    tested = Better(resamples=400).compare(ERRORS, mine, other, Resampling(0.95, 400, 17), 0.02)
    reach = stats.t.isf(0.02, 199) * tested.gain.error
    difference = found.numbers["difference"]
    assert difference == pytest.approx(-tested.gain.value)
    assert difference < 0
    assert (found.numbers["low"], found.numbers["high"]) == pytest.approx((difference - reach, difference + reach))
    assert found.numbers["confidence"] == pytest.approx(0.96)
    assert found.verdict == "better"


def test_several_candidates_share_the_level_and_the_reason_says_so() -> None:
    """p is 0.0002 to 0.0003: enough for one version, too much for the best of four hundred."""
    known = {"level": 0.05, "candidates": 400}
    found = Better(effect=0.2).judge(context(classified(170, 20), classified(140), **known))
    assert (found.passed, found.numbers["alpha_used"]) == (False, 0.05 / 400)
    assert "allowed among 400 candidates)" in found.reason
    assert "gating the other candidates costs nothing where validation rows refuse them" in found.reason
    alone = Better(effect=0.2).judge(context(classified(150, 20), classified(140)))
    assert "candidates" not in alone.reason
    two = Better(effect=0.2).judge(context(classified(170, 20), classified(140), candidates=2))
    assert two.reason.endswith("0.025 allowed among 2 candidates)"), "what would have helped is said where it failed"


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("gate", [Better(effect=0.2), ShownOnValidation(effect=0.2)])
@pytest.mark.parametrize("right", [170, 140])
def test_a_champion_that_may_have_learned_these_rows_is_said(gate: Any, right: int, seen: bool) -> None:
    found = gate.judge(context(classified(right, 20), classified(140), seen=seen))
    assert found.numbers["champion_may_have_seen_rows"] == ("yes" if seen else "no")
    assert ("may have been trained" in found.reason) is seen


@pytest.mark.parametrize("own", ["accuracy", "log_loss"])
def test_another_primary_metric_of_the_version_is_said(own: str) -> None:
    found = Better(effect=0.2).judge(context(classified(170, 20), classified(140), own_metric=own))
    said = "the champion is judged by accuracy, though this version's primary metric is log_loss"
    assert found.reason.endswith(said) is (own == "log_loss")


@pytest.mark.parametrize("level", [0.05, 0.0001])
def test_worse_shows_the_p_value_of_being_worse(level: float) -> None:
    found = Better(effect=0.2).judge(context(classified(140), classified(170, 20), level=level))
    p = mcnemar(20, 50, "less")
    assert found.verdict == ("worse" if p <= level else "not better")
    if found.verdict == "worse":
        assert f"accuracy 0.7000 is worse than 0.8500 of the champion on the same 200 test rows (p {p:.2g}" in (
            found.reason
        )
    else:
        assert f"is not proven better than 0.8500 of the champion on the same 200 test rows (p {found.p:.2g}" in (
            found.reason
        )
    assert (found.passed, found.p) == (False, mcnemar(20, 50))


def test_rows_that_are_too_few_for_the_effect_are_said() -> None:
    found = Better(effect=0.02).judge(context(classified(150, 20), classified(150)))
    assert found.verdict == "not enough rows"
    assert "; too few rows to find a gain of 0.02 with power 0.8: " in found.reason
    enough = Better(effect=0.2).judge(context(classified(150, 20), classified(150)))
    assert enough.verdict == "not better"
    assert "too few" not in enough.reason


def test_without_a_champion_or_its_predictions_nothing_is_compared() -> None:
    alone = Better().judge(context(classified(150)))
    assert (alone.passed, alone.verdict, alone.p, alone.numbers) == (
        True, "no champion", None, {"value": 0.75, "rows": 200}
    )  # fmt: skip
    assert alone.reason == "accuracy 0.7500 on 200 test rows, and there was no champion before"
    lost = Better().judge(context(classified(150), lost="its package is gone"))
    assert (lost.passed, lost.verdict, lost.reason, lost.p) == (False, "not comparable", "its package is gone", None)
    undefined = context(classified(150), classified(150))
    undefined.comparison.champion_metrics = {}
    found = Better().judge(undefined)
    assert (found.passed, found.verdict, found.p) == (False, "not comparable", None)
    assert found.reason == "the champion's predictions for these 200 test rows define no accuracy"


def test_validation_shows_its_numbers_and_ends_where_nothing_is_shown() -> None:
    better = ShownOnValidation(alpha=0.1).judge(context(classified(170, 20), classified(140)))
    assert (better.passed, better.verdict, better.is_final, better.p) == (True, "better", False, None)
    assert better.numbers == {
        "test": "mcnemar", "metric": "accuracy", "value": 0.85, "champion": 0.7, "p": mcnemar(50, 20), "alpha": 0.1,
        "rows": 200, "independent": 200, "won": 50, "lost": 20, "contents": 200,
        "champion_predictions": "stored predictions", "champion_may_have_seen_rows": "no",
    }  # fmt: skip
    assert better.reason == (
        "accuracy 0.8500 is better than 0.7000 of the champion on the same 200 validation rows "
        f"(p {mcnemar(50, 20):.2g} by McNemar's exact test, 0.1 allowed), so test rows decide"
    )
    for right, alpha in ((140, 0.1), (170, mcnemar(50, 20) * 0.99)):
        refused = ShownOnValidation(alpha=alpha).judge(context(classified(right, 20), classified(140)))
        assert (refused.passed, refused.verdict, refused.is_final) == (False, "not better", True)
    exact = ShownOnValidation(alpha=mcnemar(50, 20)).judge(context(classified(170, 20), classified(140)))
    assert exact.passed, "a p-value of alpha is allowed"


def test_validation_that_cannot_decide_leaves_it_to_the_test_rows() -> None:
    few = [table.slice(60, 19) for table in (classified(200), classified(60))]
    undefined = context(classified(150), classified(150))
    undefined.comparison.champion_metrics = {}
    unmeasured = context(classified(150), classified(150))
    unmeasured.rows.metrics = {}
    for given, why in (
        (context(*few), "only 19 of them are independent, and a test takes at least 20: "),
        (undefined, "these rows define no accuracy"),
        (unmeasured, "these rows define no accuracy"),
        (context(classified(150), lost="its package is gone"), "its package is gone"),
    ):
        found = ShownOnValidation().judge(given)
        assert (found.passed, found.verdict, found.is_final, found.p) == (True, "not decided", False, None)
        assert found.reason.startswith(f"validation rows cannot decide ({why}")
        assert found.reason.endswith("), so the test rows do")
    unmeasured = context(classified(150))
    unmeasured.rows.metrics = {}
    assert (
        ShownOnValidation().judge(unmeasured).reason.startswith("validation rows cannot decide (these rows define no")
    )


@pytest.fixture
def baselines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Judge a version beside baselines with these p-values of being better and worse; the last is the plan's own."""

    def judge(*pairs: tuple[float, float], gate: Any = None) -> Any:
        tests = [
            BaselineTest(f"base {place}", 0.1 * place, *pair, decides=pair != (1, 1))
            for place, pair in enumerate(pairs, 1)
        ]
        monkeypatch.setattr(baseline_tests, "_natural", lambda *_: iter(tests[:-1]))
        monkeypatch.setattr(baseline_tests, "_planned", lambda *_: iter(tests[-1:]))
        return (gate or Baselines()).judge(context(classified(150)))

    return judge


@pytest.mark.parametrize(
    ("pairs", "verdict", "named"),
    [
        ([], "not decided", []),
        ([(1.0, 1.0)], "not decided", []),
        ([(0.1, 0.9)], "better", [1]),
        ([(0.11, 0.89)], "not better", [1]),
        ([(0.06, 0.94), (0.06, 0.94)], "not better", [1, 2]),
        ([(0.01, 0.99), (0.7, 0.3)], "better", [1]),
        ([(0.01, 0.99), (1.0, 1.0)], "better", [1]),
        ([(0.01, 0.99), (0.95, 0.05)], "worse", [2]),
        ([(0.01, 0.99), (0.94, 0.06)], "better", [1]),
        ([(0.97, 0.03), (0.96, 0.04)], "worse", [1, 2]),
    ],
)
def test_a_first_version_beats_one_baseline_and_loses_to_none(
    baselines: Any, pairs: list[tuple[float, float]], verdict: str, named: list[int]
) -> None:
    """All p-values are corrected together (Holm) and compared with 0.1."""
    found = baselines(*pairs, gate=ShownOnValidation())
    passed = verdict in ("better", "not decided")
    assert (found.verdict, found.passed, found.is_final, found.p) == (verdict, passed, not passed, None)
    assert [place for place in range(1, 4) if f"base {place} (" in found.reason] == named
    better = holm([pair[0] for pair in pairs])
    for place in range(1, len(pairs) + 1):
        assert found.numbers[f"base {place}: p"] == better[place - 1]


@pytest.mark.parametrize(
    ("pairs", "verdict", "named"),
    [
        ([], "no baseline", []),
        ([(0.01, 0.99), (0.02, 0.98)], "better", [1, 2]),
        ([(0.05, 0.95)], "better", [1]),
        ([(0.01, 0.99), (0.06, 0.94)], "no significant difference", [2]),
        ([(0.03, 0.97), (0.04, 0.96)], "no significant difference", [1, 2]),
        ([(0.01, 0.99), (0.98, 0.02)], "worse", [2]),
        ([(0.98, 0.03), (0.97, 0.04), (0.4, 0.6)], "no significant difference", [1, 2, 3]),
        ([(0.99, 0.05)], "worse", [1]),
        ([(0.99, 0.051)], "no significant difference", [1]),
    ],
)
def test_baselines_are_tested_together(
    baselines: Any, pairs: list[tuple[float, float]], verdict: str, named: list[int]
) -> None:
    found = baselines(*pairs)
    assert (found.verdict, found.passed, found.p) == (verdict, verdict != "worse", None)
    assert [place for place in range(1, 4) if f"base {place} (" in found.reason] == named
    assert (found.numbers["value"], found.numbers["rows"], found.numbers["alpha"]) == (0.75, 200, 0.05)
    better, worse = holm([pair[0] for pair in pairs]), holm([pair[1] for pair in pairs])
    for place in range(1, len(pairs) + 1):
        assert found.numbers[f"base {place}: p"] == better[place - 1]
        assert found.numbers[f"base {place}: p_worse"] == worse[place - 1]
        assert found.numbers[f"base {place}: accuracy"] == 0.1 * place


def test_a_baseline_s_p_value_is_that_of_the_verdict(baselines: Any) -> None:
    assert "base 1 (0.1000, p 0.01)" in baselines((0.99, 0.01)).reason
    assert "base 1 (0.1000, p 0.02)" in baselines((0.02, 0.98)).reason
    assert "base 1 (0.1000, p 0.3)" in baselines((0.3, 0.7)).reason
    assert "base 1 (0.1000, too few rows)" in baselines((1.0, 1.0)).reason
    assert "base 1 (0.1000, p 1)" in baselines((1.0, 0.2)).reason


@pytest.mark.parametrize(
    ("metric", "measured_by", "holds", "found"),
    [("accuracy", "accuracy", True, 1), ("accuracy", "log_loss", True, 0), ("accuracy", "accuracy", False, 0)],
)
def test_the_plan_s_baseline_counts_where_it_was_measured_by_the_same_metric(
    metric: str, measured_by: str, holds: bool, found: int
) -> None:
    comparison = SimpleNamespace(
        title="a line",
        verdict="no significant difference",
        metrics={metric: SimpleNamespace(value=0.6)} if holds else {},
        p_better=0.2,
        p_worse=0.8,
        validation=None,
    )
    given = context(classified(150))
    given.records.provenance = SimpleNamespace(
        evaluated=SimpleNamespace(primary_metric=measured_by, baselines={PLANNED: comparison, "prior": comparison})
    )
    got = list(baseline_tests._planned(given, given.rows))
    assert got == [BaselineTest("a line", 0.6, 0.2, 0.8, decides=True)] * found
    comparison.verdict = "too few rows"
    assert [each.decides for each in baseline_tests._planned(given, given.rows)] == [False] * found
    given.rows.split = "validation"
    assert not list(baseline_tests._planned(given, given.rows)), "its author has signed none for validation rows"
    given.records.provenance.evaluated.baselines = {}
    assert not list(baseline_tests._planned(given, given.rows))


def sliced(losing: int, **settings: Any) -> Any:
    """Judge a version that loses so many of the even rows to the champion, by slices of even and odd ones."""
    target = np.arange(ROWS) % 2
    logits = np.eye(2)[target]
    logits[: 2 * losing : 2] = [0.0, 1.0]
    mine, other = CLASSES.predictions(CLASSES.scores(logits), target), classified(200)
    return Slices(**settings).judge(context(mine, other))


@pytest.mark.parametrize(
    ("losing", "settings", "verdict"),
    [
        (0, {}, "not worse"),
        (6, {"loss": 0.0}, "worse"),  # 1/64, two slices: 0.03125
        (5, {"loss": 0.0}, "not worse"),  # 1/32, two slices: 0.0625
        (30, {"loss": 0.02}, "worse"),
        (30, {"loss": 0.3}, "not worse"),
        (30, {"loss": 0.02, "rows": 101}, "not worse"),
        (30, {"loss": 0.02, "rows": 100}, "worse"),
    ],
)
def test_slices_are_compared_with_the_champion(losing: int, settings: dict[str, Any], verdict: str) -> None:
    found = sliced(losing, **settings)
    assert (found.verdict, found.passed) == (verdict, verdict == "not worse")
    large = settings.get("rows", 30) <= 100
    assert found.numbers["slices"] == 2
    assert (found.numbers["tested"], found.numbers["too_small"], found.numbers["columns"]) == (
        (2, 0, "target") if large else (0, 2, "target")
    )
    if large:
        assert found.numbers["target=0: rows"] == found.numbers["target=1: rows"] == 100
        assert found.numbers["target=0: difference"] == pytest.approx(-losing / 100)
        assert found.numbers["target=1: difference"] == 0
        if not settings.get("loss", 1):
            assert found.numbers["target=0: p"] == pytest.approx(min(1.0, 2 * 0.5**losing))
    if verdict == "worse":
        assert found.reason.startswith(
            f"target=0 loses {losing / 100:.4f} of accuracy against the champion on 100 rows"
        )


def test_columns_of_the_gate_come_before_those_of_the_plan_and_these_before_the_classes() -> None:
    given = context(classified(150), classified(150))
    gate = Slices()
    assert gate._columns(given) == ("target",)
    given.records.plan.evaluation.slices = ("part",)
    assert gate._columns(given) == ("part",)
    assert Slices(columns=("age",))._columns(given) == ("age",)
    numbers = context(measured(0.5), measured(0.5))
    assert gate._columns(numbers) == ()
    assert gate.judge(numbers).verdict == "no slices"


@pytest.mark.parametrize(("right", "bound", "missed"), [(100, 0.7, True), (130, 0.7, False), (100, None, False)])
def test_a_slice_that_provably_misses_the_bound_refuses(right: int, bound: float | None, missed: bool) -> None:
    """Without a champion, too; half of each class is right, or 65 of a hundred, whose interval holds 0.7."""
    given = context(classified(right), None)
    found = Slices(bound=bound).judge(given)
    assert (found.passed, found.verdict) == ((False, "worse") if missed else (True, "no champion"))
    if missed:
        assert found.reason.count("which misses the bound of 0.7") == 2
    else:
        assert ("none provably misses" in found.reason) is (bound is not None)
    if bound is not None:
        assert found.numbers["target=0: accuracy"] == right / 200


@pytest.mark.parametrize(("bound", "missed"), [(0.2, True), (0.5, False)])
def test_an_error_of_a_slice_is_held_below_its_bound(bound: float, missed: bool) -> None:
    given = context(measured(0.5).append_column("part", pa.array(["a", "b"] * 100)), None)
    found = Slices(columns=("part",), bound=bound, resamples=200).judge(given)
    assert found.passed is not missed
