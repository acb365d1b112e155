"""Average precision of boxes as COCO measures it: precision at 101 levels of recall, boxes matched by their overlap.

Source: T.-Y. Lin et al., Microsoft COCO: Common Objects in Context (arXiv:1405.0312), and its program `pycocotools`.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from headframe.metrics.statistics import Bounds, Statistic, Weights, divide, mean_where, remember_last

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which on a box is found, one after the other."""

RECALLS = np.linspace(0.0, 1.0, 101)

MOST = 100
"""Boxes of one label that count in an image, those with the highest scores."""

_CELLS = 2_000_000  # boxes times resamples that are summed at once


@dataclass(frozen=True)
class Boxes:
    """Boxes of several rows, those of one row behind those of the row before.

    Attributes:
        row: of each box, int (boxes,), ascending.
        sides: left and upper edge, width and height, float64 (boxes, 4).
        label: number of the label of each, int (boxes,).
        score: of each; true boxes have none.
    """

    row: np.ndarray
    sides: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def of(self, label: int) -> "Boxes":
        """Return the boxes of a label."""
        return self[self.label == label]

    def __getitem__(self, chosen: np.ndarray) -> "Boxes":
        return Boxes(self.row[chosen], self.sides[chosen], self.label[chosen], self.score[chosen])


