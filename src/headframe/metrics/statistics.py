"""Every metric, once: a statistic over rows as a function of how often each row was drawn.

Where every row is drawn once it is the metric's value; the draw counts of a bootstrap give all its resamples at
once. Most metrics are sums over rows, or walks over rows sorted once, so a thousand resamples cost one product of
matrices instead of a thousand tables. `weights` is always (rows, resamples): sums down the columns are contiguous
that way.

Resamples show nothing where all of them are equal, for instance where no row is wrong. A metric made of
proportions of rows, or one that lies between known bounds, therefore declares it (`MeanProportion`, `Bounds`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

Weights = np.ndarray
"""float64 (rows, resamples), whole numbers: how often each row was drawn."""

SMALLEST = float(np.finfo(np.float64).eps)  # probabilities are clipped to it before their logarithm, as in scikit-learn
BINS = 15  # bins of confidence of the calibration error


@dataclass(frozen=True)
class Proportion:
    """How many of the rows `among` are `hits`; both bool (rows,), and every hit is among them."""

    hits: np.ndarray
    among: np.ndarray


@dataclass(frozen=True)
class MeanProportion:
    """A metric that is the average of one or more proportions.

    A proportion is of no row where nothing counts, e.g. the precision of a class never predicted.
    """

    parts: tuple[Proportion, ...]
    together: int = 1  # how many of the proportions one row can lower at once; 1 where each has rows of its own
    transform: Callable[[float], float] = float  # increasing, what is averaged of each proportion


@dataclass(frozen=True)
class Bounds:
    """A metric that always lies from `low` to `high`, and averages over the rows of each of `over`, bool (rows,)."""

    low: float
    high: float
    over: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Statistic:
    """A metric as a function of draw counts."""

    evaluate: Callable[[Weights], np.ndarray]  # from (rows, resamples) to (resamples,); NaN where it is not defined
    basis: MeanProportion | Bounds | None = None  # what its interval rests on besides the resamples, if anything
    slow: bool = False  # whether every resample costs as much as the metric itself


def values_of(statistics: Mapping[str, Statistic], rows: int) -> dict[str, float]:
    """Compute the metrics of the rows themselves, those that are defined on them."""
    weights = np.ones((rows, 1))
    found = {name: float(statistic.evaluate(weights)[0]) for name, statistic in statistics.items()}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def from_table(metric: Callable[[pa.Table], float], predictions: pa.Table) -> Statistic:
    """Return a metric of which no formula in draw counts is known: each resample is written out as a table."""

    def evaluate(weights: Weights) -> np.ndarray:
        counts = weights.astype(np.int64)
        drawn = (predictions.take(pa.array(np.repeat(np.arange(len(each)), each))) for each in counts.T)
        return np.array([metric(table) for table in drawn], dtype=np.float64)

    return Statistic(evaluate, slow=True)


def mean(values: np.ndarray, basis: Bounds | None = None) -> Statistic:
    """Average of the numbers of each row, (rows,) or (rows, ...)."""
    total, size = _sum(values), values[:1].size
    return Statistic(lambda weights: divide(total(weights), weights.sum(axis=0) * size), basis)


def bounded_mean(values: np.ndarray, low: float, high: float) -> Statistic:
    """Average of one number per row that always lies from `low` to `high`."""
    return mean(values, Bounds(low, high, (np.ones(len(values), dtype=bool),)))


def root_mean(values: np.ndarray) -> Statistic:
    """Root of the average of the numbers of each row, (rows,) or (rows, ...)."""
    average = mean(values).evaluate
    return Statistic(lambda weights: np.sqrt(average(weights)))


def accuracy(correct: np.ndarray) -> Statistic:
    """Proportion of all rows that are correct, bool (rows,)."""
    basis = MeanProportion((Proportion(correct, np.ones(len(correct), dtype=bool)),))
    return Statistic(mean(correct.astype(np.float64)).evaluate, basis)


def r2(target: np.ndarray, prediction: np.ndarray) -> Statistic:
    """Explained proportion of the variance; target and prediction (rows,)."""
    centred = target - target.mean()  # the variance does not change, its rounding error does
    terms = [_sum((prediction - target) ** 2), _sum(centred), _sum(centred**2)]

    def evaluate(weights: Weights) -> np.ndarray:
        residual, first, second = (term(weights) for term in terms)
        return 1.0 - divide(residual, second - divide(first**2, weights.sum(axis=0)))

    return Statistic(evaluate)


def log_loss(target: np.ndarray, scores: np.ndarray) -> Statistic:
    """Mean negative logarithm of the probability of the true class; target int (rows,), scores (rows, classes)."""
    true = scores[np.arange(len(target)), target]
    return bounded_mean(-np.log(np.clip(true, SMALLEST, 1.0)), 0.0, -np.log(SMALLEST))


def brier(target: np.ndarray, scores: np.ndarray) -> Statistic:
    """Mean squared distance to the truth: over all classes, or of one of two; arguments as `log_loss`."""
    truth = np.zeros_like(scores)
    truth[np.arange(len(target)), target] = 1.0
    distance = ((scores - truth) ** 2).sum(axis=1)
    binary = scores.shape[1] == 2  # noqa: PLR2004 - the usual meaning for two classes
    return bounded_mean(distance / 2, 0.0, 1.0) if binary else bounded_mean(distance, 0.0, 2.0)


class Confusion:
    """Metrics from a confusion matrix of class numbers, int (rows,); a class that counts nothing has 0.

    A class that a resample lacks is left out of its averages, as scikit-learn does.
    """

    def __init__(self, target: np.ndarray, prediction: np.ndarray, classes: int) -> None:
        self._target, self._prediction = target, prediction
        hit = target == prediction
        true, predicted = group_sums(target, classes), group_sums(prediction, classes)
        right = group_sums(target[hit], classes, np.flatnonzero(hit), len(hit))
        # Hits, true and predicted rows of each class, each (classes, resamples).
        self._counts = remember_last(lambda weights: (right @ weights, true @ weights, predicted @ weights))

    def recall(self, number: int) -> Statistic:
        """Proportion of the rows of a class that are predicted as it."""
        return Statistic(lambda weights: self._recalls(weights)[number], MeanProportion((self._of_true(number),)))

    def precision(self, number: int) -> Statistic:
        """Proportion of the rows predicted as a class that are of it."""

        def evaluate(weights: Weights) -> np.ndarray:
            hits, _, predicted = self._counts(weights)
            return divide(hits, predicted, otherwise=0.0)[number]

        return Statistic(evaluate, MeanProportion((self._hits(number, self._prediction == number),)))

    def f1(self, number: int) -> Statistic:
        """Harmonic mean of precision and recall of a class."""
        basis = MeanProportion((self._of_either(number),), transform=_f1_of_jaccard)
        return Statistic(lambda weights: self._f1s(weights)[number], basis)

    @property
    def balanced_accuracy(self) -> Statistic:
        """Mean recall of the classes that occur."""
        parts = tuple(self._of_true(number) for number in np.unique(self._target))
        return Statistic(
            lambda weights: mean_where(self._recalls(weights), self._counts(weights)[1] > 0), MeanProportion(parts)
        )

    @property
    def macro_f1(self) -> Statistic:
        """Mean F1 of the classes that occur or are predicted; a wrong row counts against two of them."""
        parts = tuple(self._of_either(number) for number in np.union1d(self._target, self._prediction))

        def evaluate(weights: Weights) -> np.ndarray:
            _, true, predicted = self._counts(weights)
            return mean_where(self._f1s(weights), true + predicted > 0)

        return Statistic(evaluate, MeanProportion(parts, together=min(2, len(parts)), transform=_f1_of_jaccard))

    def _recalls(self, weights: Weights) -> np.ndarray:
        hits, true, _ = self._counts(weights)
        return divide(hits, true, otherwise=0.0)

    def _f1s(self, weights: Weights) -> np.ndarray:
        hits, true, predicted = self._counts(weights)
        return divide(2 * hits, true + predicted, otherwise=0.0)

    def _of_true(self, number: int) -> Proportion:
        return self._hits(number, self._target == number)

    def _of_either(self, number: int) -> Proportion:
        return self._hits(number, (self._target == number) | (self._prediction == number))

    def _hits(self, number: int, among: np.ndarray) -> Proportion:
        return Proportion((self._target == number) & (self._prediction == number), among)


def _f1_of_jaccard(jaccard: float) -> float:
    """Turn TP / (TP + FP + FN) into F1, which grows with it (Hand et al. 2021, Machine Learning 110)."""
    return 2 * jaccard / (1 + jaccard)


def mean_where(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the means down the columns of what counts; NaN where nothing does."""
    return divide(np.where(counted, values, 0.0).sum(axis=0), counted.sum(axis=0))


