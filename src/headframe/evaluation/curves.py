"""Learning curves: what training saw of itself, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_LOSSES = {"train_loss": ("#a0aec0", "training"), "val_loss": ("#2b6cb0", "validation")}
_FEW = 12
"""Up to so many epochs each gets a mark, so that a single one can be seen."""

Epochs = Sequence[Mapping[str, float | None]]


def learning_curves(history: Mapping[str, Epochs], lead: str) -> Figure:
    """Draw losses and the leading metric of each network, one row a network.

    Args:
        history: epochs by network, each with `epoch`, `train_loss`, `val_loss` and `lead`, which may be None.
        lead: name of the leading metric.
    """
    figure = Figure(figsize=(9.5, 2.9 * len(history) + 0.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(history), 2, squeeze=False)
    for (left, right), (name, epochs) in zip(grid, history.items(), strict=True):
        numbers = [each["epoch"] for each in epochs]
        mark = "o" if len(numbers) <= _FEW else ""
        for key, (colour, text) in _LOSSES.items():
            left.plot(numbers, [each[key] for each in epochs], color=colour, label=text, marker=mark, markersize=4)
        left.set(xlabel="epoch", ylabel="loss")
        left.set_title(f"Loss {name}".strip(), fontsize=11, loc="left")
        left.legend(fontsize=8, frameon=False)
        measured = [(number, each["lead"]) for number, each in zip(numbers, epochs, strict=True)]
        known = [(number, value) for number, value in measured if value is not None]
        right.plot(
            [number for number, _ in known], [value for _, value in known], color="#2b6cb0", marker=mark, markersize=4
        )
        right.set(xlabel="epoch", ylabel=lead)
        right.set_title(f"{lead} on validation rows", fontsize=11, loc="left")
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, color="#edf2f7", linewidth=0.8)
            axes.set_axisbelow(True)
    return figure
