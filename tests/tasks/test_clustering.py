"""Clusters: distances to centres and positions among them, measured with and without labels."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from headframe.errors import ConfigurationError
from headframe.tasks.clustering import Clustering, read_clusters


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, np.ndarray, KMeans]:
    draw = np.random.default_rng(4)
    label = draw.integers(0, 4, 300)
    points = 2 * draw.normal(size=(4, 6))[label] + draw.normal(size=(300, 6))
    return points, label, KMeans(5, n_init=3, random_state=0).fit(points)


@pytest.fixture(scope="module")
def task(clouds) -> Clustering:
    found = Clustering()
    found.fit(pa.table({"kind": clouds[1]}))
    return found


def predictions(task: Clustering, clouds) -> pa.Table:
    points, label, model = clouds
    table = task.truth(task.targets(pa.table({"kind": label})))
    for field, column in zip(task.prediction_schema, task.columns(points, model.cluster_centers_).columns, strict=True):
        table = table.append_column(field, column)
    return table


def test_clusters_and_distances_are_those_of_scikit_learn(task, clouds) -> None:
    points, _, model = clouds
    found, distances = task.columns(points, model.cluster_centers_), np.sort(model.transform(points), axis=1)
    assert found["cluster"].to_pylist() == model.predict(points).tolist()
    np.testing.assert_allclose(found["distance"], distances[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found["next_distance"], distances[:, 1], rtol=1e-12)
    assert found.schema == task.prediction_schema
    assert task.answer(found).column_names == ["cluster", "distance", "next_distance"]


def test_positions_keep_the_distances_between_centres(task, clouds) -> None:
    centres = clouds[2].cluster_centers_
    found = np.array(task.columns(centres, centres)["position"].to_pylist())
    assert found.shape == (5, 4)
    for one in range(5):
        np.testing.assert_allclose(
            np.linalg.norm(found - found[one], axis=1), np.linalg.norm(centres - centres[one], axis=1), atol=1e-12
        )


@pytest.mark.parametrize("lay_out", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_a_row_alone_is_in_the_same_place_as_among_others(lay_out, task, clouds) -> None:
    points, centres = lay_out(clouds[0]), clouds[2].cluster_centers_
    whole = task.columns(points, centres)
    assert task.columns(points[7:8], centres).equals(whole.slice(7, 1))


def test_metrics_are_those_of_scikit_learn_and_a_restored_task_measures_alike(task, clouds) -> None:
    table = predictions(task, clouds)
    cluster, silhouettes, _ = read_clusters(table)
    found = task.measure(table)
    assert found["ari"] == pytest.approx(adjusted_rand_score(clouds[1], cluster), abs=1e-12)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(clouds[1], cluster), abs=1e-12)
    assert found["silhouette"] == pytest.approx(silhouettes.mean())
    assert 0 < found["silhouette"] <= 1
    assert set(task.plots(table)) == {*task.captions} == {"map", "sizes", "labels"}
    again = Clustering()
    again.restore(task.state())
    assert again.measure(table) == found


def test_without_labels_silhouette_and_stability_decide(clouds) -> None:
    task = Clustering(primary_metric="silhouette")
    task.fit(pa.table({}))
    table = task.columns(clouds[0], clouds[2].cluster_centers_[:2])
    assert set(task.measure(table)) == {"silhouette", "stability"}
    assert set(task.plots(table)) == {"map", "sizes"}
    assert task.primary_metric in task.unlabelled_metrics


def test_one_cluster_is_refused(task) -> None:
    with pytest.raises(ConfigurationError, match="a clustering needs two clusters or more; raise their number"):
        task.columns(np.zeros((3, 2)), np.zeros((1, 2)))
