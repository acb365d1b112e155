"""Areas under the ROC curve and under precision and recall, averaged over classes, each against all others.

A class that a resample lacks is left out of its averages, as in the other metrics of several classes.
"""

from collections.abc import Sequence

import numpy as np

from headframe.metrics.statistics import (
    Bounds,
    Ranking,
    Statistic,
    Weights,
    divide,
    group_sums,
    mean_where,
    remember_last,
)

_MANY = 50  # more classes than this are compared row by row, where that takes fewer steps
_ROWS_FOR_CLASSES = 100  # it does where a class has fewer rows on average
_SLOW_ROWS = 10_000  # from which on it is slow
_BLOCK = 4_000_000  # comparisons that are held at once


def mean_areas(target: np.ndarray, scores: np.ndarray, classes: Sequence[int]) -> dict[str, Statistic]:
    """Return `roc_auc` and `average_precision`.

    Counts of one class are held at a time: those of all would take rows x classes x resamples.

    Args:
        target: int (rows,), numbers of the true classes.
        scores: float64 (rows, all classes).
        classes: the numbers that are averaged over; each has rows.
    """
    rows, by_rows = len(target), len(classes) > max(_MANY, len(target) / _ROWS_FOR_CLASSES)
    if by_rows:
        by_class = np.ascontiguousarray(scores.T)
        areas = remember_last(lambda weights: _row_by_row(target, by_class, weights))
    else:
        rankings = [Ranking(target == one, scores[:, one]) for one in classes]
        areas = remember_last(lambda weights: _class_by_class(rankings, weights))
    positive = tuple(target == one for one in classes)
    found = {}
    for number, (name, over) in enumerate(
        {"roc_auc": (*positive, *(~each for each in positive)), "average_precision": positive}.items()
    ):

        def evaluate(weights: Weights, number: int = number) -> np.ndarray:
            values: np.ndarray = areas(weights)[number]
            return mean_where(values, np.isfinite(values))

        found[name] = Statistic(evaluate, Bounds(0.0, 1.0, over), slow=by_rows and rows > _SLOW_ROWS)
    return found


def _class_by_class(rankings: Sequence[Ranking], weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return both areas of each class, (classes, resamples)."""
    found = [ranking.areas(weights) for ranking in rankings]
    return np.stack([roc for roc, _ in found]), np.stack([precision for _, precision in found])


def _row_by_row(target: np.ndarray, by_class: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return both areas of each class, (classes, resamples), in steps of rows squared whatever the number of classes.

    For each row, the rows that score as high for its class are counted by a product of matrices.
    """
    classes, rows = by_class.shape
    above, precision = np.zeros((2, classes, weights.shape[1]))
    step = max(1, _BLOCK // rows)
    for start in range(0, rows, step):
        mine = slice(start, start + step)
        true = target[mine]
        scores, own = by_class[true], by_class[true, np.arange(rows)[mine]][:, np.newaxis]
        same = target == true[:, np.newaxis]
        reached, tied = scores >= own, (scores == own) & ~same
        passed = (reached & ~same).astype(np.float64) @ weights
        found = (reached & same).astype(np.float64) @ weights
        ties = tied.astype(np.float64) @ weights if tied.any() else 0.0
        of_class = group_sums(true, classes)
        above += of_class @ (weights[mine] * (passed - ties / 2))
        precision += of_class @ (weights[mine] * (found / np.maximum(found + passed, 1)))
    positives = group_sums(target, classes) @ weights
    pairs = positives * (weights.sum(axis=0) - positives)
    return divide(pairs - above, pairs), divide(precision, positives)
