"""What the page of a gate report shows of a report made by hand."""

import re
from typing import Any

import pytest

from headframe.gates.page import _gate, _plot, page
from headframe.gates.report import BASELINE, GateReport, GateResult

NUMBERS = {"difference": 0.02, "low": -0.01, "high": 0.05, "effect": 0.01, "confidence": 0.9}


def report(**changes: Any) -> GateReport:
    results = (
        GateResult(gate="better", passed=True, verdict="better", reason="two points better", numbers=NUMBERS),
        GateResult(gate="budget", passed=False, verdict="exceeded", reason="too slow"),
    )
    known = {
        "model": "digits", "version": 4, "bundle": "b" * 64, "champion": 2, "champion_bundle": "c" * 64, "policy": "p",
        "settings": {"better": {"_target_": "x", "effect": 0.25}}, "rows": 1397, "error_control": {},
        "rows_digest": "d" * 64, "digests": {"plan": "e" * 64}, "tested": None, "tries": 3, "candidates": 2,
        "results": results,
    }  # fmt: skip
    return GateReport(**{**known, **changes})


def text(**changes: Any) -> str:
    """The page's words, without markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", page(report(**changes), "a" * 64)).split())


def test_the_summary_says_what_was_compared_and_how_often() -> None:
    assert "Policy p, 1,397 test rows; champion: version 2, try 3 against this champion, one of 2 candidates." in text()
    alone = text(champion=None, champion_bundle=None, tries=1, candidates=1, rows=0, rows_digest="")
    assert "Policy p, no test rows consulted; no champion before it." in alone
    assert "digits version 4" in alone
    assert "gate report" in alone.lower()


def test_what_refused_stands_at_the_top() -> None:
    assert "Refused by budget" in text()
    passed = text(results=report().results[:1])
    assert "Passed every gate" in passed
    assert "Refused" not in passed


def test_digests_of_what_was_judged_and_only_of_that_are_shown() -> None:
    whole, alone = text(), text(champion=None, champion_bundle=None, rows=0, rows_digest="d" * 64)
    for letter, always in (("a", True), ("b", True), ("c", False), ("d", False), ("e", True)):
        assert letter * 64 in whole
        assert (letter * 64 in alone) is always


def test_numbers_of_slices_and_baselines_are_tables_of_their_own() -> None:
    numbers = {"rows": 12, "too_small": 1, "a: p": 0.5, "a: rows": 7, "b: p": 0.25, "x: y: p": 0.125}
    result = GateResult(gate="slices", passed=True, verdict="v", reason="r", numbers=numbers)
    found = _gate(result, {"_target_": "x", "loss": 0.02, "tiny": 1})
    assert set(found["numbers"]) == {"rows", "too small"}
    assert set(found["settings"]) == {"loss"}
    assert list(found["slices"].columns) == ["slice", "#p", "#rows"]
    assert [row[0] for row in found["slices"].rows] == ["a", "b", "x: y"]
    assert [bool(row[2]) for row in found["slices"].rows] == [True, False, False]
    baselines = _gate(result.model_copy(update={"topic": BASELINE}), {})
    assert baselines["slices"].columns[0] == "baseline"
    assert (found["name"], found["passed"], found["verdict"], found["reason"]) == ("slices", True, "v", "r")
    assert found["plot"] is None


def test_a_difference_is_drawn_with_its_interval_and_what_is_too_small_to_matter() -> None:
    plot = _plot(NUMBERS)
    assert plot is not None
    [estimate] = plot.estimates
    assert (estimate.interval.value, estimate.interval.low, estimate.interval.high) == (0.02, -0.01, 0.05)
    assert (plot.guide, plot.band) == (0.0, 0.01)
    assert plot.axis.endswith("90.0 % interval; shaded: too small to matter")


@pytest.mark.parametrize("lost", ["difference", "low", "high", "effect"])
def test_without_one_of_its_numbers_nothing_is_drawn(lost: str) -> None:
    assert _plot({**NUMBERS, lost: None}) is None
    assert _plot({name: value for name, value in NUMBERS.items() if name != lost}) is None
    assert _plot({**NUMBERS, lost: "unknown"}) is None
