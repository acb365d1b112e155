"""Pictures for the eye that looks first; drawn without any global state, in the font that Matplotlib brings along.

That font has no Chinese. A name it cannot draw is replaced by a short one (`c3`, `v0`) by those who call, and the
task's `legend` says what it stands for; fonts that happen to be installed would make pictures differ between machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from headframe.tasks.statistics import BINS, Reliability, every_row_once

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#a0aec0"
MANY = 12
"""More classes than this share one colour and get no entry of their own in a legend."""
CROWDED = 20
"""A confusion matrix of more classes shows colours without figures."""
MOST_POINTS = 5000
WINDOWS = 3
MOST_VARIABLES = 7
INSIDE = (0.1, 0.9)
"""Quantiles of the errors between which the band of a forecast lies."""


@cache
def _letters() -> frozenset[int]:
    found = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    return frozenset(FT2Font(found).get_charmap())


def drawable(text: str) -> bool:
    """Tell whether the font of the plots has every letter of `text`."""
    return all(ord(letter) in _letters() for letter in text) and text.isprintable()


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes, *, title: str, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#edf2f7", linewidth=0.8)
    axes.set_axisbelow(True)


def _literal(text: str, longest: int = 18) -> str:
    """Shorten a name and keep its dollar signs from being read as mathematics."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return short.replace("$", r"\$")