class Ranking:
    """Metrics over all thresholds, from bool (rows,) positives and float (rows,) scores, higher for positive rows."""

    def __init__(self, positive: np.ndarray, score: np.ndarray) -> None:
        levels, level = np.unique(-score, return_inverse=True)
        positives, negatives = (
            group_sums(level[rows], len(levels), np.flatnonzero(rows), len(level)) for rows in (positive, ~positive)
        )

        def count(weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            at_score = positives @ weights, negatives @ weights
            return *at_score, *(np.cumsum(each, axis=0) for each in at_score)

        # Positive and negative rows at each distinct score, and down to it from the highest, each (scores, resamples).
        self._counts = count

    def areas(self, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        """Return the areas under both curves, (resamples,) each.

        Under the ROC curve: the chance that a positive row scores above a negative one, ties counting half. Under
        precision and recall: precision at each threshold, weighted by the gain in recall, as scikit-learn defines it.
        """
        positives, negatives, found, passed = self._counts(weights)
        pairs = found[-1] * passed[-1]
        above = passed - negatives / 2  # negatives above a positive row, and half of those at its score
        precision = found / np.maximum(found + passed, 1)
        return (
            divide(pairs - np.einsum("ij,ij->j", positives, above), pairs),
            divide((positives * precision).sum(axis=0), found[-1]),
        )


class Reliability:
    """Confidence, float (rows,) from 0 to 1, and accuracy of rows in equally wide bins of confidence (low, high]."""

    def __init__(self, confidence: np.ndarray, correct: np.ndarray) -> None:
        number = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self._rows = group_sums(number, BINS)
        self._confidence = self._rows.multiply(confidence).tocsr()
        self._correct = self._rows.multiply(correct.astype(np.float64)).tocsr()

    def bins(self, weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows, mean confidence and accuracy of each bin, each (bins, resamples); 0 in an empty bin."""
        rows = self._rows @ weights
        filled = np.maximum(rows, 1)
        return rows, (self._confidence @ weights) / filled, (self._correct @ weights) / filled

    @property
    def error(self) -> Statistic:
        """Expected calibration error: the mean distance of both, weighted by rows (Guo et al., arXiv:1706.04599)."""

        def evaluate(weights: Weights) -> np.ndarray:
            rows, confidence, accuracies = self.bins(weights)
            return divide((rows * np.abs(confidence - accuracies)).sum(axis=0), rows.sum(axis=0))

        return Statistic(evaluate, Bounds(0.0, 1.0, (np.ones(self._rows.shape[1], dtype=bool),)))


def _sum(values: np.ndarray) -> Callable[[Weights], np.ndarray]:
    """Return the sum of values (rows, ...) over drawn rows, (resamples,), as a function of the draw counts.

    Rows that are drawn once each are summed pairwise, as `numpy.sum` does, which rounds less than a matrix product.
    """
    of_rows = values.reshape(len(values), values[:1].size).sum(axis=1)

    def total(weights: Weights) -> np.ndarray:
        if weights.shape[1] == 1 and (weights == 1).all():
            return np.atleast_1d(values.sum())
        return of_rows @ weights

    return total


def group_sums(group: np.ndarray, groups: int, rows: np.ndarray | None = None, total: int | None = None) -> Any:
    """Return the sparse 0/1 matrix (groups, rows) that sums weights by group; far faster than a dense product.

    `group` is that of each row, or of each of `rows`, which are then some of `total`.
    """
    which = np.arange(len(group)) if rows is None else rows
    return sparse.csr_matrix((np.ones(len(which)), (group, which)), shape=(groups, total or len(group)))


def remember_last(function: Callable[[Weights], Any]) -> Callable[[Weights], Any]:
    """Return `function` with a memory of its last weights, since several metrics need the same counts."""
    last: list[Any] = [None, None]

    def remembered(weights: Weights) -> Any:
        if last[0] is not weights:
            last[:] = weights, function(weights)
        return last[1]

    return remembered


def divide(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Divide; `otherwise` stands where the divisor is zero."""
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, otherwise), where=below != 0)
