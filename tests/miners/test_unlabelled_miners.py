"""Estimators of scikit-learn that learn from inputs alone: their predictions are what scikit-learn gives."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import DBSCAN, KMeans, MiniBatchKMeans, SpectralClustering
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor

from headframe.errors import ConfigurationError
from headframe.miners.base import estimator_model
from headframe.tasks.anomaly import Anomaly
from headframe.tasks.base import Task
from headframe.tasks.clustering import Clustering

INPUTS = np.random.default_rng(8).normal(size=(200, 2, 2)).astype(np.float32)  # two axes, which are laid out flat
FLAT = INPUTS.reshape(200, 4)


def unlabelled(task: Task) -> Task:
    task.fit(pa.table({}))
    return task


@pytest.fixture
def clustering() -> Task:
    return unlabelled(Clustering(primary_metric="silhouette"))


@pytest.fixture
def anomaly() -> Task:
    return unlabelled(Anomaly(primary_metric="flag_error", contamination=0.1))


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
def test_clusters_are_the_labels_of_scikit_learn(kind: Any, clustering: Task) -> None:
    model = estimator_model(kind(4, n_init=2, random_state=3), clustering)
    model.fit(INPUTS, {})
    expected = kind(4, n_init=2, random_state=3).fit(FLAT)
    found = model(INPUTS)
    assert found["cluster"].to_pylist() == expected.predict(FLAT).tolist()
    np.testing.assert_allclose(found["distance"], expected.transform(FLAT).min(axis=1), rtol=1e-5)


def test_scores_are_those_of_scikit_learn_turned_round_and_the_threshold_is_of_validation(anomaly: Task) -> None:
    model = estimator_model(IsolationForest(n_estimators=20, random_state=3), anomaly)
    model.fit(INPUTS[:100], {})
    model.calibrate(INPUTS[100:], {})
    expected = -IsolationForest(n_estimators=20, random_state=3).fit(FLAT[:100]).score_samples(FLAT)
    found = model(INPUTS)
    np.testing.assert_array_equal(found["score"], expected)
    assert found["anomaly"].to_pylist() == (expected > np.quantile(expected[100:], 0.9)).tolist()
    again = estimator_model(model.estimator, anomaly)
    again.restore(model.state())
    assert again(INPUTS).equals(found)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (DBSCAN(), "DBSCAN assigns no new rows to clusters; take one with predict, such as KMeans"),
        (SpectralClustering(), "SpectralClustering assigns no new rows to clusters"),
        (GaussianMixture(2), "GaussianMixture cannot be trained on this data: its clusters have no centres"),
    ],
)
def test_clusterers_without_centres_or_new_rows_are_refused(estimator: Any, words: str, clustering: Task) -> None:
    with pytest.raises(ConfigurationError, match=words):
        estimator_model(estimator, clustering).fit(INPUTS, {})


def test_a_detector_that_scores_no_new_rows_is_refused(anomaly: Task) -> None:
    with pytest.raises(ConfigurationError, match="LocalOutlierFactor scores no new rows; take a detector of outliers"):
        estimator_model(LocalOutlierFactor(), anomaly)
