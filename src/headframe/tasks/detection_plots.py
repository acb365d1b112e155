"""Plots of boxes, in the style of `pages.plot_style`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from headframe.metrics.average_precision import Boxes, compare_boxes
from headframe.pages.plot_style import BLUE, ORANGE, SMALL, WIDTH, legend, new_figure, short_label, style
from headframe.tasks.pictures import show

MANY = 12  # of more labels none gets an entry in a legend
COLUMNS, MOST_IMAGES = 2, 8
TINY = 6  # points
MISSED = "#c53030"


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


def boxes_on_images(images: Sequence[np.ndarray], truth: Boxes, found: Boxes, names: Sequence[str]) -> Figure:
    """Draw what is right, wrong and missed on the first eight images.

    Args:
        images: each (height, width, channels), in the order of the rows of boxes.
        truth: true boxes.
        found: predicted ones, those of each row by falling score.
        names: of labels.
    """
    images = images[:MOST_IMAGES]
    rows = -(-len(images) // COLUMNS)
    shape = max(image.shape[0] / image.shape[1] for image in images)
    figure, panels = new_figure(rows * (WIDTH / COLUMNS * shape + 0.25) + 0.3, rows, COLUMNS)
    verdicts = compare_boxes(truth, found)
    for axes in panels.flat:
        axes.set_axis_off()
    for row, (axes, image) in enumerate(zip(panels.flat, images, strict=False)):
        show(axes, image)
        wrong = 0
        for boxes, chosen, colour, line in (
            (found, verdicts.right, BLUE, "-"),
            (truth, verdicts.missed, MISSED, ":"),
            (found, ~verdicts.right, ORANGE, "-"),
        ):
            here = boxes[chosen & (boxes.row == row)]
            wrong += len(here.row) * (colour != BLUE)
            for (x, y, width, height), label in zip(here.sides, here.label, strict=True):
                box = Rectangle((x, y), width, height, fill=False, edgecolor=colour, linestyle=line, linewidth=1)
                axes.add_patch(box)
                if colour != BLUE or len(names) > 1:
                    text = axes.text(x, y, short_label(names[label], 10), color=colour, fontsize=TINY, clip_on=True)
                    text.set_path_effects([patheffects.withStroke(linewidth=1, foreground="white")])
        axes.set_title(f"{wrong} wrong", fontsize=SMALL)
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=colour, linestyle=line)
        for colour, line in ((BLUE, "-"), (ORANGE, "-"), (MISSED, ":"))
    ]
    figure.legend(
        handles, ["right", "wrong", "missed"], loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False
    )
    return figure
