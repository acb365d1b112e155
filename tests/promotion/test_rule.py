"""Two numbers and a rule in, a verdict out."""

from __future__ import annotations

import math

import pytest

from headframe.promotion.rule import NotWorse


@pytest.mark.parametrize(
    ("value", "champion", "tolerance", "passed"),
    [(0.9, 0.9, 0.0, True), (0.91, 0.9, 0.0, True), (0.89, 0.9, 0.0, False), (0.89, 0.9, 0.02, True)],
)
def test_higher_metrics_must_not_fall_below_the_champion_by_more_than_the_tolerance(value, champion, tolerance, passed):
    assert NotWorse("accuracy", True, None, tolerance).judge(value, champion, 10).passed is passed
    mirrored = NotWorse("mse", False, None, tolerance).judge(-value, -champion, 10)
    assert mirrored.passed is passed


@pytest.mark.parametrize(("value", "passed"), [(0.95, True), (0.9499, False)])
def test_the_minimum_holds_with_and_without_a_champion(value, passed):
    rule = NotWorse("accuracy", True, 0.95)
    assert rule.judge(value, None, 10).passed is passed
    assert rule.judge(value, 0.1, 10).passed is passed
    assert NotWorse("mse", False, -0.95).judge(-value, None, 10).passed is passed


def test_nan_never_passes():
    rule = NotWorse("accuracy", True, 0.5)
    assert not rule.judge(math.nan, None, 10).passed
    assert not NotWorse("accuracy", True).judge(math.nan, 0.5, 10).passed
    assert not NotWorse("accuracy", True).judge(0.5, math.nan, 10).passed
    assert not NotWorse("accuracy", True).judge(math.nan, None, 10).passed


def test_a_verdict_tells_its_numbers():
    rule = NotWorse("accuracy", True, 0.9, 0.01)
    assert rule.judge(0.8, 0.7, 10).because == "accuracy 0.8000 misses the minimum of 0.9"
    assert rule.judge(0.95, None, 1234).because == "accuracy 0.9500 on 1,234 test rows, and there was none before"
    lost = rule.judge(0.95, 0.97, 1234).because
    assert lost == "accuracy 0.9500 is worse by more than 0.01 than 0.9700 of the champion on the same 1,234 test rows"


@pytest.mark.parametrize(("value", "passed"), [(0.91, True), (0.9, False), (0.89, False)])
def test_an_older_version_must_be_better_than_a_newer_champion(value, passed):
    assert NotWorse("accuracy", True, None, 0.5).judge(value, 0.9, 10, newer=False).passed is passed
    assert NotWorse("mse", False, None, 0.5).judge(-value, -0.9, 10, newer=False).passed is passed
