"""Plots of generated images, in the style of `pages.plot_style`."""

import numpy as np
from matplotlib.figure import Figure

from headframe.pages.plot_style import BLUE, GREY, WIDTH, legend, new_figure, style
from headframe.tasks.pictures import show

SIDE = 8  # images in a row and in a column of the grid
PAIRS = 10  # pairs in a row
_GAP = 2  # pixels between images


def samples(images: np.ndarray) -> Figure:
    """Draw images (images, height, width, channels) in a grid: as many as it holds, at equal distances."""
    figure, ((axes,),) = new_figure(WIDTH)
    chosen = np.linspace(0, len(images) - 1, min(len(images), SIDE**2)).astype(np.int64)
    show(axes, _mosaic(images[chosen], SIDE))
    return figure


def shown_pairs(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of images to show in pairs: some at equal distances, and those with the least distance."""
    chosen = np.linspace(0, len(distances) - 1, min(len(distances), 2 * PAIRS)).astype(np.int64)
    return chosen, np.argsort(distances, kind="stable")[: 2 * PAIRS]


def pairs(images: np.ndarray, others: np.ndarray, chosen: np.ndarray, nearest: np.ndarray) -> Figure:
    """Draw images (images, height, width, channels), each above its other, in two panels.

    Args:
        images: what is generated.
        others: the training image that is nearest to each.
        chosen: positions of those in the upper panel.
        nearest: of those in the lower one.
    """
    figure, panels = new_figure(4.8, rows=2)
    titles = ("Some, each above its nearest training image", "Those that are nearest to a training image")
    for axes, title, rows in zip(panels[:, 0], titles, (chosen, nearest), strict=True):
        stacked = np.concatenate([images[rows], others[rows].astype(images.dtype)], axis=1)
        show(axes, _mosaic(stacked, PAIRS))
        axes.set_title(title, loc="left", fontsize=10)
    return figure


def distances(generated: np.ndarray, real: np.ndarray) -> Figure:
    """Draw how often distances from the nearest training image occur, of generated and of real images."""
    figure, ((axes,),) = new_figure(3)
    edges = np.linspace(0, max(generated.max(initial=0.0), real.max(initial=0.0), 1e-6), 60)
    for values, colour, text in ((real, GREY, "real test images"), (generated, BLUE, "generated")):
        axes.hist(values, edges, color=colour, alpha=0.6, label=text)
    style(axes, title="Distance from the nearest training image", x="distance", y="images")
    legend(axes)
    return figure


def _mosaic(images: np.ndarray, across: int) -> np.ndarray:
    """Return images side by side as one, from left to right and from the top, with white between them."""
    _, height, width, channels = images.shape
    down = -(-len(images) // across)
    canvas = np.full((down, height + _GAP, across, width + _GAP, channels), 255.0)
    for place, image in enumerate(images):
        canvas[place // across, :height, place % across, :width] = image
    joined: np.ndarray = canvas.reshape(down * (height + _GAP), across * (width + _GAP), channels)[:-_GAP, :-_GAP]
    return joined / 255.0
