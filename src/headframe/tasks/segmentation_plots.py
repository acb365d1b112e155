"""Plots of masks, in the style of `pages.plot_style`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headframe.pages.plot_style import BLUE, GREY, ORANGE, SMALL, WIDTH, new_figure, style
from headframe.tasks.pictures import show

SHOWN = 8  # images in a figure, one below the other


def overlaps(values: np.ndarray) -> Figure:
    """Draw how many images have which intersection over union, float (rows,)."""
    figure, ((axes,),) = new_figure(3)
    axes.hist(values, bins=np.linspace(0, 1, 21), color=BLUE)
    axes.axvline(values.mean(), color=GREY, linestyle="--")
    style(axes, title=f"Each image: {values.mean():.3f} on average", x="intersection over union", y="images")
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def areas(true: np.ndarray, predicted: np.ndarray) -> Figure:
    """Draw the foreground's share of each image as it is and as it is predicted, float (rows,) each."""
    figure, ((axes,),) = new_figure(4.5)
    largest = 1.05 * max(true.max(), predicted.max(), 0.01)
    axes.plot([0, largest], [0, largest], color=GREY, linewidth=1)
    axes.scatter(true, predicted, s=16, alpha=0.6, color=BLUE, linewidths=0)
    style(axes, title="Share of foreground", x="true share", y="predicted share")
    return figure


def outlines(
    images: Sequence[np.ndarray], masks: Sequence[tuple[np.ndarray, np.ndarray]], values: np.ndarray
) -> Figure:
    """Draw images by themselves, with the outlines of their true masks, and with those of the predicted ones.

    Args:
        images: each (height, width, channels), of bytes.
        masks: true and predicted of each, uint8 (height, width); 0 is the background.
        values: intersection over union of each, float (images,).
    """
    count = min(len(images), SHOWN)
    figure, panels = new_figure(count * (WIDTH / 3 + 0.1) + 0.2, count, 3)
    for row, image, pair, value in zip(panels, images, masks, values, strict=False):
        low, high = image.min(), max(image.max(), image.min() + 1)
        bright = ((image - low) / (high - low)).astype(np.float64)  # dark images would be black on a page
        for axes, mask, colour in zip(row, (None, *pair), ("", "#38b2ac", ORANGE), strict=True):
            show(axes, bright)
            if mask is None:
                continue
            height, width = mask.shape
            for number in np.unique(mask[mask > 0]):
                edged = np.pad(mask == number, 1)  # so that outlines close at the edges of the image
                places = np.arange(-1, width + 1), np.arange(-1, height + 1)
                axes.contour(*places, edged, levels=[0.5], colors=colour, linewidths=0.8)
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        row[0].set_title(f"IoU {value:.3f}", fontsize=SMALL, loc="left")
    for axes, title in zip(panels[0, 1:], ("true", "predicted"), strict=True):
        axes.set_title(title, fontsize=SMALL)
    return figure
