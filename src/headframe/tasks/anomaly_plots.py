"""Plots of anomaly scores, in the style of `pages.plot_style`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from headframe.pages.plot_style import BLUE, GREY, INK, ORANGE, legend, new_figure, short_label, style

BINS = 40
WORST = 10  # rows of each kind of error
SKEWED = 20  # largest score in units of the median from which on scores are drawn on a logarithmic scale


def scores(groups: Mapping[str, np.ndarray], flagged: np.ndarray) -> Figure:
    """Draw the distribution of scores of each group of rows, and where flags begin.

    Args:
        groups: float scores by name of the group.
        flagged: the scores of the flagged rows.
    """
    figure, ((axes,),) = new_figure(4)
    every = np.concatenate(list(groups.values()))
    low, high = float(every.min()), float(every.max())
    skewed = low > 0 and high > SKEWED * float(np.median(every))
    edges = np.geomspace(low, high, BINS + 1) if skewed else np.linspace(low, high if high > low else low + 1, BINS + 1)
    for (name, values), colour in zip(groups.items(), (BLUE, ORANGE), strict=False):
        if len(values):
            share = np.full(len(values), 1 / len(values))
            axes.hist(values, edges, weights=share, alpha=0.6, color=colour, label=f"{name}: {len(values):,} rows")
    if len(flagged):
        axes.axvline(flagged.min(), color=INK, linestyle="--", linewidth=1, label=f"lowest of {len(flagged):,} flagged")
    if skewed:
        axes.set_xscale("log")
    style(axes, title="Scores", x="score, higher is more unusual", y="share of the group")
    legend(axes)
    return figure


def worst_errors(target: np.ndarray, score: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the normal rows with the highest scores and the anomalies with the lowest.

    Args:
        target: bool (rows,), whether a row is an anomaly; some are, and some are not.
        score: float (rows,).
        names: of the rows.
    """
    normal, anomalies = np.flatnonzero(~target), np.flatnonzero(target)
    shown = {
        "Normal rows with the highest scores": normal[np.argsort(-score[normal], kind="stable")[:WORST]],
        "Anomalies with the lowest scores": anomalies[np.argsort(score[anomalies], kind="stable")[:WORST]],
    }
    figure, panels = new_figure(1.4 + 0.22 * sum(map(len, shown.values())), rows=2, sharex=True)
    middles = {~np.bool_(kind): float(np.median(score[target == kind])) for kind in (True, False)}
    for (title, rows), axes, kind in zip(shown.items(), panels[:, 0], (False, True), strict=True):
        axes.barh(range(len(rows)), score[rows], color=ORANGE if kind else BLUE)
        axes.axvline(middles[np.bool_(kind)], color=GREY, linestyle="--", linewidth=1, label="median of the others")
        axes.set_yticks(range(len(rows)), [short_label(str(names[row])) for row in rows])
        axes.invert_yaxis()
        style(axes, title=title, x="score" if kind else "")
        legend(axes)
    return figure
