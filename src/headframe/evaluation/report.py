"""The pages of an evaluation: the report in HTML, and the model card in Markdown of the same content."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from headframe.config.members import member_learners, with_member
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import EnsembleConfig
from headframe.config.plan.plan import VersionPlan
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.slices import Slice
from headframe.pages import render
from headframe.pages.numbers import difference, limits, number, signed
from headframe.pages.parts import Estimate, IntervalPlot, PageTable, Picture
from headframe.records import TableRecord, Trained

NO_SLICES = "No slices were measured; name columns in evaluation.slices to see where the model is weak."

SlicesByColumn = TypeAdapter(dict[str, list[Slice]])
"""The content of `slices.json`."""

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


@dataclass(frozen=True)
class EvaluationResults:
    """Everything that card and report show; nothing in it depends on the time or on where the project lies."""

    plan: VersionPlan
    table: TableRecord
    trained: Trained
    baseline: Trained | None  # the model it is compared with
    measured: EvaluationMetrics
    slices: dict[str, list[Slice]]  # by column
    legend: dict[str, str] = field(default_factory=dict)  # what short names in the plots stand for

    @property
    def examples(self) -> str:
        """What is counted."""
        return f"{self.plan.task.examples}s"

    @property
    def method(self) -> str:
        """How the intervals were computed, in a few sentences."""
        measured = self.measured
        how = f"the test rows{measured.interval_note}."
        if measured.block > 1:
            blocks = f"blocks of {measured.block} consecutive windows"
            how = f"{blocks}, because the errors of overlapping windows are correlated."
        percent, resamples = 100 * measured.confidence, self.plan.evaluation.resamples
        sentences = [
            f"Intervals are {percent:g} % percentile bootstrap intervals from {resamples:,} resamples of {how}"
        ]
        if measured.different_rows < measured.rows:
            sentences.append(
                f"Only {measured.different_rows:,} rows are distinct; duplicates add no evidence and were resampled "
                "together."
            )
        fewer = [f"{name} ({each:,})" for name, each in measured.resamples.items() if each < resamples]
        if fewer:
            sentences.append(f"Metrics with fewer valid resamples: {', '.join(fewer)}.")
        return " ".join(sentences)

    @property
    def baseline_summary(self) -> str:
        """How the model compares with its baseline, in two sentences."""
        measured = self.measured
        if self.plan.baseline is None or not measured.baseline:
            return "Not compared with a baseline."
        name = describe(with_member(self.plan.learner, self.plan.baseline))
        change = measured.difference.get(measured.primary_metric)
        if change is None:
            return f"Baseline: {name}."
        more, less = (change.low or 0) > 0, (change.high or 0) < 0  # neither without limits
        better, worse = (more, less) if measured.higher_is_better else (less, more)
        compared = f"the model is {'better' if better else 'worse'} than"
        if not better and not worse:
            compared = "no significant difference from"
        return (
            f"Baseline: {name}. On the same {measured.rows:,} {self.examples}, {compared} the baseline: "
            f"{measured.primary_metric} {difference(change)}."
        )

    @property
    def limits(self) -> list[str]:
        """What the numbers do not show."""
        measured = self.measured
        sentences = [
            "The intervals cover the choice of test rows, not the variation between seeds or training runs.",
            f"The figures hold for data like {self.plan.dataset.title}; evaluate on your own rows before other use.",
        ]
        if measured.block > 1:
            sentences.append(
                f"The test split holds only about {measured.rows // measured.block} independent stretches of time, so "
                "intervals are rough, and a season missing from it was not measured."
            )
        sentences += measured.caveats
        unlimited = [name for name, each in measured.metrics.items() if each.low is None]
        if unlimited:
            sentences.append(
                f"No interval for {', '.join(unlimited)}: all resamples of the test rows give the same value, so the "
                "bootstrap cannot show how other rows would change it."
            )
        of_slices = "With many slices, a single bad one may be due to chance." if self.slices else NO_SLICES
        return [*sentences, of_slices]

    @property
    def tiles(self) -> list[tuple[str, str]]:
        """The figures that a page opens with, each with its label."""
        measured, name = self.measured, self.measured.primary_metric
        tiles = [(number(measured.primary.value), f"{name}, {limits(measured.primary)}")]
        if name in measured.difference:
            change = measured.difference[name]
            tiles.append((signed(change.value), f"compared with baseline, {limits(change)}"))
        tiles.append((f"{measured.rows:,}", f"test {self.examples}"))
        if self.trained.parameters:
            tiles.append((f"{self.trained.parameters:,}", f"trainable parameters, {self.trained.epochs} epochs"))
        return tiles

    @property
    def data_sheet(self) -> dict[str, str]:
        """The data set in short lines, by heading."""
        data = self.plan.dataset
        sheet = {
            "Data set": f"{data.title} ({data.name})",
            "Licence": data.licence,
            "Citation": data.citation,
            "Homepage": data.homepage,
            "Rows": f"{self.table.rows:,}; {self.table.rejected:,} rejected",
            "Inputs": ", ".join(data.inputs),
            "Target": data.target or "future values of the inputs",
        }
        return {heading: text for heading, text in sheet.items() if text}


def report(results: EvaluationResults, plots: Mapping[str, bytes]) -> str:
    """Return the report as HTML; `plots` are PNG bytes by name, in the order of showing."""
    sources = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in plots.items()}
    return render.html("report", kind="Evaluation", **_page(results, sources))


def card(results: EvaluationResults, plots: Sequence[str]) -> str:
    """Return the model card as Markdown; `plots` are names of files in `plots/`, without suffix."""
    sources = {name: f"plots/{name}.png" for name in plots}
    return render.markdown("report", kind="Model card", **_page(results, sources))


def _page(results: EvaluationResults, sources: Mapping[str, str]) -> dict[str, Any]:
    plan, trained, baseline = results.plan, results.trained, results.baseline
    digests = {"plan": plan.fingerprint, "table": results.table.digest, "model": trained.bundle}
    digests["predictions"] = trained.predictions
    if baseline is not None:
        digests |= {"baseline model": baseline.bundle, "baseline predictions": baseline.predictions}
    return {
        "title": plan.name,
        "pictures": [Picture(_CAPTIONS.get(name, name.replace("_", " ")), each) for name, each in sources.items()],
        "legend": results.legend,
        "data": results.data_sheet,
        "limits": results.limits,
        "digests": digests,
        "commands": [
            f"headframe ingest dataset={plan.dataset.name}",
            "python -m headframe.training HERE/job.json OUT_DIR --root .",
        ],
        **evaluation_sections(results),
    }


def evaluation_sections(results: EvaluationResults) -> dict[str, Any]:
    """Return what report and model card show alike: the sections of `evaluation.jinja` and what precedes them."""
    plan, measured = results.plan, results.measured
    direction = "higher" if measured.higher_is_better else "lower"
    return {
        "summary": f"{describe(plan.learner)} for {plan.task.kind} on {plan.dataset.title}.",
        "tiles": results.tiles,
        "use": _intended_use(results),
        "baseline": results.baseline_summary,
        "metrics_table": _metrics_table(measured),
        "metrics_note": f"The primary metric is {measured.primary_metric}; {direction} is better. {results.method}",
        "slices_measured": [_slice(results, column) for column in results.slices],
    }


def _metrics_table(measured: EvaluationMetrics) -> PageTable:
    columns = ["metric", "#value", "interval"]
    columns += ["#baseline", "model minus baseline"] if measured.baseline else []
    rows = []
    for name in measured.names:
        cells = [name, number(measured.metrics[name].value), limits(measured.metrics[name])]
        if name in measured.difference:
            cells += [number(measured.baseline[name].value), difference(measured.difference[name])]
        rows.append(cells + [""] * (len(columns) - len(cells)))
    return PageTable(columns, rows, marked=frozenset({0}))


def _slice(results: EvaluationResults, column: str) -> dict[str, Any]:
    name, estimates, rows = results.measured.primary_metric, [], []
    for each in results.slices[column]:
        interval = each.metrics.get(name)
        shown = ["", "too few rows"] if interval is None else [number(interval.value), limits(interval)]
        rows.append([each.value, f"{each.rows:,}", *shown])
        if interval is not None:
            estimates.append(Estimate(each.value, interval))
    axis = f"{name}; dashed: all test {results.examples}"
    return {
        "column": column,
        "plot": IntervalPlot(estimates, axis, results.measured.primary.value) if estimates else None,
        "table": PageTable([column, f"#{results.examples}", f"#{name}", "interval"], rows),
    }


def _intended_use(results: EvaluationResults) -> list[str]:
    data, trained = results.plan.dataset, results.trained
    predicted = f"the next rows of {', '.join(data.inputs)}" if data.target is None else f"`{data.target}`"
    size = f"{trained.epochs:,} epochs, {trained.parameters:,} trainable parameters"
    rows = f"{results.measured.rows:,} test {results.examples}"
    return [
        f"Predicts {predicted} from raw rows with the columns {', '.join(f'`{name}`' for name in data.inputs)}.",
        f"Trained on the training split of the data below ({size if trained.parameters else 'an estimator'}).",
        (
            f"Measured on {rows} that were used neither to fit weights nor to stop training. Champions are chosen on "
            "these same rows, so the more versions are compared, the more the figures of the best one are inflated by "
            "chance."
        ),
    ]


def describe(learner: LearnerConfig) -> str:
    """Return the name of a learner's class, and of an ensemble's members."""
    name = learner.model.class_name
    if not isinstance(learner.model, EnsembleConfig):
        return name
    members = ", ".join(f"{key} ({describe(member)})" for key, member in member_learners(learner).items())
    return f"{name} of {members}"
