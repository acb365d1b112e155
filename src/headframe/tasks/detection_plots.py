"""Plots of boxes, in the style of `pages.plot_style`."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from headframe.pages.plot_style import legend, new_figure, short_label, style

MANY = 12  # of more labels none gets an entry in a legend


def precision_recall(curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw precision by recall and recall by least score, for each label.

    Args:
        curves: recall, precision and score down to each predicted box, by falling score; each (boxes,).
    """
    figure, ((left,), (right,)) = new_figure(6.4, rows=2)
    for number, (name, (recall, precision, score)) in enumerate(curves.items()):
        look = {"color": f"C{number % 10}", "linewidth": 1.6, "label": short_label(name)}
        left.plot(recall, precision, **look)
        right.step(score, recall, where="post", **look)
    style(left, title="Boxes that overlap a true one by half or more", x="recall", y="precision")
    style(right, x="least score", y="recall")
    for axes in (left, right):
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
    if len(curves) <= MANY:
        legend(left, loc="lower left")
    return figure
