"""Metrics of many resamples at once, as functions of how often each row was drawn.

A bootstrap that builds a thousand tables and measures each costs minutes on ten thousand rows. Most
metrics are sums over rows, or walks over rows sorted once, so all resamples can be had from one matrix
of draw counts. Every function here takes `weights` of shape (rows, resamples): how often a row is in a
resample; sums down the columns are contiguous that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

Weights = np.ndarray
"""float64 (rows, resamples), whole numbers."""


@dataclass(frozen=True)
class Statistic:
    """A metric as a function of draw counts.

    Attributes:
        evaluate: (rows, resamples) draw counts to (resamples,) values; NaN where it is not defined.
        proportion: whether it is a share of rows, so that Wilson's interval holds.
    """

    evaluate: Callable[[Weights], np.ndarray]
    proportion: bool = False


def mean(rows: np.ndarray) -> Statistic:
    """Average one number a row; a share where all are 0 or 1."""
    return Statistic(
        lambda weights: _divide(rows @ weights, weights.sum(axis=0)), proportion=bool(np.isin(rows, (0.0, 1.0)).all())
    )


def root_mean(rows: np.ndarray) -> Statistic:
    """Take the root of the average of one number a row."""
    average = mean(rows).evaluate
    return Statistic(lambda weights: np.sqrt(average(weights)))


def determination(target: np.ndarray, prediction: np.ndarray) -> Statistic:
    """Explained share of the variance, R squared; target and prediction (rows,)."""
    centred = target - target.mean()  # the variance does not change, its rounding error does
    terms = np.stack([(target - prediction) ** 2, centred, centred**2])

    def evaluate(weights: Weights) -> np.ndarray:
        residual, first, second = terms @ weights
        return 1.0 - _divide(residual, second - _divide(first**2, weights.sum(axis=0)))

    return Statistic(evaluate)


def confusion_based(target: np.ndarray, prediction: np.ndarray, classes: int) -> Iterator[Statistic]:
    """Yield macro F1, balanced accuracy, and precision, recall and F1 of each class; 0 where nothing counts.

    Args:
        target: int (rows,), class numbers.
        prediction: int (rows,), class numbers.
        classes: how many there are.
    """
    hit = target == prediction
    true, claimed = _groups(target, classes), _groups(prediction, classes)
    right = _groups(target[hit], classes, np.flatnonzero(hit), len(target))

    @_once
    def counts(weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return right @ weights, true @ weights, claimed @ weights

    def f1(weights: Weights) -> np.ndarray:
        hits, support, claims = counts(weights)
        return _divide(2 * hits, support + claims, otherwise=0.0)

    def recall(weights: Weights) -> np.ndarray:
        hits, support, _ = counts(weights)
        return _divide(hits, support, otherwise=0.0)

    def precision(weights: Weights) -> np.ndarray:
        hits, _, claims = counts(weights)
        return _divide(hits, claims, otherwise=0.0)

    def supported(weights: Weights) -> np.ndarray:
        return counts(weights)[1] > 0

    def touched(weights: Weights) -> np.ndarray:
        _, support, claims = counts(weights)
        return support + claims > 0

    # A class that a resample lacks is left out of its average, as scikit-learn does.
    yield Statistic(lambda weights: _mean_where(f1(weights), touched(weights)))
    yield Statistic(lambda weights: _mean_where(recall(weights), supported(weights)))
    for number in range(classes):
        for each in (f1, recall, precision):
            yield _entry(each, number)


def _entry(of_classes: Callable[[Weights], np.ndarray], number: int) -> Statistic:
    return Statistic(lambda weights: of_classes(weights)[number])


def _mean_where(values: np.ndarray, meant: np.ndarray) -> np.ndarray:
    return _divide((values * meant).sum(axis=0), meant.sum(axis=0))


class Ranking:
    """Rows in the order of their score, for what is measured at every threshold.

    Args:
        positive: bool (rows,).
        score: float (rows,), higher for positive rows.
    """

    def __init__(self, positive: np.ndarray, score: np.ndarray) -> None:
        levels = np.unique(score[positive])[::-1]
        place = np.searchsorted(-levels, -score, side="left")  # the first threshold that a row's score reaches
        within = place < len(levels)
        ties = within & (levels[np.minimum(place, len(levels) - 1)] == score)

        def pick(rows: np.ndarray) -> Any:
            which = np.flatnonzero(rows)
            return _groups(place[which], len(levels), which, len(score))

        between, tied, hit = pick(~positive & within & ~ties), pick(~positive & ties), pick(positive)
        self._counts = _once(lambda weights: (between @ weights, tied @ weights, hit @ weights))

    @property
    def roc_area(self) -> Statistic:
        """Area under the ROC curve: the chance that a positive row scores above a negative one, ties counting half."""
        return Statistic(self._roc_area)

    @property
    def average_precision(self) -> Statistic:
        """Precision at each threshold, weighted by the gain in recall, as scikit-learn defines it."""
        return Statistic(self._average_precision)

    def _roc_area(self, weights: Weights) -> np.ndarray:
        between, tied, hits = self._counts(weights)
        above = np.cumsum(between + tied, axis=0) - tied / 2  # negatives that beat a threshold, half of those at it
        ones = hits.sum(axis=0)
        return 1.0 - _divide(np.einsum("ij,ij->j", hits, above), ones * (weights.sum(axis=0) - ones))

    def _average_precision(self, weights: Weights) -> np.ndarray:
        between, tied, hits = self._counts(weights)
        right = np.cumsum(hits, axis=0)
        precision = _divide(right, np.cumsum(between + tied, axis=0) + right, otherwise=0.0)
        return _divide(np.einsum("ij,ij->j", hits, precision), right[-1])


def _groups(group: np.ndarray, groups: int, rows: np.ndarray | None = None, total: int | None = None) -> Any:
    """Give the sparse 0/1 matrix (groups, rows) that sums weights by group; far faster than a dense product.

    Args:
        group: int, the group of each row, or of each of `rows`.
        groups: how many there are.
        rows: which rows are meant; all of them unless given.
        total: how many rows there are altogether.
    """
    which = np.arange(len(group)) if rows is None else rows
    shape = (groups, len(group) if total is None else total)
    return sparse.csr_matrix((np.ones(len(which)), (group, which)), shape=shape)


def _once(function: Callable[[Weights], Any]) -> Callable[[Weights], Any]:
    """Remember what `function` gave for the last weights: several metrics ask for the same counts."""
    last: list[Any] = [None, None]

    def remembered(weights: Weights) -> Any:
        if last[0] is not weights:
            last[:] = weights, function(weights)
        return last[1]

    return remembered


def average(parts: list[Statistic]) -> Statistic:
    """Average several statistics."""
    return Statistic(lambda weights: np.mean([part.evaluate(weights) for part in parts], axis=0))


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> Statistic:
    """Expected calibration error over equally wide bins of confidence (arXiv:1706.04599).

    Args:
        confidence: float (rows,), in 0 to 1.
        correct: bool (rows,).
        bins: how many bins divide 0 to 1.
    """
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = _groups(number, bins).multiply(correct.astype(float) - confidence).tocsr()
    return Statistic(lambda weights: _divide(np.abs(gaps @ weights).sum(axis=0), weights.sum(axis=0)))


def _divide(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, otherwise), where=below != 0)
