"""The model card: what a model is for, how good it is, and what it rests on (arXiv:1810.03993)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headframe.evaluation.facts import Facts, signed, spread
from headframe.pages.numbers import number


def card(facts: Facts, plots: Sequence[str]) -> str:
    """Write the card in Markdown.

    Args:
        facts: what was found.
        plots: file names in `plots/`.
    """
    return "\n".join(
        [
            f"# Model card: {facts.plan.name}",
            "",
            f"{facts.model} for {facts.plan.task.kind} on {facts.plan.dataset.title}.",
            "",
            *_section("Intended use", use(facts)),
            *_section("Data", _pairs(facts.data_sheet)),
            *_section("Metrics", _metrics(facts)),
            *_section("Baseline", _baseline(facts)),
            *_section("Slices", _slices(facts)),
            *_section("Plots", [*(f"![{name}](plots/{name})" for name in plots), *_legend(facts)]),
            *_section("Limits", [f"- {sentence}" for sentence in facts.limits]),
            *_section("Digests (sha256)", _pairs({name: f"`{digest}`" for name, digest in facts.digests.items()})),
            *_section("Make it again", _again(facts)),
        ]
    )


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    body = list(lines)
    return [f"## {heading}", "", *body, ""] if body else []


def _pairs(pairs: dict[str, str]) -> list[str]:
    return [f"- {name}: {text}" for name, text in pairs.items()]


def use(facts: Facts) -> list[str]:
    """Say what a model is for, in sentences of Markdown."""
    data = facts.plan.dataset
    wanted = f"the next rows of {', '.join(data.inputs)}" if data.target is None else f"`{data.target}`"
    took = f"{facts.trained.epochs:,} epochs, {facts.trained.parameters:,} trainable numbers"
    measured = (
        f"Measured on {facts.rows:,} test {facts.examples} that training never saw, neither for weights nor for when "
        "to stop. Champions are chosen by these same rows, so the more versions were compared, the better by chance "
        "the figures of the one that won."
    )
    return [
        f"Predicts {wanted} from raw rows with the columns {', '.join(f'`{name}`' for name in data.inputs)}.",
        f"Trained on the training part of the table below ({took if facts.trained.parameters else 'an estimator'}).",
        measured,
    ]


def _metrics(facts: Facts) -> list[str]:
    direction = "higher" if facts.higher_is_better else "lower"
    return [
        f"`{facts.lead}` decides between models; {direction} is better. {facts.method}",
        "",
        "| metric | value | interval |",
        "|---|---:|---|",
        *(f"| {name} | {number(facts.metrics[name].value)} | {spread(facts.metrics[name])} |" for name in facts.names),
    ]


def _baseline(facts: Facts) -> list[str]:
    if facts.comparison is None:
        return ["None: the plan names no baseline."]
    compared = facts.comparison
    return [
        f"{facts.compared_with}. {facts.verdict}",
        "",
        "| metric | model | baseline | model minus baseline |",
        "|---|---:|---:|---|",
        *(
            f"| {name} | {number(compared.model[name].value)} | {number(compared.baseline[name].value)} "
            f"| {signed(compared.difference[name])} |"
            for name in facts.names
            if name in compared.difference
        ),
    ]


def _slices(facts: Facts) -> list[str]:
    lines: list[str] = []
    for column, parts in facts.slices.items():
        lines += ["", f"| {_cell(column)} | {facts.examples} | {facts.lead} | interval |", "|---|---:|---:|---|"]
        for part in parts:
            found = part.metrics.get(facts.lead)
            told = f"{number(found.value)} | {spread(found)}" if found else "too few | "
            lines.append(f"| {_cell(part.value)} | {part.rows:,} | {told} |")
    return lines[1:]


def _legend(facts: Facts) -> list[str]:
    if not facts.legend:
        return []
    return ["", "In the plots: " + ", ".join(f"{short} is {text}" for short, text in facts.legend.items()) + "."]


def _again(facts: Facts) -> list[str]:
    steps = " and then ".join(f"`{command}`" for command in facts.commands)
    return [
        f"In the project's folder, where HERE is the folder of this card, which holds `plan.json`: {steps}.",
        "On the same kind of machine, with the same number of threads, the model's digest is that given above.",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
