"""Plots of clusters, in the style of `pages.plot_style`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headframe.pages.plot_style import BLUE, INK, SMALL, WIDTH, legend, new_figure, short_label, style

MOST_POINTS, FEW = 5000, 500
MANY = 12  # more clusters than this get no entry of their own in a legend
CROWDED = 20  # a table of more classes or clusters shows colours without figures
FIT = 0.5  # share of a cell from which on its figure is white


def cluster_map(cluster: np.ndarray, positions: np.ndarray, distance: np.ndarray) -> Figure:
    """Draw rows on the plane of the first two principal axes of the centres, at most 5,000 of them, evenly chosen.

    Args:
        cluster: int (rows,).
        positions: float (rows, axes); of two clusters there is one axis, and the distance stands for the other.
        distance: to the centre of each row's cluster, float (rows,).
    """
    figure, ((axes,),) = new_figure(5)
    some = np.linspace(0, len(cluster) - 1, min(len(cluster), MOST_POINTS)).astype(np.int64)
    vertical = positions[:, 1] if positions.shape[1] > 1 else distance
    size = 8 if len(some) > FEW else 30  # else single points could hardly be seen
    found = np.unique(cluster)
    for place, number in enumerate(found):
        rows = some[cluster[some] == number]
        colour = f"C{place % 10}"
        label = str(number) if len(found) <= MANY else None
        axes.scatter(positions[rows, 0], vertical[rows], s=size, alpha=0.4, color=colour, linewidths=0, label=label)
        members = cluster == number
        middle = positions[members, 0].mean(), vertical[members].mean()
        axes.annotate(str(number), middle, ha="center", va="center", fontsize=SMALL, color=INK, weight="bold")
    y = "second axis of the centres" if positions.shape[1] > 1 else "distance from the centre"
    style(axes, title="Clusters", x="first axis of the centres", y=y)
    if len(found) <= MANY:
        legend(axes, markerscale=2, ncols=2)
    return figure


def sizes(cluster: np.ndarray, silhouettes: np.ndarray) -> Figure:
    """Draw how many rows each cluster has, and their mean silhouette."""
    found, number = np.unique(cluster, return_inverse=True)
    counts = np.bincount(number)
    figure, ((upper,), (lower,)) = new_figure(5, rows=2, sharex=True)
    upper.bar(range(len(found)), counts, color=BLUE)
    style(upper, title="Size of each cluster", y="rows")
    lower.bar(range(len(found)), np.bincount(number, silhouettes) / counts, color=BLUE)
    style(lower, title="How clear each cluster is", x="cluster", y="mean silhouette")
    lower.set_xticks(range(len(found)), map(str, found), rotation=90 if len(found) > CROWDED else 0)
    return figure


def labels(target: np.ndarray, cluster: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw how the rows of each label are spread over clusters; colours are shares of the label.

    Args:
        target: int (rows,), counted from 0.
        cluster: int (rows,).
        names: of all labels.
    """
    found, number = np.unique(cluster, return_inverse=True)
    table = np.zeros((len(names), len(found)), dtype=np.int64)
    np.add.at(table, (target, number), 1)
    order = np.argsort(table.argmax(axis=0), kind="stable")  # clusters of one label side by side
    table, found = table[:, order], found[order]
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    width = WIDTH if len(found) <= MANY else 8
    figure, ((axes,),) = new_figure(1.5 + min(6, 0.35 * len(names)), width=width)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    style(axes, title="Labels and clusters: rows", x="cluster", y="label")
    axes.grid(visible=False)
    axes.set_xticks(range(len(found)), map(str, found), fontsize=SMALL)
    axes.set_yticks(range(len(names)), [short_label(name) for name in names], fontsize=SMALL)
    if max(table.shape) <= CROWDED:
        for (row, column), count in np.ndenumerate(table):
            if count:
                colour = "white" if share[row, column] > FIT else INK
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=7)
    return figure
