"""The results of an evaluation, collected once for all files that show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headframe.config.members import member_learners, with_member
from headframe.config.plan.learner import Learner
from headframe.config.plan.model import EnsembleConfig
from headframe.config.plan.plan import VersionPlan
from headframe.evaluation.paired import Comparison
from headframe.evaluation.slices import Slice
from headframe.pages.numbers import difference, limits, number, signed
from headframe.records import Interval, TableRecord, Trained

NO_SLICES = "No slices were measured; name columns in evaluation.slices to see where the model is weak."


@dataclass(frozen=True)
class EvaluationResults:
    """Everything that card and report show; nothing in it depends on the time or on where the project lies.

    Attributes:
        plan: what was run.
        table: the version of the data.
        trained: the model.
        baseline: the model it is compared with.
        primary_metric: the primary metric.
        higher_is_better: its direction.
        rows: test rows that were measured; windows for a forecast.
        different: how many of them are distinct.
        block: how many consecutive windows were resampled together; 1 for independent rows.
        metrics: of the model.
        resamples: how many the limits of each metric rest on.
        comparison: with the baseline, where there is one.
        slices: by column.
        interval_note: of the task, on how intervals of its metrics are made.
        caveats: of the task.
        legend: what short names in the plots stand for.
        history: epochs of each network by its name; empty name where there is only one.
    """

    plan: VersionPlan
    table: TableRecord
    trained: Trained
    baseline: Trained | None
    primary_metric: str
    higher_is_better: bool
    rows: int
    different: int
    block: int
    metrics: dict[str, Interval]
    resamples: dict[str, int]
    comparison: Comparison | None = None
    interval_note: str = ""
    caveats: tuple[str, ...] = ()
    slices: dict[str, list[Slice]] = field(default_factory=dict)
    legend: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[dict[str, float | None]]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The metrics, the primary one first."""
        return [self.primary_metric, *(name for name in self.metrics if name != self.primary_metric)]

    @property
    def examples(self) -> str:
        """What is counted."""
        return f"{self.plan.task.examples}s"

    @property
    def method(self) -> str:
        """How the intervals were computed, in a few sentences."""
        if self.block > 1:
            how = (
                f"blocks of {self.block} consecutive windows, because the errors of overlapping windows are correlated."
            )
        else:
            how = f"the test rows{self.interval_note}."
        confidence, resamples = self.plan.evaluation.confidence, self.plan.evaluation.resamples
        sentences = [
            f"Intervals are {100 * confidence:g} % percentile bootstrap intervals from {resamples:,} resamples of {how}"
        ]
        if self.different < self.rows:
            sentences.append(
                f"Only {self.different:,} rows are distinct; duplicates add no evidence and were resampled together."
            )
        fewer = [f"{name} ({each:,})" for name, each in self.resamples.items() if each < resamples]
        if fewer:
            sentences.append(f"Metrics with fewer valid resamples: {', '.join(fewer)}.")
        return " ".join(sentences)

    @property
    def baseline_summary(self) -> str:
        """How the model compares with its baseline, in two sentences."""
        if self.plan.baseline is None or self.comparison is None:
            return "Not compared with a baseline."
        name = describe(with_member(self.plan.learner, self.plan.baseline))
        change = self.comparison.difference.get(self.primary_metric)
        if change is None:
            return f"Baseline: {name}."
        more, less = (change.low or 0) > 0, (change.high or 0) < 0  # neither without limits
        better, worse = (more, less) if self.higher_is_better else (less, more)
        compared = (
            "the model is better than"
            if better
            else "the model is worse than"
            if worse
            else "no significant difference from"
        )
        return (
            f"Baseline: {name}. On the same {self.rows:,} {self.examples}, {compared} the baseline: "
            f"{self.primary_metric} {difference(change)}."
        )

    @property
    def model(self) -> str:
        """What kind of model it is, in words."""
        return describe(self.plan.learner)

    @property
    def limits(self) -> list[str]:
        """What the numbers do not show."""
        sentences = [
            "The intervals cover the choice of test rows, not the variation between seeds or training runs.",
            f"The figures hold for data like {self.plan.dataset.title}; evaluate on your own rows before other use.",
        ]
        if self.block > 1:
            sentences.append(
                f"The test split holds only about {self.rows // self.block} independent stretches of time, so "
                "intervals are rough, and a season missing from it was not measured."
            )
        sentences.extend(self.caveats)
        unlimited = [name for name, each in self.metrics.items() if each.low is None]
        if unlimited:
            sentences.append(
                f"No interval for {', '.join(unlimited)}: all resamples of the test rows give the same value, so the "
                "bootstrap cannot show how other rows would change it."
            )
        if not self.slices:
            sentences.append(NO_SLICES)
        else:
            sentences.append("With many slices, a single bad one may be due to chance.")
        return sentences

    @property
    def tiles(self) -> list[tuple[str, str]]:
        """The figures that a page opens with, each with its label."""
        primary = self.metrics[self.primary_metric]
        tiles = [(number(primary.value), f"{self.primary_metric}, {limits(primary)}")]
        if self.comparison is not None and self.primary_metric in self.comparison.difference:
            change = self.comparison.difference[self.primary_metric]
            tiles.append((signed(change.value), f"compared with baseline, {limits(change)}"))
        tiles.append((f"{self.rows:,}", f"test {self.examples}"))
        if self.trained.parameters:
            tiles.append((f"{self.trained.parameters:,}", f"trainable parameters, {self.trained.epochs} epochs"))
        return tiles

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of everything that went in and came out, by name."""
        digests = {
            "plan": self.plan.fingerprint,
            "table": self.table.digest,
            "model": self.trained.bundle,
            "predictions": self.trained.predictions,
        }
        if self.baseline is not None:
            digests |= {"baseline model": self.baseline.bundle, "baseline predictions": self.baseline.predictions}
        return digests

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

    @property
    def commands(self) -> list[str]:
        """The commands that reproduce the model in the project's folder; HERE stands for the folder of the card."""
        return [
            f"headframe ingest dataset={self.plan.dataset.name}",
            "python -m headframe.training HERE/plan.json OUT_DIR --root .",
        ]


def describe(learner: Learner) -> str:
    """Name a learner's class, and an ensemble's members."""
    name = learner.model.target.rpartition(".")[2]
    if not isinstance(learner.model, EnsembleConfig):
        return name
    members = ", ".join(f"{key} ({describe(member)})" for key, member in member_learners(learner).items())
    return f"{name} of {members}"


def as_json(results: EvaluationResults) -> dict[str, Any]:
    """Return the content of `metrics.json`."""
    plain = {
        "rows": results.rows,
        "different_rows": results.different,
        "primary_metric": results.primary_metric,
        "higher_is_better": results.higher_is_better,
        "confidence": results.plan.evaluation.confidence,
        "resamples": results.resamples,
        "block": results.block,
        "interval_note": results.interval_note,
        "caveats": list(results.caveats),
        "metrics": _plain(results.metrics),
    }
    if results.comparison is not None:
        plain |= {"baseline": _plain(results.comparison.baseline), "difference": _plain(results.comparison.difference)}
    return plain


def slices_as_json(results: EvaluationResults) -> dict[str, Any]:
    """Return the content of `slices.json`."""
    return {
        column: [{"value": part.value, "rows": part.rows, "metrics": _plain(part.metrics)} for part in parts]
        for column, parts in results.slices.items()
    }


def _plain(metrics: dict[str, Interval]) -> dict[str, Any]:
    return {name: interval.model_dump() for name, interval in metrics.items()}
