"""The pages of an evaluation: the report in HTML, and the model card in Markdown that lies beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from headframe.evaluation.results import EvaluationResults
from headframe.pages import render
from headframe.pages.numbers import difference, limits, number
from headframe.pages.parts import Estimate, IntervalPlot, PageTable, Picture

_CAPTIONS = {
    "learning_curves": "Learning curves",
    "confusion": "Confusion matrix",
    "curves": "ROC and precision-recall curves, each class against all others",
    "calibration": "Calibration of the predicted class",
    "predicted_true": "Predicted and true values",
    "residuals": "Residuals",
    "forecasts": "Three forecasts with the true values and what preceded them",
    "errors": "Forecast errors by step and by variable",
}


def report(results: EvaluationResults, plots: Mapping[str, bytes]) -> str:
    """Return the report as HTML.

    Args:
        results: what was measured.
        plots: PNG bytes by name, in the order of showing.
    """
    sources = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in plots.items()}
    return render.html("report", kind="Evaluation", **_page(results, sources))


def card(results: EvaluationResults, plots: Sequence[str]) -> str:
    """Return the model card as Markdown; `plots` are names of files in `plots/`, without suffix."""
    sources = {name: f"plots/{name}.png" for name in plots}
    return render.markdown("report", kind="Model card", **_page(results, sources))


def _page(results: EvaluationResults, sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "title": results.plan.name,
        "pictures": [Picture(_CAPTIONS.get(name, name.replace("_", " ")), each) for name, each in sources.items()],
        "legend": results.legend,
        "data": results.data_sheet,
        "limits": results.limits,
        "digests": results.digests,
        "commands": results.commands,
        **evaluation_sections(results),
    }


def evaluation_sections(results: EvaluationResults) -> dict[str, Any]:
    """Return what report and model card show alike: the sections of `evaluation.jinja` and what precedes them."""
    direction = "higher" if results.higher_is_better else "lower"
    return {
        "summary": f"{results.model} for {results.plan.task.kind} on {results.plan.dataset.title}.",
        "tiles": results.tiles,
        "use": _intended_use(results),
        "baseline": results.baseline_summary,
        "metrics_table": _metrics(results),
        "metrics_note": f"The primary metric is {results.primary_metric}; {direction} is better. {results.method}",
        "slices_measured": [_slice(results, column) for column in results.slices],
    }


def _metrics(results: EvaluationResults) -> PageTable:
    compared = results.comparison
    columns = ["metric", "#value", "interval"]
    columns += ["#baseline", "model minus baseline"] if compared is not None else []
    rows = []
    for name in results.names:
        cells = [name, number(results.metrics[name].value), limits(results.metrics[name])]
        if compared is not None and name in compared.difference:
            cells += [number(compared.baseline[name].value), difference(compared.difference[name])]
        rows.append(cells + [""] * (len(columns) - len(cells)))
    return PageTable(columns, rows, marked=frozenset({0}))


def _slice(results: EvaluationResults, column: str) -> dict[str, Any]:
    estimates, rows = [], []
    for each in results.slices[column]:
        interval = each.metrics.get(results.primary_metric)
        shown = ["", "too few rows"] if interval is None else [number(interval.value), limits(interval)]
        rows.append([each.value, f"{each.rows:,}", *shown])
        if interval is not None:
            estimates.append(Estimate(each.value, interval))
    axis = f"{results.primary_metric}; dashed: all test {results.examples}"
    return {
        "column": column,
        "plot": IntervalPlot(estimates, axis, results.metrics[results.primary_metric].value) if estimates else None,
        "table": PageTable([column, f"#{results.examples}", f"#{results.primary_metric}", "interval"], rows),
    }


def _intended_use(results: EvaluationResults) -> list[str]:
    data = results.plan.dataset
    predicted = f"the next rows of {', '.join(data.inputs)}" if data.target is None else f"`{data.target}`"
    size = f"{results.trained.epochs:,} epochs, {results.trained.parameters:,} trainable parameters"
    measured_on = (
        f"Measured on {results.rows:,} test {results.examples} that were used neither to fit weights nor to stop training. "
        "Champions are chosen on these same rows, so the more versions are compared, the more the figures of the best "
        "one are inflated by chance."
    )
    return [
        f"Predicts {predicted} from raw rows with the columns {', '.join(f'`{name}`' for name in data.inputs)}.",
        f"Trained on the training split of the data below ({size if results.trained.parameters else 'an estimator'}).",
        measured_on,
    ]
