"""What an evaluation found, gathered once for the three files that show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headframe.config.learner import Learner
from headframe.config.plan.model import EnsembleConfig
from headframe.config.plan.plan import Plan
from headframe.evaluation.paired import Comparison
from headframe.evaluation.slices import Slice
from headframe.pages.numbers import _sign, number
from headframe.records import Interval, TableRecord, Trained

NO_SLICES = "No slices were measured; name columns in evaluation.slices to see where the model is weak."


@dataclass(frozen=True)
class Facts:
    """Everything a card or a report says; nothing in it depends on the time or on where the project lies.

    Attributes:
        plan: what was run.
        table: the version of the data.
        trained: the model.
        baseline: the model it is compared with.
        lead: the metric that decides.
        higher_is_better: its direction.
        rows: test rows that were measured; windows for a forecast.
        different: how many of them are no repetition of another.
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

    plan: Plan
    table: TableRecord
    trained: Trained
    baseline: Trained | None
    lead: str
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
        """The metrics, the leading one first."""
        return [self.lead, *(name for name in self.metrics if name != self.lead)]

    @property
    def examples(self) -> str:
        """What is counted."""
        return f"{self.plan.task.examples}s"

    @property
    def method(self) -> str:
        """How the intervals were made, in a few sentences."""
        per_cent = f"{100 * self.plan.evaluation.confidence:g} %"
        many = f"{self.plan.evaluation.resamples:,}"
        if self.block > 1:
            how = f"of blocks of {self.block} consecutive windows, because overlapping windows err alike."
        else:
            how = f"of the test rows{self.interval_note}."
        said = [f"Intervals hold the middle {per_cent} of {many} resamples {how}"]
        if self.different < self.rows:
            said.append(f"{self.different:,} rows differ; repetitions are no new evidence and were drawn together.")
        fewer = {name: each for name, each in self.resamples.items() if each < self.plan.evaluation.resamples}
        if fewer:
            said.append(f"Fewer resamples: {', '.join(f'{name} has {each:,}' for name, each in fewer.items())}.")
        return " ".join(said)

    @property
    def verdict(self) -> str:
        """Whether the model beats its baseline, in one sentence; empty without a baseline."""
        if self.comparison is None or self.lead not in self.comparison.difference:
            return ""
        change = self.comparison.difference[self.lead]
        more, less = (change.low or 0) > 0, (change.high or 0) < 0  # neither without limits
        better, worse = (more, less) if self.higher_is_better else (less, more)
        said = "better than" if better else "worse than" if worse else "not told apart from"
        return (
            f"On the same {self.rows:,} {self.examples} the model is {said} the baseline: {self.lead} {signed(change)}."
        )

    @property
    def model(self) -> str:
        """What kind of model it is, in words."""
        return describe(self.plan.learner)

    @property
    def compared_with(self) -> str:
        """What kind of model the baseline is, in words; empty without one."""
        return "" if self.plan.baseline is None else describe(self.plan.learner.with_member(self.plan.baseline))

    @property
    def limits(self) -> list[str]:
        """What the numbers do not say."""
        said = [
            "The intervals tell how far other test rows would move the metrics, not what another seed or run would.",
            f"Nothing is known about data that differs from {self.plan.dataset.title}; measure on your own rows first.",
        ]
        if self.block > 1:
            blocks = self.rows // self.block
            said.append(
                f"The test part holds about {blocks} independent stretches of time, so intervals are rough, "
                "and a season that it lacks was not measured."
            )
        said.extend(self.caveats)
        unlimited = [name for name, each in self.metrics.items() if each.low is None]
        if unlimited:
            said.append(
                f"No interval is given for {', '.join(unlimited)}: all resamples of the test rows give the same value, "
                "so nothing tells how far other rows would move it."
            )
        if not self.slices:
            said.append(NO_SLICES)
        else:
            said.append("Slices are many looks at the same rows: one that is bad by itself may be so by chance.")
        return said

    @property
    def tiles(self) -> list[tuple[str, str]]:
        """The figures that a page opens with, each with what it is."""
        lead = self.metrics[self.lead]
        found = [(number(lead.value), f"{self.lead}, {spread(lead)}")]
        if self.comparison is not None and self.lead in self.comparison.difference:
            change = self.comparison.difference[self.lead]
            found.append((signed(change).partition(" ")[0], f"against the baseline, {spread(change)}"))
        found.append((f"{self.rows:,}", f"test {self.examples}"))
        if self.trained.parameters:
            found.append((f"{self.trained.parameters:,}", f"trainable numbers, {self.trained.epochs} epochs"))
        return found

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of everything that went in and came out, by name."""
        found = {
            "plan": self.plan.fingerprint,
            "table": self.table.digest,
            "model": self.trained.bundle,
            "predictions": self.trained.predictions,
        }
        if self.baseline is not None:
            found |= {"baseline model": self.baseline.bundle, "baseline predictions": self.baseline.predictions}
        return found

    @property
    def data_sheet(self) -> dict[str, str]:
        """The data set in short lines, by heading."""
        data = self.plan.dataset
        sheet = {
            "Data set": f"{data.title} ({data.name})",
            "Licence": data.licence,
            "Citation": data.citation,
            "Homepage": data.homepage,
            "Rows": f"{self.table.rows:,}, and {self.table.rejected:,} rejected",
            "Inputs": ", ".join(data.inputs),
            "Target": data.target or "the inputs themselves, later on",
        }
        return {heading: text for heading, text in sheet.items() if text}

    @property
    def commands(self) -> list[str]:
        """How to make the model again by hand, in the project's folder; HERE stands for that of the card."""
        return [
            f"headframe ingest dataset={self.plan.dataset.name}",
            "python -m headframe.training HERE/plan.json OUT_DIR --root .",
        ]


def describe(learner: Learner) -> str:
    """Name a learner's class, and an ensemble's members."""
    name = learner.model.target.rpartition(".")[2]
    if not isinstance(learner.model, EnsembleConfig):
        return name
    members = ", ".join(f"{key} ({describe(member)})" for key, member in learner.members().items())
    return f"{name} of {members}"


def spread(interval: Interval) -> str:
    """Spell the limits of an interval."""
    if interval.low is None or interval.high is None:
        return "no interval"
    return f"{number(interval.low)} to {number(interval.high)}"


def signed(change: Interval) -> str:
    """Spell a difference with its sign and limits."""
    if change.low is None or change.high is None:
        return f"{_sign(change.value)} (no interval)"
    return f"{_sign(change.value)} ({_sign(change.low)} to {_sign(change.high)})"


def as_json(facts: Facts) -> dict[str, Any]:
    """Give what `metrics.json` holds."""
    plain = {
        "rows": facts.rows,
        "different_rows": facts.different,
        "lead": facts.lead,
        "higher_is_better": facts.higher_is_better,
        "confidence": facts.plan.evaluation.confidence,
        "resamples": facts.resamples,
        "block": facts.block,
        "interval_note": facts.interval_note,
        "caveats": list(facts.caveats),
        "metrics": _plain(facts.metrics),
    }
    if facts.comparison is not None:
        plain |= {"baseline": _plain(facts.comparison.baseline), "difference": _plain(facts.comparison.difference)}
    return plain


def slices_as_json(facts: Facts) -> dict[str, Any]:
    """Give what `slices.json` holds."""
    return {
        column: [{"value": part.value, "rows": part.rows, "metrics": _plain(part.metrics)} for part in parts]
        for column, parts in facts.slices.items()
    }


def _plain(metrics: dict[str, Interval]) -> dict[str, Any]:
    return {name: interval.model_dump() for name, interval in metrics.items()}
