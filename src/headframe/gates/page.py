"""The page of a gate report."""

from collections.abc import Mapping
from typing import Any

from headframe.gates.report import BASELINE, GateReport, GateResult
from headframe.pages import render
from headframe.pages.numbers import difference, setting
from headframe.pages.parts import Estimate, IntervalPlot, PageTable
from headframe.records import Interval


def page(report: GateReport, sha256: str) -> str:
    """Return the page as HTML.

    Args:
        report: what the gates returned.
        sha256: of the report's JSON.
    """
    refused = [result.gate for result in report.results if not result.passed]
    compared = "no champion before it" if report.champion is None else f"champion: version {report.champion}"
    tries = "" if report.tries == 1 else f", try {report.tries} against this champion"
    candidates = "" if report.candidates == 1 else f", one of {report.candidates} candidates"
    rows = f"{report.rows:,} test rows" if report.rows else "no test rows consulted"
    return render.html(
        "gate_report",
        kind="Gate report",
        title=f"{report.model} version {report.version}",
        badge=(f"Refused by {', '.join(refused)}", "bad") if refused else ("Passed every gate", "good"),
        summary=f"Policy {report.policy}, {rows}; {compared}{tries}{candidates}.",
        gates=[_gate(each, report.settings.get(each.gate, {})) for each in report.results],
        digests={
            "report": sha256,
            "model": report.bundle,
            **({} if report.champion_bundle is None else {"champion's model": report.champion_bundle}),
            **report.digests,
            **({"test rows": report.rows_digest} if report.rows else {}),
        },
    )


def _gate(result: GateResult, settings: Mapping[str, Any]) -> dict[str, Any]:
    numbers, slices = {}, dict[str, dict[str, str]]()
    for key, value in result.numbers.items():
        part, colon, statistic = key.rpartition(": ")  # of one slice or baseline: `SLICE: STATISTIC`
        if colon:
            slices.setdefault(part, {})[statistic] = setting(value)
        else:
            numbers[key.replace("_", " ")] = setting(value)
    statistics = list(dict.fromkeys(name for each in slices.values() for name in each))
    return {
        "name": result.gate,
        "passed": result.passed,
        "verdict": result.verdict,
        "reason": result.reason,
        "plot": _plot(result.numbers),
        "slices": PageTable(
            ["baseline" if result.topic == BASELINE else "slice", *(f"#{name}" for name in statistics)],
            [[part, *(each.get(name, "") for name in statistics)] for part, each in slices.items()],
        ),
        "numbers": numbers,
        "settings": {key: setting(value) for key, value in settings.items() if key not in ("_target_", "tiny")},
    }


def _plot(numbers: Mapping[str, Any]) -> IntervalPlot | None:
    """Plot version minus champion with its interval and the band of effects too small to matter."""
    known = [numbers.get(name) for name in ("difference", "low", "high", "effect")]
    floats = [float(each) for each in known if isinstance(each, int | float)]
    if len(floats) < len(known):
        return None
    value, low, high, effect = floats
    change = Interval(value=value, low=low, high=high)
    confidence = 100 * float(numbers.get("confidence") or 0)
    axis = f"{difference(change)}, {confidence:.1f} % interval; shaded: too small to matter"
    estimate = Estimate("version minus champion", change)
    return IntervalPlot([estimate], axis, guide=0.0, band=effect)
