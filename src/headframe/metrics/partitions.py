"""Agreement of two partitions of the same rows, and how firm a partition is, as statistics of draw counts."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from headframe.metrics.statistics import Bounds, Statistic, Weights, divide, group_sums, remember_last

LLOYD_STEPS = 5  # of k-means on a resample, which starts where the partition is


class Contingency:
    """Metrics of the table that counts rows by class and by cluster, int (rows,) each, counted from 0.

    Rows drawn several times count several times, as repetitions of a row do.
    """

    def __init__(self, target: np.ndarray, cluster: np.ndarray) -> None:
        self._rows = len(target)
        self._shape = int(target.max(initial=-1)) + 1, int(cluster.max(initial=-1)) + 1
        filled, cell = np.unique(target * self._shape[1] + cluster, return_inverse=True)
        self._class, self._cluster = np.divmod(filled, self._shape[1])
        cells, of_class, of_cluster = (
            group_sums(group, size)
            for group, size in zip((cell, self._class, self._cluster), (len(filled), *self._shape), strict=True)
        )

        def count(weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            counts = cells @ weights
            return counts, of_class @ counts, of_cluster @ counts

        # Rows of each filled cell, class and cluster, each (cells, resamples).
        self._counts = remember_last(count)

    def _bounded(self, low: float) -> Bounds:
        return Bounds(low, 1.0, (np.ones(self._rows, dtype=bool),))

    @property
    def adjusted_rand_index(self) -> Statistic:
        """Pairs of rows on which both agree, above what chance gives (Hubert and Arabie 1985); 1 where equal."""

        def evaluate(weights: Weights) -> np.ndarray:
            together, of_class, of_cluster = (_pairs(each).sum(axis=0) for each in self._counts(weights))
            chance = divide(of_class * of_cluster, _pairs(weights.sum(axis=0)), otherwise=0.0)
            return divide(together - chance, (of_class + of_cluster) / 2 - chance, otherwise=1.0)

        return Statistic(evaluate, self._bounded(-0.5))

    @property
    def normalized_mutual_information(self) -> Statistic:
        """Information that both share, as a part of the mean of their entropies; 1 where equal."""

        def evaluate(weights: Weights) -> np.ndarray:
            cells, classes, clusters = self._counts(weights)
            total = np.maximum(weights.sum(axis=0), 1)
            joint, first, second = (_entropy(each / total) for each in (cells, classes, clusters))
            return divide(np.maximum(first + second - joint, 0.0), (first + second) / 2, otherwise=1.0)

        return Statistic(evaluate, self._bounded(0.0))

    @property
    def matched_accuracy(self) -> Statistic:
        """Share of rows in the cluster that stands for their class, one cluster a class, matched as well as possible.

        The matching is computed for each resample (Kuhn 1955), as the literature on deep clustering has it.
        """

        def evaluate(weights: Weights) -> np.ndarray:
            table = np.zeros((weights.shape[1], *self._shape))
            table[:, self._class, self._cluster] = self._counts(weights)[0].T
            found = [each[linear_sum_assignment(each, maximize=True)].sum() for each in table]
            return divide(np.array(found), weights.sum(axis=0))

        return Statistic(evaluate, self._bounded(0.0))


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) / 2


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Return the entropy of each column of shares."""
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    total: np.ndarray = -(shares * logarithms).sum(axis=0)
    return total


def stability(cluster: np.ndarray, positions: np.ndarray) -> Statistic:
    """Adjusted Rand index of the clusters and of those that k-means moves to on the drawn rows, starting from them.

    It needs no labels, and is near 1 where the clusters do not depend on which rows happened to be there.

    Args:
        cluster: int (rows,), counted from 0.
        positions: float64 (rows, axes) in the space in which the clusters were found.
    """
    groups = int(cluster.max(initial=-1)) + 1
    of_group = group_sums(cluster, groups)
    own = np.bincount(cluster, minlength=groups)[:, np.newaxis]
    start = divide(of_group @ positions, np.broadcast_to(own, (groups, positions.shape[1])), otherwise=np.inf)
    start = start[own[:, 0] > 0]

    def evaluate(weights: Weights) -> np.ndarray:
        found = []
        for drawn in weights.T:
            centres, moved = start, cluster
            for _ in range(LLOYD_STEPS):
                moved = (((centres**2).sum(axis=1) / 2) - positions @ centres.T).argmin(axis=1)
                sums = group_sums(moved, len(centres))
                counts = (sums @ drawn)[:, np.newaxis]
                means = sums @ (positions * drawn[:, np.newaxis]) / np.maximum(counts, 1)
                centres = np.where(counts > 0, means, centres)
            found.append(Contingency(cluster, moved).adjusted_rand_index.evaluate(drawn[:, np.newaxis])[0])
        return np.array(found)

    return Statistic(evaluate, Bounds(-0.5, 1.0, (np.ones(len(cluster), dtype=bool),)), slow=True)
