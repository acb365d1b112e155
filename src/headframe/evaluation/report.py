"""The pages of an evaluation: the report in HTML, and the model card in Markdown that lies beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from headframe.evaluation.facts import Facts
from headframe.pages import render
from headframe.pages.numbers import difference, limits, number
from headframe.pages.parts import Estimate, IntervalPlot, Picture, Table

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


def report(facts: Facts, plots: Mapping[str, bytes]) -> str:
    """Return the report as HTML.

    Args:
        facts: what was measured.
        plots: PNG bytes by name, in the order of showing.
    """
    sources = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in plots.items()}
    return render.html("report", kind="Evaluation", **_page(facts, sources))


def card(facts: Facts, plots: Sequence[str]) -> str:
    """Return the model card as Markdown; `plots` are names of files in `plots/`, without suffix."""
    sources = {name: f"plots/{name}.png" for name in plots}
    return render.markdown("report", kind="Model card", **_page(facts, sources))


def _page(facts: Facts, sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "title": facts.plan.name,
        "pictures": [Picture(_CAPTIONS.get(name, name.replace("_", " ")), each) for name, each in sources.items()],
        "legend": facts.legend,
        "data": facts.data_sheet,
        "limits": facts.limits,
        "digests": facts.digests,
        "commands": facts.commands,
        **measured(facts),
    }


def measured(facts: Facts) -> dict[str, Any]:
    """Return what report and model card show alike: the sections of `evaluation.jinja` and what precedes them."""
    direction = "higher" if facts.higher_is_better else "lower"
    return {
        "summary": f"{facts.model} for {facts.plan.task.kind} on {facts.plan.dataset.title}.",
        "tiles": facts.tiles,
        "use": _intended_use(facts),
        "baseline": facts.baseline_summary,
        "metrics_table": _metrics(facts),
        "metrics_note": f"The primary metric is {facts.primary_metric}; {direction} is better. {facts.method}",
        "slices_measured": [_slice(facts, column) for column in facts.slices],
    }


def _metrics(facts: Facts) -> Table:
    compared = facts.comparison
    columns = ["metric", "#value", "interval"]
    columns += ["#baseline", "model minus baseline"] if compared is not None else []
    rows = []
    for name in facts.names:
        cells = [name, number(facts.metrics[name].value), limits(facts.metrics[name])]
        if compared is not None and name in compared.difference:
            cells += [number(compared.baseline[name].value), difference(compared.difference[name])]
        rows.append(cells + [""] * (len(columns) - len(cells)))
    return Table(columns, rows, marked=frozenset({0}))


def _slice(facts: Facts, column: str) -> dict[str, Any]:
    estimates, rows = [], []
    for each in facts.slices[column]:
        interval = each.metrics.get(facts.primary_metric)
        shown = ["", "too few rows"] if interval is None else [number(interval.value), limits(interval)]
        rows.append([each.value, f"{each.rows:,}", *shown])
        if interval is not None:
            estimates.append(Estimate(each.value, interval))
    axis = f"{facts.primary_metric}; dashed: all test {facts.examples}"
    return {
        "column": column,
        "plot": IntervalPlot(estimates, axis, facts.metrics[facts.primary_metric].value) if estimates else None,
        "table": Table([column, f"#{facts.examples}", f"#{facts.primary_metric}", "interval"], rows),
    }


def _intended_use(facts: Facts) -> list[str]:
    data = facts.plan.dataset
    predicted = f"the next rows of {', '.join(data.inputs)}" if data.target is None else f"`{data.target}`"
    size = f"{facts.trained.epochs:,} epochs, {facts.trained.parameters:,} trainable parameters"
    measured_on = (
        f"Measured on {facts.rows:,} test {facts.examples} that were used neither to fit weights nor to stop training. "
        "Champions are chosen on these same rows, so the more versions are compared, the more the figures of the best "
        "one are inflated by chance."
    )
    return [
        f"Predicts {predicted} from raw rows with the columns {', '.join(f'`{name}`' for name in data.inputs)}.",
        f"Trained on the training split of the data below ({size if facts.trained.parameters else 'an estimator'}).",
        measured_on,
    ]
