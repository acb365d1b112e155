"""Plots of predictions, in the style of `pages.plot_style`; names are those of `Task.plot_names`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from headframe.metrics.statistics import BINS, Reliability
from headframe.pages.plot_style import BLUE, GREY, INK, ORANGE, SMALL, WIDTH, legend, new_figure, short_label, style

FEW = 6  # up to this many classes the figures of a confusion matrix are in larger type
MANY = 12  # more classes than this share one colour and get no entry of their own in a legend
CROWDED = 20  # a confusion matrix of more classes shows colours without figures
MOST_CLASSES = 100  # of more, plots show the `WORST_CLASSES` with most errors
WORST_CLASSES = 30
MOST_POINTS = 5000
WINDOWS = 3
MOST_VARIABLES = 7
INSIDE = (0.1, 0.9)  # quantiles of the errors between which the band of a forecast lies


def drawn_classes(target: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the numbers of the classes that plots show: all, or of very many those with most wrong rows."""
    if classes <= MOST_CLASSES:
        return np.arange(classes)
    wrong = np.bincount(target[target != predicted], minlength=classes)
    return np.sort(np.argsort(-wrong, kind="stable")[:WORST_CLASSES])


def confusion(target: np.ndarray, predicted: np.ndarray, names: Sequence[str], chosen: np.ndarray) -> Figure:
    """Draw a confusion matrix; colours and percentages are proportions of the true class.

    Args:
        target: true classes, int (rows,).
        predicted: likewise.
        names: of all classes.
        chosen: numbers of the classes that are drawn; all others are one.
    """
    title = "Confusion matrix: rows, % of true class"
    if len(chosen) < len(names):
        title = f"The {len(chosen)} of {len(names):,} classes with most errors: % of true class"
        number = np.full(len(names), len(chosen))
        number[chosen] = np.arange(len(chosen))
        target, predicted, names = number[target], number[predicted], [*(names[each] for each in chosen), "others"]
    classes = len(names)
    counts = np.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)
    width = WIDTH if classes <= MANY else 6.4 if classes <= CROWDED else 10
    figure, ((axes,),) = new_figure(width, width=width)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    labels = [short_label(name) for name in names]
    crowded = max(map(len, labels)) > max(3, 24 // classes)
    style(axes, title=title, x="predicted class", y="true class")
    axes.grid(visible=False)
    size = SMALL if classes <= CROWDED else SMALL * CROWDED / classes
    axes.set_xticks(range(classes), labels, rotation=90 if crowded else 0, ha="center", fontsize=size)
    axes.set_yticks(range(classes), labels, fontsize=size)
    if classes <= CROWDED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if share[row, column] > 0.5 else INK  # noqa: PLR2004 - dark half of the map
                percent = f"\n{100 * share[row, column]:.1f}"
                size = SMALL if classes <= FEW else 7
                axes.text(column, row, f"{count}{percent}", ha="center", va="center", color=colour, fontsize=size)
    bar = figure.colorbar(shown, ax=axes, orientation="horizontal", shrink=0.6, aspect=40)
    bar.set_label("proportion of the true class", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def curves(scored: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw ROC and precision-recall curves, each class against all others.

    Args:
        scored: for each class, bool (rows,) whether it is the true class, which must be both, and its float score.
    """
    figure, panels = new_figure(8.4, rows=2)
    roc, precision = panels[:, 0]
    for number, (name, (positive, score)) in enumerate(scored.items()):
        colour = f"C{number}" if 1 < len(scored) <= MANY else BLUE
        look = {"color": colour, "linewidth": 1.6 if len(scored) <= MANY else 0.8, "label": short_label(name)}
        roc.plot(*roc_curve(positive, score, drop_intermediate=False)[:2], **look)
        precisions, recalls, _ = precision_recall_curve(positive, score)
        precision.step(recalls, precisions, where="post", **look)
        if len(scored) == 1:
            precision.axhline(positive.mean(), color=GREY, linestyle="--", linewidth=1)
    roc.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    style(roc, title="ROC curve", x="false positive rate", y="true positive rate")
    style(precision, title="Precision-recall curve", x="recall", y="precision")
    precision.set_ylim(-0.02, 1.02)
    if len(scored) <= MANY:
        legend(precision, loc="lower left", ncols=1 + len(scored) // 7)
    return figure


def calibration(correct: np.ndarray, confidence: np.ndarray) -> Figure:
    """Draw a reliability diagram of the predicted class, from bool (rows,) and its probability, and rows per bin."""
    binned = Reliability(confidence, correct).bins(np.ones((len(correct), 1)))
    rows, mean, share = (each[:, 0] for each in binned)
    figure, panels = new_figure(5.6, rows=2, sharex=True, height_ratios=[3, 1])
    upper, lower = panels[:, 0]
    filled = rows > 0
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    upper.plot(mean[filled], share[filled], "o-", color=BLUE, linewidth=1.6, markersize=5, label="this model")
    style(upper, title="Calibration of the predicted class", y="accuracy in bin")
    upper.set_ylim(-0.02, 1.02)
    legend(upper, loc="upper left")
    lower.bar((np.arange(BINS) + 0.5) / BINS, rows, width=0.9 / BINS, color=BLUE)
    style(lower, x="confidence", y="rows")
    lower.set_yscale("symlog")
    lower.set_ylim(bottom=0)
    return figure


def _thinned(rows: int) -> np.ndarray:
    return np.linspace(0, rows - 1, min(rows, MOST_POINTS)).astype(np.int64)


def predicted_true(target: np.ndarray, predicted: np.ndarray, name: str) -> Figure:
    """Draw predictions against true values, at most 5,000 of them, evenly chosen."""
    figure, ((axes,),) = new_figure(5)
    some = _thinned(len(target))
    axes.scatter(target[some], predicted[some], s=8, alpha=0.35, color=BLUE, linewidths=0)
    ends = [min(target.min(), predicted.min()), max(target.max(), predicted.max())]
    axes.plot(ends, ends, color=ORANGE, linewidth=1.2)
    style(axes, title="Predicted and true values", x=f"true {short_label(name)}", y=f"predicted {short_label(name)}")
    return figure


def residuals(target: np.ndarray, predicted: np.ndarray, name: str) -> Figure:
    """Draw residuals by predicted value, at most 5,000 of them, and their distribution."""
    figure, ((left, right),) = new_figure(4, columns=2, sharey=True, width_ratios=[3, 1])
    error = predicted - target
    some = _thinned(len(target))
    left.scatter(predicted[some], error[some], s=8, alpha=0.35, color=BLUE, linewidths=0)
    left.axhline(0, color=ORANGE, linewidth=1.2)
    style(left, title="Residuals", x=f"predicted {short_label(name)}", y="predicted minus true")
    right.hist(error, bins=40, orientation="horizontal", color=BLUE)
    right.axhline(0, color=ORANGE, linewidth=1.2)
    style(right, x="rows")
    return figure


def forecasts(
    target: np.ndarray, predicted: np.ndarray, names: Sequence[str], earlier: np.ndarray | None = None
) -> Figure:
    """Draw three forecasts, evenly chosen, of at most seven variables, with the true and the preceding values.

    The band holds 80 % of the earlier errors at the same step: it shows how wrong such a forecast usually is, not how
    wrong this one is. Values that precede a window are read from the windows before it, where each begins one step
    after the last.

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
    figure, grid = new_figure(1.6 * shown + 1.2, shown, len(chosen), sharex=True, sharey="row")
    steps = np.arange(1, horizon + 1)
    for column, example in enumerate(chosen):
        before = min(int(example), horizon) if overlap else 0
        for row in range(shown):
            axes = grid[row, column]
            middle = predicted[example, :, row]
            if band is not None:
                look = {"color": BLUE, "alpha": 0.15, "linewidth": 0, "label": "80 % of validation errors"}
                axes.fill_between(steps, *(middle + band[:, :, row]), **look)
            truth = np.append(target[example - before, :before, row], target[example, :, row])
            axes.plot(np.arange(1 - before, horizon + 1), truth, color=INK, linewidth=1.2, label="true")
            axes.plot(steps, middle, color=BLUE, linewidth=1.4, label="forecast")
            if before:
                axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
            title, x = f"window {example}" if row == 0 else "", "steps ahead" if row == shown - 1 else ""
            style(axes, title=title, x=x, y=short_label(names[row]) if column == 0 else "")
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def forecast_errors(error: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the mean squared error by step and by variable; errors (examples, horizon, variables) are standardised."""
    squared = error**2
    figure, ((left,), (right,)) = new_figure(5 + 0.25 * len(names), rows=2, height_ratios=[3, 1 + 0.25 * len(names)])
    steps = np.arange(1, error.shape[1] + 1)
    left.plot(steps, squared.mean(axis=(0, 2)), color=BLUE, linewidth=1.8, marker="o" if len(steps) <= MANY else "")
    left.set_ylim(bottom=0)
    style(left, title="Error by step", x="steps ahead", y="MSE, standardised")
    each = squared.mean(axis=(0, 1))
    order = np.argsort(each)
    right.barh(range(len(names)), each[order], color=BLUE)
    style(right, title="Error by variable", x="MSE, standardised")
    right.set_yticks(range(len(names)), [short_label(names[place]) for place in order])
    return figure


def ranks(found: np.ndarray, most: int) -> Figure:
    """Draw how often the true item has each rank among the recommended ones.

    Args:
        found: float (rows,), from 1; infinity where it is not recommended.
        most: how many are recommended.
    """
    figure, ((axes,),) = new_figure(3.0)
    counts = [int((found == rank).sum()) for rank in range(1, most + 1)]
    axes.bar(range(1, most + 1), 100 * np.array(counts) / max(1, len(found)), color=BLUE)
    missed = 100 * np.isinf(found).mean() if len(found) else 0.0
    style(axes, title=f"Rank of the true item; {missed:.0f} % are not recommended", x="rank", y="% of rows")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