def confusion(target: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix; colours and percentages are shares of the true class.

    Args:
        target: int (rows,), class numbers.
        predicted: int (rows,), class numbers.
        names: of the classes.
    """
    classes = len(names)
    counts = np.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)
    side = min(3.2 + 0.55 * classes, 13)
    figure = _figure(side + 0.8, side)
    axes = figure.add_subplot()
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    labels = [_literal(name) for name in names]
    crowded = max(map(len, labels)) > max(3, 24 // classes)
    axes.set_xticks(range(classes), labels, rotation=45 if crowded else 0, ha="center")
    axes.set_yticks(range(classes), labels)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title("Confusion matrix: rows, and per cent of the true class", fontsize=11, loc="left")
    if classes <= CROWDED:
        size = 9 if classes <= MANY else 6
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if share[row, column] > 0.5 else "#1a202c"  # noqa: PLR2004 - dark half of the map
                text = f"{count}\n{100 * share[row, column]:.1f}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def curves(scored: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw ROC and precision-recall curves, each class against all others.

    Args:
        scored: for each class, bool (rows,) whether it is meant and float (rows,) its score; both answers must occur.
    """
    figure = _figure(10, 4.6)
    left, right = figure.subplots(1, 2)
    for number, (name, (positive, score)) in enumerate(scored.items()):
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        hits = np.cumsum(positive[order])[ends]
        misses = ends + 1 - hits
        colour = f"C{number}" if 1 < len(scored) <= MANY else BLUE
        look = {"color": colour, "linewidth": 1.6 if len(scored) <= MANY else 0.8}
        recall = hits / hits[-1]
        left.plot(np.append(0, misses / misses[-1]), np.append(0, recall), label=_literal(name), **look)
        right.step(np.append(0, recall), np.append(1, hits / (ends + 1)), where="pre", label=_literal(name), **look)
        if len(scored) == 1:
            right.axhline(positive.mean(), color=GREY, linestyle="--", linewidth=1)
    left.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    _plain(left, title="ROC curve", x="false positive rate", y="true positive rate")
    _plain(right, title="Precision and recall", x="recall", y="precision")
    right.set_ylim(-0.02, 1.02)
    if len(scored) <= MANY:
        right.legend(fontsize=8, frameon=False, loc="lower left", ncols=1 + len(scored) // 7)
    return figure


def calibration(correct: np.ndarray, confidence: np.ndarray) -> Figure:
    """Draw how often answers of equal confidence are right, and how many there are.

    Args:
        correct: bool (rows,).
        confidence: probability of the predicted class (rows,).
    """
    binned = Reliability(confidence, correct).bins(every_row_once(len(correct)))
    rows, mean, share = (each[:, 0] for each in binned)
    figure = _figure(5.4, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = rows > 0
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    upper.plot(mean[filled], share[filled], "o-", color=BLUE, linewidth=1.6, markersize=5, label="this model")
    _plain(upper, title="Calibration of the predicted class", x="", y="share that is right")
    upper.set_ylim(-0.02, 1.02)
    upper.legend(fontsize=8, frameon=False, loc="upper left")
    lower.bar((np.arange(BINS) + 0.5) / BINS, rows, width=0.9 / BINS, color=BLUE)
    _plain(lower, title="", x="confidence", y="rows")
    lower.set_yscale("symlog")
    lower.set_ylim(bottom=0)
    return figure


def _thinned(rows: int) -> np.ndarray:
    return np.linspace(0, rows - 1, min(rows, MOST_POINTS)).astype(np.int64)


def predicted_true(target: np.ndarray, predicted: np.ndarray, name: str) -> Figure:
    """Draw predictions against true values, at most 5,000 of them, evenly chosen."""
    figure = _figure(5.6, 5.2)
    axes = figure.add_subplot()
    some = _thinned(len(target))
    axes.scatter(target[some], predicted[some], s=8, alpha=0.35, color=BLUE, linewidths=0)
    ends = [min(target.min(), predicted.min()), max(target.max(), predicted.max())]
    axes.plot(ends, ends, color=ORANGE, linewidth=1.2)
    _plain(axes, title="Predicted and true values", x=f"true {_literal(name)}", y=f"predicted {_literal(name)}")
    return figure


def residuals(target: np.ndarray, predicted: np.ndarray, name: str) -> Figure:
    """Draw errors by predicted value, at most 5,000 of them, and their distribution."""
    figure = _figure(9, 4.2)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    error = predicted - target
    some = _thinned(len(target))
    left.scatter(predicted[some], error[some], s=8, alpha=0.35, color=BLUE, linewidths=0)
    left.axhline(0, color=ORANGE, linewidth=1.2)
    _plain(left, title="Errors", x=f"predicted {_literal(name)}", y="predicted - true")
    right.hist(error, bins=40, orientation="horizontal", color=BLUE)
    right.axhline(0, color=ORANGE, linewidth=1.2)
    _plain(right, title="", x="rows", y="")
    return figure


def fans(target: np.ndarray, predicted: np.ndarray, names: Sequence[str], earlier: np.ndarray | None = None) -> Figure:
    """Draw three forecasts, evenly chosen, of at most seven variables, with the truth and what went before.

    The band holds eight of ten of the earlier errors at the same step: it says how wrong such a forecast usually
    is, not how wrong this one is. What went before a window is read off the windows before it, where each begins
    one step after the last.

    Args:
        target: (examples, horizon, variables).
        predicted: of the same shape.
        names: of the variables.
        earlier: target minus prediction of other windows than these, e.g. those of validation, (any, horizon,
            variables); without any no band is drawn.
    """
    shown = min(len(names), MOST_VARIABLES)
    examples, horizon = target.shape[:2]
    chosen = np.unique(np.linspace(min(horizon, examples - 1), examples - 1, WINDOWS).astype(np.int64))
    band = np.quantile(earlier, INSIDE, axis=0) if earlier is not None and len(earlier) else None
    overlap = np.array_equal(target[1:, :-1], target[:-1, 1:])
    figure = _figure(3.6 * len(chosen) + 1, 1.7 * shown + 0.8)
    grid = figure.subplots(shown, len(chosen), sharex=True, sharey="row", squeeze=False)
    steps = np.arange(1, horizon + 1)
    for column, example in enumerate(chosen):
        before = min(int(example), horizon) if overlap else 0
        for row in range(shown):
            axes = grid[row, column]
            middle = predicted[example, :, row]
            if band is not None:
                low, high = middle + band[:, :, row]
                axes.fill_between(
                    steps, low, high, color=BLUE, alpha=0.15, linewidth=0, label="8 of 10 errors in validation"
                )
            truth = np.append(target[example - before, :before, row], target[example, :, row])
            axes.plot(np.arange(1 - before, horizon + 1), truth, color="#2d3748", linewidth=1.2, label="true")
            axes.plot(steps, middle, color=BLUE, linewidth=1.4, label="forecast")
            if before:
                axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
            _plain(
                axes,
                title=f"window {example}" if row == 0 else "",
                x="steps ahead" if row == shown - 1 else "",
                y=_literal(names[row]) if column == 0 else "",
            )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    return figure


def forecast_errors(error: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the mean squared error by step and by variable.

    Args:
        error: on the standardised scale (examples, horizon, variables).
        names: of the variables.
    """
    squared = error**2
    figure = _figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    steps = np.arange(1, error.shape[1] + 1)
    left.plot(steps, squared.mean(axis=(0, 2)), color=BLUE, linewidth=1.8, marker="o" if len(steps) <= MANY else "")
    left.set_ylim(bottom=0)
    _plain(left, title="Error by step", x="steps ahead", y="mean squared error, standardised")
    each = squared.mean(axis=(0, 1))
    order = np.argsort(each)
    right.barh(range(len(names)), each[order], color=BLUE)
    right.set_yticks(range(len(names)), [_literal(names[place]) for place in order])
    _plain(right, title="Error by variable", x="mean squared error, standardised", y="")
    return figure
