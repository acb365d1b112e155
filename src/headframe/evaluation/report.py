"""The pages of an evaluation: the report in HTML, and the model card in Markdown of the same content."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from headframe.config.members import member_learners
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import EnsembleConfig
from headframe.config.plan.plan import VersionPlan
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.slices import Slice
from headframe.pages import render
from headframe.pages.numbers import difference, limits, number, signed
from headframe.pages.parts import Estimate, IntervalPlot, PageTable, Picture
from headframe.records import TableRecord, Trained

VERDICTS = {
    "worse": "is worse than",
    "too few rows": "is measured on too few independent rows to be tested against",
    "no significant difference": "is not significantly different from, and so may be no better than,",
    "better": "is better than",
}
"""Verdicts of the paired tests against baselines, in words; what a model loses to comes first."""

NO_SLICES = "No slices were measured; name columns in evaluation.slices to see where the model is weak."

SlicesByColumn = TypeAdapter(dict[str, list[Slice]])
"""The content of `slices.json`."""

_CURVES = {"learning_curves": "Learning curves"}
"""The caption of the one plot that no task draws."""


@dataclass(frozen=True)
class EvaluationResults:
    """Everything that card and report show; nothing in it depends on the time or on where the project lies."""

    plan: VersionPlan
    table: TableRecord
    trained: Trained
    baseline: Trained | None  # the model it is compared with
    measured: EvaluationMetrics
    slices: dict[str, list[Slice]]  # by column
    series: str = ""  # frequency and gaps of rows that have a time
    absent: Sequence[str] = ()  # sentences about baselines that do not apply
    legend: dict[str, str] = field(default_factory=dict)  # what short names in the plots stand for
    captions: Mapping[str, str] = field(default_factory=dict)  # of the task's plots
    purpose: str = ""  # what the model does with raw rows, in a sentence
    findings: str = ""  # what was found, and how much of it is confirmed, in sentences
    findings_table: PageTable | None = None
    errors_table: PageTable | None = None  # the test rows that are predicted worst

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
        """How the model compares with its baselines, in a sentence for each verdict."""
        measured = self.measured
        if not measured.baselines:
            return " ".join(["Not compared with a baseline.", *self.absent])
        sentences = [f"On the same {measured.rows:,} {self.examples}, by a paired test of {measured.primary_metric}:"]
        for verdict, meaning in VERDICTS.items():
            titles = [each.title for each in measured.baselines.values() if each.verdict == verdict]
            sentences += [f"the model {meaning} {join_words(titles)};"] if titles else []
        return " ".join([f"{' '.join(sentences).rstrip(';')}.", *self.absent])

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
        if (hardest := measured.hardest) is not None:
            change = hardest.difference[name]
            tiles.append((signed(change.value), f"compared with {hardest.title}, {limits(change)}"))
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
            "Series": self.series,
            "Gaps": data.gaps.call if data.gaps else "",
            "Inputs": ", ".join(data.inputs),
            "Target": data.target or ("future values of the inputs" if self.plan.task.examples == "window" else ""),
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
    captions = {**_CURVES, **results.captions}
    digests = {"plan": plan.fingerprint, "table": results.table.digest, "model": trained.bundle}
    digests["predictions"] = trained.predictions
    if baseline is not None:
        digests |= {"baseline model": baseline.bundle, "baseline predictions": baseline.predictions}
    return {
        "title": plan.name,
        "pictures": [Picture(captions.get(name, name.replace("_", " ")), each) for name, each in sources.items()],
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
        "baselines_table": _baselines_table(measured),
        "metrics_note": f"The primary metric is {measured.primary_metric}; {direction} is better. {results.method}",
        "findings_summary": results.findings,
        "findings_table": results.findings_table,
        "errors_table": results.errors_table,
        "slices_measured": [_slice(results, column) for column in results.slices],
    }


def _metrics_table(measured: EvaluationMetrics) -> PageTable:
    baselines = measured.baselines.values()
    rows = [
        [
            name,
            number(measured.metrics[name].value),
            limits(measured.metrics[name]),
            *(number(each.metrics[name].value) if name in each.metrics else "" for each in baselines),
        ]
        for name in measured.names
    ]
    columns = ["metric", "#value", "interval", *(f"#{each.title}" for each in baselines)]
    return PageTable(columns, rows, marked=frozenset({0}))


def _baselines_table(measured: EvaluationMetrics) -> PageTable:
    """Return the paired test of the primary metric against each baseline; empty without any."""
    name = measured.primary_metric
    rows = [
        [
            each.title,
            number(each.metrics[name].value),
            difference(each.difference[name]),
            each.verdict,
            ""
            if each.verdict == "too few rows"
            else number(each.p_worse if each.verdict == "worse" else each.p_better),
        ]
        for each in measured.baselines.values()
        if name in each.difference
    ]
    return PageTable(["baseline", f"#{name}", "model minus baseline", "the model is", "#p"], rows)


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
    trained = results.trained
    size = f"{trained.epochs:,} epochs, {trained.parameters:,} trainable parameters"
    rows = f"{results.measured.rows:,} test {results.examples}"
    copies = f", without {trained.copies:,} rows that for its features equal measured ones" if trained.copies else ""
    return [
        results.purpose,
        f"Trained on the training split of the data below ({size if trained.parameters else 'an estimator'}){copies}.",
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


def join_words(words: Sequence[str]) -> str:
    """Return words as an enumeration in a sentence."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
