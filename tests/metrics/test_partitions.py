"""Metrics of partitions against scikit-learn on the rows themselves, drawn as often."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn import metrics as reference
from sklearn.cluster import KMeans

from headframe.evaluation.intervals import Resampling, draw_counts
from headframe.metrics.partitions import Contingency, stability
from headframe.metrics.statistics import values_of

ROWS = 240


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return next(draw_counts(np.arange(ROWS), Resampling(0.95, 25, 3)))


def partitions() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    target = draw.integers(0, 4, ROWS)
    return target, np.where(draw.random(ROWS) < 0.7, (target + 1) % 4, draw.integers(0, 6, ROWS))


def matched(target: np.ndarray, cluster: np.ndarray) -> float:
    table = reference.cluster.contingency_matrix(target, cluster)
    return table[linear_sum_assignment(table, maximize=True)].sum() / len(target)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("adjusted_rand_index", reference.adjusted_rand_score),
        ("normalized_mutual_information", reference.normalized_mutual_info_score),
        ("matched_accuracy", matched),
    ],
)
def test_agreement_is_that_of_the_drawn_rows(name, function, weights) -> None:
    target, cluster = partitions()
    drawn = [np.repeat(np.arange(ROWS), count.astype(int)) for count in weights.T]
    expected = [function(target[rows], cluster[rows]) for rows in drawn]
    found = getattr(Contingency(target, cluster), name).evaluate(weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["adjusted_rand_index", "normalized_mutual_information", "matched_accuracy"])
@pytest.mark.parametrize(
    ("target", "cluster", "expected"),
    [
        ([0, 0, 1, 2], [2, 2, 0, 1], (1, 1, 1)),  # other names, same partition
        ([0, 0, 0], [0, 0, 0], (1, 1, 1)),
        ([0, 1, 0, 1], [0, 0, 0, 0], (0, 0, 0.5)),
        ([0, 0, 1, 1], [0, 1, 0, 1], (-0.5, 0, 0.5)),
        ([0], [3], (1, 1, 1)),
    ],
)
def test_small_partitions_have_the_values_that_scikit_learn_gives(name, target, cluster, expected) -> None:
    order = ["adjusted_rand_index", "normalized_mutual_information", "matched_accuracy"].index(name)
    found = values_of({name: getattr(Contingency(np.array(target), np.array(cluster)), name)}, len(target))
    assert found[name] == pytest.approx(expected[order], abs=1e-12)


def test_stability_is_the_agreement_with_k_means_of_the_drawn_rows_and_near_one_for_clear_groups(weights) -> None:
    draw = np.random.default_rng(0)
    middles = np.array([[0.0, 0], [6, 0], [0, 6]])
    cluster = draw.integers(0, 3, ROWS)
    clear = middles[cluster] + draw.normal(size=(ROWS, 2))
    assert stability(cluster, clear).evaluate(weights).min() > 0.95
    arbitrary = stability(cluster, draw.normal(size=(ROWS, 2))).evaluate(weights)
    assert arbitrary.max() < 0.3

    # One resample by scikit-learn: as many Lloyd steps from the same start.
    cloud = draw.normal(size=(ROWS, 2)) + middles[cluster] / 4
    start = np.stack([cloud[cluster == one].mean(axis=0) for one in range(3)])
    model = KMeans(3, init=start, n_init=1, max_iter=4, tol=0, algorithm="lloyd").fit(
        cloud, sample_weight=weights[:, 0]
    )
    rows = np.repeat(np.arange(ROWS), weights[:, 0].astype(int))
    expected = reference.adjusted_rand_score(cluster[rows], model.predict(cloud)[rows])
    assert stability(cluster, cloud).evaluate(weights[:, :1]) == pytest.approx([expected], abs=1e-12)


def test_a_cluster_without_rows_has_no_part_in_stability() -> None:
    cluster = np.array([0, 0, 2, 2])
    positions = np.array([[0.0], [0.1], [5.0], [5.1]])
    assert stability(cluster, positions).evaluate(np.ones((4, 1))) == pytest.approx([1.0])
