"""Learning curves: loss and primary metric of each network, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headframe.pages.plot_style import BLUE, GREY, legend, new_figure, style

_LOSSES = {"train_loss": (GREY, "training"), "val_loss": (BLUE, "validation")}
_FEW = 12
"""Up to so many epochs each gets a mark, so that a single one can be seen."""

Epochs = Sequence[Mapping[str, float | None]]


def learning_curves(history: Mapping[str, Epochs], primary_metric: str) -> Figure:
    """Draw losses and the primary metric of each network, one below the other.

    Args:
        history: epochs by network, each with `epoch`, `train_loss`, `val_loss` and `primary_metric`, which may be None.
        primary_metric: name of the primary metric.
    """
    figure, panels = new_figure(2.8 * 2 * len(history), rows=2 * len(history))
    for (upper, lower), (name, epochs) in zip(panels.reshape(-1, 2), history.items(), strict=True):
        numbers = [each["epoch"] for each in epochs]
        look = {"marker": "o" if len(numbers) <= _FEW else "", "markersize": 4}
        for key, (colour, text) in _LOSSES.items():
            upper.plot(numbers, [each[key] for each in epochs], color=colour, label=text, **look)
        style(upper, title=f"Loss {name}".strip(), x="epoch", y="loss")
        legend(upper)
        measured = [(each["epoch"], each["primary_metric"]) for each in epochs if each["primary_metric"] is not None]
        lower.plot([number for number, _ in measured], [value for _, value in measured], color=BLUE, **look)
        style(lower, title=f"{primary_metric} on validation rows", x="epoch", y=primary_metric)
        for axes in (upper, lower):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
