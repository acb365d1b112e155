"""The report: one page of HTML that needs nothing beside itself, neither network nor script."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

from headframe.evaluation.facts import Facts, signed, spread
from headframe.pages.html import STYLE, pairs, section, table
from headframe.pages.numbers import number

_CAPTIONS = {
    "learning_curves": "What training saw of itself, epoch by epoch",
    "confusion": "Which classes are taken for which",
    "curves": "Each class against all others, at every threshold",
    "calibration": "How often answers of equal confidence are right",
    "predicted_true": "Predicted against true values",
    "residuals": "Errors",
    "forecasts": "Three forecasts, the truth and what went before",
    "errors": "Where a forecast errs",
}


def report(facts: Facts, plots: Mapping[str, bytes]) -> str:
    """Write the page.

    Args:
        facts: what was found.
        plots: PNG bytes by name, in the order of showing.
    """
    title = escape(facts.plan.name)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
            '<p class="soft">Headframe evaluation</p>',
            f"<h1>{title}</h1>",
            f"<p>{escape(facts.model)} for {facts.plan.task.kind} on {escape(facts.plan.dataset.title)}.</p>",
            _tiles(facts),
            section("Metrics", _metrics(facts)),
            section("Learning and errors", _plots(facts, plots)),
            section("Slices", _slices(facts)),
            section("Data", pairs(facts.data_sheet)),
            section("Limits", "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in facts.limits) + "</ul>"),
            section("Digests (sha256)", pairs(facts.digests, code=True)),
            section(
                "Make it again",
                f"<p>In the project's folder, where HERE is the folder of this page, which holds plan.json:</p>"
                f"<pre>{escape(chr(10).join(facts.commands))}</pre>",
            ),
            "</main></body></html>",
            "",
        ]
    )


def _tiles(facts: Facts) -> str:
    cells = "".join(f'<div class="tile"><b>{value}</b><span>{escape(text)}</span></div>' for value, text in facts.tiles)
    return f'<div class="tiles">{cells}</div>'


def _metrics(facts: Facts) -> str:
    compared = facts.comparison
    heads = ["metric", "#value", "interval"]
    heads += ["#baseline", "model minus baseline"] if compared is not None else []
    rows = []
    for name in facts.names:
        found = facts.metrics[name]
        cells = [name, number(found.value), spread(found)]
        if compared is not None and name in compared.difference:
            cells += [number(compared.baseline[name].value), signed(compared.difference[name])]
        rows.append(cells + [""] * (len(heads) - len(cells)))
    direction = "higher" if facts.higher_is_better else "lower"
    told = f"{facts.lead} decides between models; {direction} is better. {facts.method}"
    against = f"<p>Baseline: {escape(facts.compared_with)}. {escape(facts.verdict)}</p>" if compared is not None else ""
    return f'{against}{table(heads, rows, marked=0)}<p class="soft">{escape(told)}</p>'


def _slices(facts: Facts) -> str:
    found = []
    for column, parts in facts.slices.items():
        rows = [
            [part.value, f"{part.rows:,}", number(lead.value), spread(lead)]
            if (lead := part.metrics.get(facts.lead)) is not None
            else [part.value, f"{part.rows:,}", "", "too few rows"]
            for part in parts
        ]
        parted = table([column, f"#{facts.examples}", f"#{facts.lead}", "interval"], rows)
        found.append(f"<details open><summary>{escape(column)}</summary>{parted}</details>")
    return "".join(found)


def _plots(facts: Facts, plots: Mapping[str, bytes]) -> str:
    figures = []
    for name, png in plots.items():
        caption = escape(_CAPTIONS.get(name, name.replace("_", " ")))
        data = base64.b64encode(png).decode()
        picture = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        figures.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    if facts.legend:
        figures.append(f"<p>In the plots:</p>{pairs(facts.legend)}")
    return "".join(figures)
