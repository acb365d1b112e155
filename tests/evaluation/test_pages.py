"""What report and card say of the figures, for figures made by hand."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.report import NO_SLICES, EvaluationResults, _baselines_table, _metrics_table, _slice
from headframe.evaluation.slices import Slice
from headframe.records import BaselineComparison, Interval

WIDE, NONE = Interval(value=0.5, low=0.4, high=0.6), Interval(value=0.5, low=None, high=None)
METRICS = {"accuracy": WIDE, "brier": WIDE}


def baseline(title: str, verdict: Any, value: float, **changes: Any) -> BaselineComparison:
    shown = Interval(value=value, low=value - 0.1, high=value + 0.1)
    known = {"metrics": {"accuracy": shown}, "difference": {"accuracy": shown}, **changes}
    return BaselineComparison(title=title, verdict=verdict, p_better=0.25, p_worse=0.75, **known)


def results(
    baselines: dict[str, BaselineComparison] | None = None, slices: Any = None, parameters: int = 12, **changes: Any
) -> EvaluationResults:
    measured = EvaluationMetrics(**{
        "rows": 1200, "different_rows": 1200, "primary_metric": "accuracy", "higher_is_better": True,
        "confidence": 0.9, "resamples": {"accuracy": 500, "brier": 500}, "block": 1, "metrics": METRICS,
        "baselines": baselines or {}, **changes,
    })  # fmt: skip
    plan: Any = SimpleNamespace(
        task=SimpleNamespace(examples="row"),
        dataset=SimpleNamespace(title="Digits"),
        evaluation=SimpleNamespace(resamples=500),
    )
    trained: Any = SimpleNamespace(parameters=parameters, epochs=3)
    record: Any = None
    return EvaluationResults(plan, record, trained, None, measured, slices or {})


def test_the_method_names_blocks_repetitions_and_metrics_with_fewer_resamples() -> None:
    plain = results().method
    assert plain == "Intervals are 90 % percentile bootstrap intervals from 500 resamples of the test rows."
    assert "blocks of 2 consecutive windows" in results(block=2).method
    assert "Only 1,199 rows are distinct" in results(different_rows=1199).method
    fewer = results(resamples={"accuracy": 500, "brier": 499}).method
    assert fewer.endswith("Metrics with fewer valid resamples: brier (499).")


def test_the_limits_of_the_figures_are_said_where_they_hold() -> None:
    plain = results()
    assert len(plain.limits) == 3
    assert plain.limits[-1] == NO_SLICES
    assert results(slices={"shop": []}).limits[-1] == "With many slices, a single bad one may be due to chance."
    assert "only about 300 independent stretches of time" in results(block=4).limits[2]
    assert "No interval for brier: all" in results(metrics={"accuracy": WIDE, "brier": NONE}).limits[2]
    assert results(caveats=("Mind the step.",)).limits[2] == "Mind the step."


def test_a_page_opens_with_the_metric_the_hardest_baseline_rows_and_parameters() -> None:
    others = {"prior": baseline("prior", "better", 0.2), "tf_idf": baseline("tf-idf", "worse", 0.7)}
    first, second, third, fourth = results(others).tiles
    assert first[1].startswith("accuracy, ")
    assert second[1].startswith("compared with tf-idf, ")
    assert "0.7" in second[0]
    assert third == ("1,200", "test rows")
    assert fourth == ("12", "trainable parameters, 3 epochs")
    assert [label for _, label in results(parameters=0).tiles] == [first[1], "test rows"]


def test_the_summary_has_a_sentence_for_each_verdict_and_what_the_model_loses_to_first() -> None:
    assert results().baseline_summary == "Not compared with a baseline."
    others = {"a": baseline("a", "better", 0.2), "b": baseline("b", "worse", 0.7), "c": baseline("c", "better", 0.1)}
    assert results(others).baseline_summary == (
        "On the same 1,200 rows, by a paired test of accuracy: the model is worse than b; the model is better than a "
        "and c."
    )
    absent = ["There is no season."]
    assert replace(results(), absent=absent).baseline_summary == "Not compared with a baseline. There is no season."
    assert replace(results(others), absent=absent).baseline_summary.endswith("better than a and c. There is no season.")


def test_tables_show_each_baseline_and_the_p_value_of_its_verdict() -> None:
    other = {"brier": WIDE}
    others = {
        "a": baseline("a", "better", 0.2), "b": baseline("b", "worse", 0.7),
        "c": baseline("c", "no significant difference", 0.4), "few": baseline("few", "too few rows", 0.4),
        "d": baseline("d", "better", 0.4, metrics=other, difference=other),
    }  # fmt: skip
    measured = results(others).measured
    table = _baselines_table(measured)
    assert [(row[0], row[3], row[4]) for row in table.rows] == [
        ("a", "better", "0.2500"), ("b", "worse", "0.7500"), ("c", "no significant difference", "0.2500"),
        ("few", "too few rows", ""),
    ]  # fmt: skip
    metrics = _metrics_table(measured)
    assert [row[0] for row in metrics.rows] == ["accuracy", "brier"]
    assert [bool(cell) for cell in metrics.rows[0][3:]] == [True, True, True, True, False]
    assert [bool(cell) for cell in metrics.rows[1][3:]] == [False, False, False, False, True]
    assert metrics.marked == {0}


@pytest.mark.parametrize("measured", [True, False])
def test_a_slice_of_few_rows_is_listed_and_not_drawn(measured: bool) -> None:
    shops = [
        Slice(value="north", rows=1000, metrics=METRICS if measured else {}),
        Slice(value="south", rows=9, metrics={}),
    ]
    page = _slice(results(slices={"shop": shops}), "shop")
    assert [row[:2] for row in page["table"].rows] == [["north", "1,000"], ["south", "9"]]
    assert page["table"].rows[1][2:] == ["", "too few rows"]
    assert (page["plot"] is not None) is measured
    if measured:
        assert [each.name for each in page["plot"].estimates] == ["north"]
