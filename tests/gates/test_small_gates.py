"""Gates that look at a number or two, at and beside their bounds, on what is given to them by hand."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from headframe.errors import DataError, Refused, Unavailable
from headframe.gates.budget import Budget
from headframe.gates.calibration import Calibration
from headframe.gates.minimum import Minimum
from headframe.gates.report import BASELINE, CHAMPION, GateReport, GateResult
from headframe.gates.reproduced import Reproduced


def minimum(value: float, bound: float | None, *, higher: bool = True) -> GateResult:
    task = SimpleNamespace(primary_metric="m", higher_is_better=higher)
    rows = SimpleNamespace(reference_task=task, count=1234, value=value)
    context: Any = SimpleNamespace(rows=rows)
    return Minimum(bound).judge(context)


@pytest.mark.parametrize(
    ("value", "bound", "higher", "verdict"),
    [
        (0.5, 0.5, True, "reached"), (0.4999, 0.5, True, "missed"), (0.6, 0.5, True, "reached"),
        (0.5, 0.5, False, "reached"), (0.5001, 0.5, False, "missed"), (0.4, 0.5, False, "reached"),
        (0.1, None, True, "no bound"), (math.nan, None, True, "missed"), (math.inf, 0.5, True, "missed"),
        (0.0, 0.0, True, "reached"), (-0.1, 0.0, True, "missed"),
    ],
)  # fmt: skip
def test_a_minimum_is_reached_by_its_value_and_never_by_what_is_no_number(
    value: float, bound: float | None, higher: bool, verdict: str
) -> None:
    found = minimum(value, bound, higher=higher)
    assert (found.verdict, found.passed) == (verdict, verdict != "missed")
    assert found.numbers == {"value": value if math.isfinite(value) else None, "bound": bound, "rows": 1234}
    if math.isfinite(value) and bound is not None:
        assert f"m {value:.4f} on 1,234 test rows" in found.reason
        assert f"the {'minimum' if higher else 'maximum'} of {bound:g}" in found.reason


def calibration(
    value: float | None, other: float | None = None, *, lost: bool = False, **settings: float | None
) -> GateResult:
    rows = SimpleNamespace(
        metrics={} if value is None else {"calibration_error": value}, count=9, reference_task=SimpleNamespace(kind="k")
    )
    champion = SimpleNamespace(table=None if lost else "rows", source="it is gone")
    comparison = SimpleNamespace(champion=champion, champion_metrics={"calibration_error": other})
    request = SimpleNamespace(champion=None if other is None else 3)
    context: Any = SimpleNamespace(rows=rows, comparison=comparison, request=request)
    return Calibration(**settings).judge(context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (lambda: calibration(None), "does not apply"),
        (lambda: calibration(0.1), "within bounds"),
        (lambda: calibration(0.1001), "too large"),
        (lambda: calibration(0.9, largest=None), "no bound"),
        (lambda: calibration(0.9, largest=None, tolerance=0.1), "no champion"),
        (lambda: calibration(0.05, tolerance=0.1), "within bounds"),
        (lambda: calibration(0.05, 0.01), "within bounds"),
        (lambda: calibration(0.05, 0.03, tolerance=0.02), "within bounds"),
        (lambda: calibration(0.0501, 0.03, tolerance=0.02), "worse"),
        (lambda: calibration(0.0501, 0.03, tolerance=0.02, largest=None), "worse"),
        (lambda: calibration(0.2, 0.5, tolerance=0.02), "too large"),
        (lambda: calibration(0.05, 0.03, tolerance=0.0, lost=True), "not comparable"),
    ],
)
def test_calibration_is_held_against_its_bound_and_the_champion(result: Any, verdict: str) -> None:
    found = result()
    assert found.verdict == verdict
    assert found.passed is (verdict not in ("too large", "worse", "not comparable"))


def test_calibration_shows_both_errors() -> None:
    found = calibration(0.05, 0.03, tolerance=0.01)
    assert found.numbers == {
        "value": 0.05, "largest": 0.1, "rows": 9, "champion": 0.03, "difference": pytest.approx(0.02), "tolerance": 0.01
    }  # fmt: skip


@pytest.mark.parametrize(
    ("least", "verdict", "passed"),
    [
        ("bitwise", "bitwise", True),
        ("bitwise", "within tolerance", False),
        ("within tolerance", "within tolerance", True),
        ("within tolerance", "bitwise", True),
        ("within tolerance", "different", False),
        ("bitwise", None, False),
    ],
)
def test_a_reproduction_is_at_least_as_good_as_required(least: Any, verdict: str | None, passed: bool) -> None:
    request = SimpleNamespace(reproduced=verdict, version=SimpleNamespace(model="digits", number=4))
    context: Any = SimpleNamespace(request=request)
    found = Reproduced(least).judge(context)
    assert (found.passed, found.verdict) == (passed, verdict or "never tried")
    assert found.numbers == {"required": least, "verdict": verdict}
    assert passed or found.reason.endswith("headframe reproduce digits/4")


MEASURED = {"latency_p50_ms": 2.0004, "latency_p95_ms": 9.0, "memory_mib": 300.0, "rows_per_second": 1000.0}


@pytest.mark.parametrize(
    ("bounds", "exceeded"),
    [
        ({}, ""),
        ({"latency_p50_ms": 2.0, "latency_p95_ms": 9.0, "memory_mib": 300.0, "rows_per_second": 1000.0}, ""),
        ({"latency_p50_ms": 1.99}, "2 ms for one row at the median where at most 1.99 are required"),
        ({"latency_p95_ms": 8.9}, "9 ms for one row at the 95th percentile where at most 8.9 are required"),
        ({"memory_mib": 299.0}, "300 MiB of memory at most where at most 299 are required"),
        ({"rows_per_second": 1001.0}, "1000 rows a second where at least 1001 are required"),
        ({"size_mib": 1e-9}, "9.54e-06 MiB on disk where at most 1e-09 are required"),
    ],
)
def test_a_budget_is_kept_at_its_bound(
    bounds: dict[str, float], exceeded: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"12345")
    (tmp_path / "file").write_bytes(b"12345")
    monkeypatch.setattr(Budget, "_measure", lambda self, context: MEASURED)
    context: Any = SimpleNamespace(records=SimpleNamespace(model=tmp_path))
    found = Budget(**bounds).judge(context)
    if exceeded:
        assert (found.verdict, found.reason) == ("exceeded", f"the packaged model needs {exceeded}")
        return
    assert (found.passed, found.verdict) == (True, "within bounds" if bounds else "no bound")
    assert found.numbers["latency_p50_ms"] == 2.0, "three digits"
    assert found.numbers["size_mib"] == 9.54e-06
    assert found.numbers["rows_per_second_bound"] == bounds.get("rows_per_second")


def report(*results: GateResult) -> GateReport:
    return GateReport(
        model="digits", version=1, bundle="b", champion=None, champion_bundle=None, policy="p", settings={}, rows=1,
        error_control={}, rows_digest="", digests={}, tested=None, tries=1, candidates=1, results=results,
    )  # fmt: skip


def test_a_report_passes_where_all_gates_do_and_tells_what_refused() -> None:
    good = GateResult(gate="first", passed=True, verdict="v", reason="fine")
    compared = GateResult(gate="second", topic=CHAMPION, passed=True, verdict="better", reason="two points better")
    bad = GateResult(gate="third", passed=False, verdict="v", reason="too slow")
    worse = GateResult(gate="fourth", passed=False, verdict="v", reason="too large")
    last = GateResult(gate="last", passed=True, verdict="v", reason="the end")
    assert (report(good, compared, last).passed, report(good, compared, last).reason) == (True, "two points better")
    assert report(good, last).reason == "the end"
    alike = GateResult(
        gate="base", topic=BASELINE, passed=True, verdict="no significant difference", reason="like the mean"
    )
    ahead = GateResult(gate="base", topic=BASELINE, passed=True, verdict="better", reason="above the mean")
    assert report(compared, alike).reason == "two points better; like the mean"
    assert report(compared, ahead).reason == "two points better"
    assert report(good, alike).reason == "like the mean"
    found = report(good, bad, compared, worse)
    assert (found.passed, found.reason) == (False, "third: too slow; fourth: too large")


@pytest.mark.parametrize(("error", "passes_on"), [(Refused, True), (Unavailable, True), (DataError, False)])
def test_a_validation_that_cannot_be_read_refuses_and_one_that_was_forged_stops(
    error: type[Exception], passes_on: bool
) -> None:
    from headframe.gates.data_contract import DataContract

    class Records:
        @property
        def validation(self) -> None:
            raise error("why")

    context: Any = SimpleNamespace(records=Records())
    if passes_on:
        with pytest.raises(error, match="why"):
            DataContract().judge(context)
        return
    found = DataContract().judge(context)
    assert (found.passed, found.verdict, found.reason) == (False, "unproven", "why")
