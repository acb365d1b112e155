"""Plots of masks, in the style of `pages.plot_style`."""

import numpy as np
from matplotlib.figure import Figure

from headframe.pages.plot_style import BLUE, GREY, new_figure, style


def overlaps(values: np.ndarray) -> Figure:
    """Draw how many images have which intersection over union, float (rows,)."""
    figure, ((axes,),) = new_figure(3)
    axes.hist(values, bins=np.linspace(0, 1, 21), color=BLUE)
    axes.axvline(values.mean(), color=GREY, linestyle="--")
    style(axes, title=f"Each image: {values.mean():.3f} on average", x="intersection over union", y="images")
    axes.set_xlim(0, 1)
    return figure


def areas(true: np.ndarray, predicted: np.ndarray) -> Figure:
    """Draw the foreground's share of each image as it is and as it is predicted, float (rows,) each."""
    figure, ((axes,),) = new_figure(4.5)
    largest = 1.05 * max(true.max(), predicted.max(), 0.01)
    axes.plot([0, largest], [0, largest], color=GREY, linewidth=1)
    axes.scatter(true, predicted, s=16, alpha=0.6, color=BLUE, linewidths=0)
    style(axes, title="Share of foreground", x="true share", y="predicted share")
    return figure
