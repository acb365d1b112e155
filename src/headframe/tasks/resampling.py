"""What a metric is, said beside its formula: a function of how often each row was drawn, and what its limits rest on.

A bootstrap that builds a thousand tables and measures each costs minutes on ten thousand rows. Most
metrics are sums over rows, or walks over rows sorted once, so all resamples can be had from one matrix
of draw counts. Every function here takes `weights` of shape (rows, resamples): how often a row is in a
resample; sums down the columns are contiguous that way.

Resamples say nothing where all of them are equal, for instance where no row is wrong. A metric made of
shares of rows, or one that lies between known bounds, therefore says so (`Shares`, `Bounds`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

Weights = np.ndarray
"""float64 (rows, resamples), whole numbers."""


@dataclass(frozen=True)
class Share:
    """How many of the rows `of` are a `hit`; both bool (rows,), and every hit is among them."""

    hit: np.ndarray
    of: np.ndarray


@dataclass(frozen=True)
class Shares:
    """A metric that is the average of one or more shares.

    Attributes:
        parts: shares of rows; of no row where nothing counts, e.g. the precision of a class never predicted.
        together: how many of the shares one row can lower at once; 1 where each has rows of its own.
        bend: increasing, what is averaged of each share.
    """

    parts: tuple[Share, ...]
    together: int = 1
    bend: Callable[[float], float] = float


@dataclass(frozen=True)
class Bounds:
    """A metric that always lies from `low` to `high`, and averages over the rows of each of `over`, bool (rows,)."""

    low: float
    high: float
    over: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Statistic:
    """A metric as a function of draw counts.

    Attributes:
        evaluate: (rows, resamples) draw counts to (resamples,) values; NaN where it is not defined.
        limits: what its interval rests on beside the resamples; None where nothing more is known.
    """

    evaluate: Callable[[Weights], np.ndarray]
    limits: Shares | Bounds | None = None


def share(hit: np.ndarray) -> Statistic:
    """Share of all rows that are a hit, bool (rows,)."""
    return Statistic(mean(hit.astype(np.float64)).evaluate, Shares((Share(hit, np.ones(len(hit), dtype=bool)),)))


def bounded_mean(rows: np.ndarray, low: float, high: float) -> Statistic:
    """Average one number a row that always lies from `low` to `high`."""
    return Statistic(mean(rows).evaluate, Bounds(low, high, (np.ones(len(rows), dtype=bool),)))


def mean(rows: np.ndarray) -> Statistic:
    """Average one number a row."""
    return Statistic(lambda weights: _divide(rows @ weights, weights.sum(axis=0)))


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


class Confusion:
    """What follows from how often each class is taken for which; a class that counts nothing has 0.

    A class that a resample lacks is left out of its averages, as scikit-learn does.

    Args:
        target: int (rows,), class numbers.
        prediction: int (rows,), class numbers.
        classes: how many there are.
    """

    def __init__(self, target: np.ndarray, prediction: np.ndarray, classes: int) -> None:
        self._target, self._prediction = target, prediction
        hit = target == prediction
        true, claimed = _groups(target, classes), _groups(prediction, classes)
        right = _groups(target[hit], classes, np.flatnonzero(hit), len(target))
        self._counts = _once(lambda weights: (right @ weights, true @ weights, claimed @ weights))

    def recall(self, number: int) -> Statistic:
        """Share of the rows of a class that are predicted as it."""
        return Statistic(lambda weights: self._recalls(weights)[number], Shares((self._of_true(number),)))

    def precision(self, number: int) -> Statistic:
        """Share of the rows predicted as a class that are of it."""
        is_class, claims_class = self._masks(number)
        limits = Shares((Share(is_class & claims_class, claims_class),))

        def evaluate(weights: Weights) -> np.ndarray:
            hits, _, claims = self._counts(weights)
            return _divide(hits, claims, otherwise=0.0)[number]

        return Statistic(evaluate, limits)

    def f1(self, number: int) -> Statistic:
        """Harmonic mean of precision and recall of a class."""
        return Statistic(lambda weights: self._f1s(weights)[number], Shares((self._of_either(number),), bend=_f1))

    @property
    def balanced_accuracy(self) -> Statistic:
        """Mean recall of the classes that occur."""
        parts = tuple(self._of_true(number) for number in np.unique(self._target))
        return Statistic(
            lambda weights: _mean_where(self._recalls(weights), self._counts(weights)[1] > 0), Shares(parts)
        )

    @property
    def macro_f1(self) -> Statistic:
        """Mean F1 of the classes that occur or are predicted; a wrong row counts against two of them."""
        touched = np.union1d(self._target, self._prediction)
        parts = tuple(self._of_either(number) for number in touched)

        def evaluate(weights: Weights) -> np.ndarray:
            _, support, claims = self._counts(weights)
            return _mean_where(self._f1s(weights), support + claims > 0)

        return Statistic(evaluate, Shares(parts, together=min(2, len(parts)), bend=_f1))

    def _recalls(self, weights: Weights) -> np.ndarray:
        hits, support, _ = self._counts(weights)
        return _divide(hits, support, otherwise=0.0)

    def _f1s(self, weights: Weights) -> np.ndarray:
        hits, support, claims = self._counts(weights)
        return _divide(2 * hits, support + claims, otherwise=0.0)

    def _masks(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self._target == number, self._prediction == number

    def _of_true(self, number: int) -> Share:
        is_class, claims_class = self._masks(number)
        return Share(is_class & claims_class, is_class)

    def _of_either(self, number: int) -> Share:
        is_class, claims_class = self._masks(number)
        return Share(is_class & claims_class, is_class | claims_class)


def _f1(share_of_either: float) -> float:
    """Turn TP / (TP + FP + FN) into F1, which grows with it (Hand et al. 2021, Machine Learning 110)."""
    return 2 * share_of_either / (1 + share_of_either)


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
        self._positive = positive

    @property
    def roc_area(self) -> Statistic:
        """Area under the ROC curve: the chance that a positive row scores above a negative one, ties counting half."""
        return Statistic(self._roc_area, Bounds(0.0, 1.0, (self._positive, ~self._positive)))

    @property
    def average_precision(self) -> Statistic:
        """Precision at each threshold, weighted by the gain in recall, as scikit-learn defines it."""
        return Statistic(self._average_precision, Bounds(0.0, 1.0, (self._positive,)))

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


def average(parts: Sequence[Statistic]) -> Statistic:
    """Average several statistics; bounds are averaged too, where all have them."""
    bounds = [part.limits for part in parts if isinstance(part.limits, Bounds)]
    limits = None
    if len(bounds) == len(parts):
        low, high = np.mean([(each.low, each.high) for each in bounds], axis=0).tolist()
        limits = Bounds(low, high, tuple(mask for each in bounds for mask in each.over))
    return Statistic(lambda weights: np.mean([part.evaluate(weights) for part in parts], axis=0), limits)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> Statistic:
    """Expected calibration error over equally wide bins of confidence (arXiv:1706.04599).

    Args:
        confidence: float (rows,), in 0 to 1.
        correct: bool (rows,).
        bins: how many bins divide 0 to 1.
    """
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = _groups(number, bins).multiply(correct.astype(float) - confidence).tocsr()
    bounds = Bounds(0.0, 1.0, (np.ones(len(correct), dtype=bool),))
    return Statistic(lambda weights: _divide(np.abs(gaps @ weights).sum(axis=0), weights.sum(axis=0)), bounds)


def _divide(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, otherwise), where=below != 0)
