"""Plots of association rules: the strongest as a graph, and all by support and lift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from headframe.pages.plot_style import BLUE, GREY, INK, ORANGE, SMALL, drawable, legend, new_figure, short_label, style

DRAWN = 15
"""Rules in the graph: arrows of more would cover each other."""


def highest_lift(findings: pa.Table, most: int) -> list[dict[str, Any]]:
    """Return the findings with the highest lift on test rows, confirmed ones first, as Python values."""
    lift = pc.fill_null(pc.struct_field(findings["test"], ["lift", "value"]), 0.0)
    keys = pa.table({"confirmed": findings["confirmed"], "lift": lift, "id": findings["id"]})
    order = pc.sort_indices(keys, [("confirmed", "descending"), ("lift", "descending"), ("id", "ascending")])
    rows: list[dict[str, Any]] = findings.take(order[:most]).to_pylist()
    return rows


def graph(findings: pa.Table) -> Figure:
    """Draw the strongest rules as arrows from each item on the left to the item on the right; wider is more lift."""
    rules = [each["body"] | {"lift": each["test"]["lift"]["value"] or 0.0} for each in highest_lift(findings, DRAWN)]
    items = list(dict.fromkeys(item for rule in rules for item in (*rule["antecedent"], rule["consequent"])))
    figure, ((axes,),) = new_figure(5.2)
    axes.set_title(f"The {len(rules)} strongest rules; an arrow's width is its lift", fontsize=SMALL + 1, loc="left")
    axes.set_axis_off()
    axes.set(xlim=(-1.7, 1.7), ylim=(-1.35, 1.35))
    turns = 2 * np.pi * (np.arange(len(items)) + 0.5) / max(1, len(items))
    places = dict(zip(items, zip(np.cos(turns), np.sin(turns), strict=True), strict=True))
    highest = max((rule["lift"] for rule in rules), default=1.0) or 1.0
    for rule in rules:
        for item in rule["antecedent"]:
            arrow = {"arrowstyle": "-|>", "color": BLUE, "alpha": 0.55, "connectionstyle": "arc3,rad=0.15"}
            arrow |= {"linewidth": 0.5 + 2.5 * rule["lift"] / highest, "shrinkA": 3, "shrinkB": 5}
            axes.annotate("", xy=places[rule["consequent"]], xytext=places[item], arrowprops=arrow)
    for number, (item, (x, y)) in enumerate(places.items()):
        axes.plot([x], [y], "o", color=ORANGE, markersize=5)
        name = short_label(item) if drawable(item) else f"i{number}"
        axes.text(1.08 * x, 1.1 * y, name, ha="left" if x > 0 else "right", va="center", fontsize=SMALL, color=INK)
    return figure


def scatter(findings: pa.Table) -> Figure:
    """Draw support and lift on test rows of all rules, confirmed ones apart."""
    figure, ((axes,),) = new_figure(3.6)
    confirmed = findings["confirmed"].to_numpy()
    support, lift = (
        pc.struct_field(findings["test"], [name, "value"]).to_numpy().astype(float) for name in ("support", "lift")
    )
    for mask, colour, text in ((~confirmed, GREY, "not confirmed"), (confirmed, BLUE, "confirmed")):
        axes.plot(
            support[mask], lift[mask], "o", color=colour, markersize=3, alpha=0.6, label=f"{text} ({mask.sum():,})"
        )
    axes.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
    axes.set_xscale("log", nonpositive="mask")
    style(axes, title="Rules on test rows; dashed: no association", x="support", y="lift")
    legend(axes)
    return figure