class AveragePrecision:
    """Average precision of each label and each overlap as a function of how often each row was drawn.

    Boxes are matched within their row and by themselves, so a row's matches are parts of which any draw is made.

    Args:
        truth: the true boxes.
        found: the predicted ones.
        rows: how many rows there are, with boxes or without.
        labels: how many labels there are.
    """

    def __init__(self, truth: Boxes, found: Boxes, rows: int, labels: int) -> None:
        self._rows = rows
        self._labels = [_Label(truth.of(label), found.of(label), rows) for label in range(labels)]
        # Of each overlap (labels, resamples), since several metrics need the same.
        self._precisions = [remember_last(partial(self._evaluate, each)) for each in range(len(OVERLAPS))]

    def _evaluate(self, overlap: int, weights: Weights) -> np.ndarray:
        return np.stack([label.precision(overlap, weights) for label in self._labels])

    def _statistic(self, overlaps: int, labels: slice) -> Statistic:
        def evaluate(weights: Weights) -> np.ndarray:
            values = np.mean([each(weights)[labels] for each in self._precisions[:overlaps]], axis=0)
            return mean_where(values, np.isfinite(values))

        return Statistic(evaluate, Bounds(0.0, 1.0, (np.ones(self._rows, dtype=bool),)))

    @property
    def mean(self) -> Statistic:
        """Mean over all overlaps and the labels that occur."""
        return self._statistic(len(OVERLAPS), slice(None))

    @property
    def mean_at_half(self) -> Statistic:
        """Mean over the labels that occur, at an overlap of 0.5."""
        return self._statistic(1, slice(None))

    def at_half(self, label: int) -> Statistic:
        """Return that of one label at an overlap of 0.5."""
        return self._statistic(1, slice(label, label + 1))

    def curve(self, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return recall, precision and score down to each predicted box of a label, at an overlap of 0.5."""
        one = self._labels[label]
        right = np.cumsum(one.matched[0])
        return divide(right, one.positives.sum()[np.newaxis]), right / np.arange(1, len(right) + 1), one.found.score


@dataclass(frozen=True)
class Verdicts:
    """What is right of some boxes and what they miss, at an overlap of 0.5 and by label.

    Attributes:
        right: which of the predicted boxes are found, bool.
        missed: which of the true ones are not.
    """

    right: np.ndarray
    missed: np.ndarray


def compare_boxes(truth: Boxes, found: Boxes) -> Verdicts:
    """Match the predicted boxes of rows with the true ones; those of each row stand by falling score."""
    right, missed = np.zeros(len(found.row), dtype=bool), np.ones(len(truth.row), dtype=bool)
    for row, label in {*zip(truth.row.tolist(), truth.label.tolist(), strict=True)}:
        mine, theirs = (np.flatnonzero((each.row == row) & (each.label == label)) for each in (found, truth))
        of = match(box_overlaps(found.sides[mine], truth.sides[theirs]))[0]
        right[mine] = of >= 0
        missed[theirs[of[of >= 0]]] = False
    return Verdicts(right, missed)


class _Label:
    """The boxes of one label, the predicted ones by falling score over all rows."""

    def __init__(self, truth: Boxes, found: Boxes, rows: int) -> None:
        self.truth = truth
        self.positives = np.bincount(truth.row, minlength=rows).astype(np.float64)
        ordered = found[np.lexsort((-found.score, found.row))]  # stable, as in the reference
        first = np.searchsorted(ordered.row, ordered.row)
        ordered = ordered[np.arange(len(ordered.row)) - first < MOST]
        self._in_rows = ordered
        self._order = np.argsort(-ordered.score, kind="stable")
        self.found = ordered[self._order]

    @cached_property
    def matched(self) -> np.ndarray:
        """Which predicted boxes are found at each overlap, bool (overlaps, boxes), by falling score."""
        found, truth = self._in_rows, self.truth
        matched = np.zeros((len(OVERLAPS), len(found.row)), dtype=bool)
        for row in np.intersect1d(found.row, truth.row):
            mine, theirs = (slice(*np.searchsorted(each.row, [row, row + 1])) for each in (found, truth))
            matched[:, mine] = match(box_overlaps(found.sides[mine], truth.sides[theirs])) >= 0
        return matched[:, self._order]

    def precision(self, overlap: int, weights: Weights) -> np.ndarray:
        """Return the average precision, (resamples,); NaN where no row with a true box was drawn."""
        positives = self.positives @ weights
        averages = np.where(positives > 0, 0.0, np.nan)
        # Recall changes at found boxes alone, and what lies behind the last of them changes nothing.
        hits = np.flatnonzero(self.matched[overlap])
        if not len(hits):
            return averages
        rows = self.found.row[: hits[-1] + 1]
        at_once = max(1, _CELLS // len(rows))
        for start in range(0, weights.shape[1], at_once):
            drawn = weights[:, start : start + at_once][rows]
            right = np.cumsum(drawn[hits], axis=0)
            precision = divide(right, np.cumsum(drawn, axis=0)[hits], otherwise=0.0)
            best = np.zeros((right.shape[1], len(hits) + 1))  # at any recall that is as high or higher
            best[:, :-1] = np.maximum.accumulate(precision[::-1], axis=0)[::-1].T
            recalls = np.ascontiguousarray(right.T)
            for number in np.flatnonzero(positives[start : start + at_once] > 0):
                places = np.searchsorted(recalls[number] / positives[start + number], RECALLS)
                averages[start + number] = best[number, places].mean()
        return averages


def box_overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes (n, 4) with others (m, 4), each by its sides, (n, m)."""
    low = np.maximum(one[:, np.newaxis, :2], other[:, :2])
    high = np.minimum((one[:, :2] + one[:, 2:])[:, np.newaxis], other[:, :2] + other[:, 2:])
    common = np.maximum(high - low, 0.0).prod(axis=2)
    return divide(common, one[:, 2:].prod(axis=1)[:, np.newaxis] + other[:, 2:].prod(axis=1) - common, otherwise=0.0)


def match(shared: np.ndarray) -> np.ndarray:
    """Return the true box of each predicted one of a row at each overlap, int (overlaps, boxes); -1 where it has none.

    Each in turn gets the one that it overlaps most and that none before it got.

    Args:
        shared: of predicted boxes by falling score with true ones, float (boxes, true boxes).
    """
    least = np.minimum(OVERLAPS, 1 - 1e-10)  # for equal boxes at an overlap of 1, as in the reference
    every = np.arange(len(least))
    free = np.ones((len(least), shared.shape[1]), dtype=bool)
    found = np.full((len(least), len(shared)), -1)
    for number in np.flatnonzero(shared.max(axis=1, initial=0.0) >= least[0]):
        offered = np.where(free, shared[number], -1.0)
        chosen = shared.shape[1] - 1 - offered[:, ::-1].argmax(axis=1)  # the last of equal ones
        hit = offered[every, chosen] >= least
        found[hit, number] = chosen[hit]
        free[every[hit], chosen[hit]] = False
    return found
