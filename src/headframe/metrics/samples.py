"""How much generated examples resemble real ones, from features of both."""

from collections.abc import Callable
from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits

from headframe.metrics.statistics import Bounds, Statistic, Weights, divide, remember_last

_NEIGHBOURS = 5
_BLOCK = 1000  # rows whose distances are held at once

Moments = Callable[[Weights], tuple[np.ndarray, np.ndarray]]
"""Returns means (resamples, features) and covariances (resamples, features, features) of drawn rows."""


def moments(features: np.ndarray) -> Moments:
    """Return the moments of features (rows, features) as a function of draw counts; one row has no covariance."""
    centre = features.mean(axis=0)
    centred = features - centre
    first, second = np.triu_indices(features.shape[1])
    products = centred[:, first] * centred[:, second]

    def drawn(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        total = weights.sum(axis=0)
        with threadpool_limits(1):  # the number of threads would change the bits, here and below
            mean = (centred.T @ weights) / total
            sums = products.T @ weights - total * mean[first] * mean[second]
        covariance = np.empty((weights.shape[1], len(centre), len(centre)))
        covariance[:, first, second] = covariance[:, second, first] = divide(sums, total - 1).T
        return mean.T + centre, covariance

    return remember_last(drawn)


def frechet_distance(real: Moments, generated: Moments) -> Statistic:
    """Squared Fréchet distance of normal distributions with these moments (Heusel et al. 2017, arXiv:1706.08500)."""

    def evaluate(weights: Weights) -> np.ndarray:
        if weights.shape[0] == 1:
            return np.full(weights.shape[1], np.nan)
        with threadpool_limits(1):  # more threads take six times as long for matrices so small
            (mean, covariance), (other_mean, other) = real(weights), generated(weights)
            values, vectors = np.linalg.eigh(covariance)
            root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, np.newaxis]) @ vectors.transpose(0, 2, 1)
            # The trace of the root of both covariances' product, whose eigenvalues are those of a symmetric matrix.
            shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0.0)).sum(axis=1)
        spread = np.trace(covariance, axis1=1, axis2=2) + np.trace(other, axis1=1, axis2=2)
        distance: np.ndarray = ((mean - other_mean) ** 2).sum(axis=1) + spread - 2 * shared
        return np.maximum(distance, 0.0)  # equal rows differ by rounding

    return Statistic(evaluate)


def constant_moments(features: np.ndarray) -> Moments:
    """Return moments of features that are not resampled."""
    mean, covariance = moments(features)(np.ones((len(features), 1)))
    return lambda weights: (
        np.repeat(mean, weights.shape[1], axis=0),
        np.repeat(covariance, weights.shape[1], axis=0),
    )


def precision_and_coverage(real: np.ndarray, generated: np.ndarray) -> dict[str, Statistic]:
    """Return which share of generated rows lies among real ones, and of real ones has generated ones near it.

    Near a real row is what is no farther from it than its fifth neighbour among the real rows (Kynkäänniemi et al.
    2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797). Resamples count rows; neighbours stay those of all.

    Args:
        real: features (rows, features).
        generated: of as many rows.
    """

    @cache
    def hits() -> tuple[np.ndarray, np.ndarray]:
        nth = min(_NEIGHBOURS, len(real) - 1)
        blocks = range(0, len(real), _BLOCK)
        radius = [np.partition(_squares(real[at : at + _BLOCK], real), nth, axis=1)[:, nth] for at in blocks]
        near = np.concatenate(radius)
        among, covered = [], np.zeros(len(real), dtype=bool)
        for start in blocks:
            within = _squares(generated[start : start + _BLOCK], real) <= near
            among.append(within.any(axis=1))
            covered |= within.any(axis=0)
        return np.concatenate(among).astype(np.float64), covered.astype(np.float64)

    return {
        "precision": _share(lambda: hits()[0], len(real)),
        "coverage": _share(lambda: hits()[1], len(real)),
    }


def _share(hits: Callable[[], np.ndarray], rows: int) -> Statistic:
    """Return the share of rows that are hits, which are computed when they are asked for."""
    bounds = Bounds(0.0, 1.0, (np.ones(rows, dtype=bool),))
    return Statistic(lambda weights: divide(hits() @ weights, weights.sum(axis=0)), bounds)


def nearness(distances: Callable[[], tuple[np.ndarray, np.ndarray]], rows: int, share: float) -> dict[str, Statistic]:
    """Return how near generated rows are to training rows, beside how near real rows that are none of them are.

    Args:
        distances: returns those of real and of generated rows to the nearest training row, each (rows,).
        rows: how many there are of both.
        share: of real rows; what is nearer than so many of them counts as a copy.
    """

    def ratio(weights: Weights) -> np.ndarray:
        real, generated = distances()
        return divide(generated @ weights, real @ weights)

    def copied() -> np.ndarray:
        real, generated = distances()
        copies: np.ndarray = (generated < np.quantile(real, share)).astype(np.float64)
        return copies

    return {"nearest_ratio": Statistic(ratio), "copies": _share(cache(copied), rows)}


def nearest_rows(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each row (rows, values) to the nearest of others, and which that is; in blocks of rows."""
    found, which = [], []
    for start in range(0, len(rows), _BLOCK):
        distances = _squares(rows[start : start + _BLOCK], others)
        number = distances.argmin(axis=1)
        found.append(np.take_along_axis(distances, number[:, np.newaxis], axis=1)[:, 0])
        which.append(number)
    return np.sqrt(np.concatenate(found)), np.concatenate(which)


def _squares(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the squared distances (rows, others) of rows from others, each (..., values)."""
    lengths = np.einsum("ij,ij->i", rows, rows)[:, np.newaxis] + np.einsum("ij,ij->i", others, others)
    with threadpool_limits(1):
        return np.maximum(lengths - 2 * (rows @ others.T), 0.0)
