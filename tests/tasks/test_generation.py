"""Generated images: what they are measured by, and what is learned to measure them."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from headframe.errors import ConfigurationError, DataError
from headframe.metrics import samples
from headframe.tasks.base import with_truth
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.image_mixture import ImageMixture
from headframe.tasks.classification import Classification
from headframe.tasks.generation import IMAGES, Generation
from headframe.tasks.image_features import ImageFeatures

ROWS, SHAPE = 240, (6, 5, 1)


def drawn(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Images of three kinds, a bright row at another height each, and their labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, rows)
    images = random.integers(0, 60, (rows, *SHAPE))
    images[np.arange(rows), 2 * labels] += 150
    return images.astype(np.uint8), labels


def table(images: np.ndarray, labels: np.ndarray) -> pa.Table:
    return pa.table({"photo": pa.FixedShapeTensorArray.from_numpy_ndarray(images), "kind": labels})


@pytest.fixture(scope="module")
def task() -> Generation:
    made = Generation(labels="kind", references=100, features=4)
    made.fit(table(*drawn(1)))
    return made


def measured(task: Generation, real: np.ndarray, generated: np.ndarray) -> pa.Table:
    return with_truth(task.truth({IMAGES: real}), task.ideal({IMAGES: generated}))


def distance(real: np.ndarray, generated: np.ndarray) -> float:
    """The formula of the paper, without any of our own code."""
    (mean, covariance), (other_mean, other) = ((each.mean(axis=0), np.cov(each.T)) for each in (real, generated))
    root = sqrtm(covariance @ other)
    return float(((mean - other_mean) ** 2).sum() + np.trace(covariance + other - 2 * np.real(root)))


@pytest.mark.parametrize("features", [2, 7])
def test_fid_is_that_of_the_formula_on_all_rows_and_on_drawn_ones(features: int) -> None:
    random = np.random.default_rng(2)
    real = random.normal(3, 1, (50, features))
    generated = random.normal(3, 2, (50, features)) @ random.normal(size=(features, features))
    statistic = samples.frechet_distance(samples.moments(real), samples.moments(generated))
    weights = np.column_stack([np.ones(50), random.multinomial(50, np.full(50, 0.02), 6).T]).astype(float)
    rows = [np.repeat(np.arange(50), column.astype(int)) for column in weights.T]
    expected = [distance(real[each], generated[each]) for each in rows]
    assert statistic.evaluate(weights) == pytest.approx(expected, rel=1e-6)
    assert statistic.evaluate(weights[:, :1]) == pytest.approx(expected[:1], rel=1e-6)
    assert np.isnan(samples.frechet_distance(*[samples.moments(real[:1])] * 2).evaluate(np.ones((1, 2)))).all()


def test_the_number_of_threads_changes_no_bit() -> None:
    random = np.random.default_rng(4)
    features = ImageFeatures(32)
    sizes = (784, 64, 32)
    features.layers = [
        (random.normal(size=(before, after)).astype(np.float32), random.normal(size=after).astype(np.float32))
        for before, after in pairwise(sizes)
    ]
    images = random.integers(0, 256, (2000, 28, 28, 1))
    weights = random.multinomial(2000, np.full(2000, 1 / 2000), 25).T.astype(float)
    flat = images.reshape(2000, -1).astype(np.float32)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            computed = features(images)
            mean, covariance = samples.moments(computed)(weights)
            fid = samples.frechet_distance(samples.moments(computed), samples.moments(computed[::-1]))
            found.append(
                (computed, mean, covariance, fid.evaluate(weights), *samples.nearest_rows(flat, flat[::2] + 1))
            )
    for one, other in zip(*found, strict=True):
        assert (one == other).all()


def test_precision_and_coverage_are_shares_of_rows_near_real_ones() -> None:
    random = np.random.default_rng(3)
    real, generated = random.normal(size=(60, 3)), random.normal(1.5, 1.5, (60, 3))
    radius = np.sort(cdist(real, real), axis=1)[:, 5]
    near = cdist(generated, real) <= radius
    found = samples.precision_and_coverage(real, generated)
    weights = random.multinomial(60, np.full(60, 1 / 60), 4).T.astype(float)
    for name, hits in (("precision", near.any(axis=1)), ("coverage", near.any(axis=0))):
        assert 0.1 < hits.mean() < 0.9
        assert found[name].evaluate(np.ones((60, 1))) == pytest.approx(hits.mean())
        assert found[name].evaluate(weights) == pytest.approx(hits @ weights / 60)


def test_the_features_are_the_last_hidden_layer_of_the_classifier() -> None:
    images, labels = drawn(1)
    found = ImageFeatures(4)
    found.fit(images, labels)
    flat = (images.reshape(ROWS, -1) / 255).astype(np.float32)
    with pytest.warns(ConvergenceWarning):
        model = MLPClassifier((64, 4), max_iter=12, random_state=17).fit(flat, labels)
    hidden = np.maximum(flat @ model.coefs_[0] + model.intercepts_[0], 0)
    hidden = np.maximum(hidden @ model.coefs_[1] + model.intercepts_[1], 0)
    assert found(images) == pytest.approx(hidden / np.sqrt(hidden.var(axis=0).mean()), rel=1e-4, abs=1e-5)
    assert found(images).var(axis=0).mean() == pytest.approx(1)


def test_features_are_learned_from_some_images_with_their_labels_and_others_are_kept(task: Generation) -> None:
    images, labels = drawn(1)
    chosen = np.random.default_rng(17).permutation(ROWS)[:200]
    expected = ImageFeatures(4)
    expected.fit(images[chosen[::2]], labels[chosen[::2]])
    assert (task.features_(images) == expected(images)).all()
    assert (task.images_ == images[chosen[1::2]]).all()


def test_real_images_are_perfect_and_others_are_worse_the_less_they_resemble_them(task: Generation) -> None:
    real, _ = drawn(5)
    found = {
        "real": task.measure(measured(task, real, real)),
        "others": task.measure(measured(task, real, drawn(6)[0])),
        "dark": task.measure(measured(task, real, real // 3)),
        "noise": task.measure(measured(task, real, np.random.default_rng(7).permuted(real, axis=1))),
    }
    assert found["real"]["fid"] == pytest.approx(0, abs=1e-9)
    assert (found["real"]["precision"], found["real"]["coverage"], found["real"]["nearest_ratio"]) == (1, 1, 1)
    assert found["others"]["fid"] < 0.2 < found["dark"]["fid"]
    assert found["others"]["fid"] < found["noise"]["fid"]
    assert found["others"]["training_fid"] == pytest.approx(found["others"]["fid"], abs=0.2)
    assert found["others"]["copies"] < 0.1


def test_copies_of_training_images_are_found(task: Generation) -> None:
    real, _ = drawn(5)
    copied = drawn(1)[0]
    found = task.measure(measured(task, real, copied))
    # Of 240 training images 200 were drawn, and every other one of these was kept.
    assert found["copies"] > 100 / 240
    assert found["nearest_ratio"] < 0.7
    distances, which = task.nearest(copied)
    flat, kept = copied.reshape(ROWS, -1) / 255, task.images_.reshape(100, -1) / 255
    assert distances == pytest.approx(cdist(flat, kept).min(axis=1), abs=5e-3)
    assert (task.images_[which[distances < 0.01]] == copied[distances < 0.01]).all()
    assert (distances < 0.01).sum() == 100


def test_what_it_learns_is_the_same_after_json_and_bit_for_bit_when_it_is_fitted_again(task: Generation) -> None:
    again, fresh = (Generation(labels="kind", references=100, features=4) for _ in range(2))
    again.fit(table(*drawn(1)))
    assert json.dumps(again.state()) == json.dumps(task.state())
    fresh.restore(json.loads(json.dumps(task.state())))
    predictions = measured(task, drawn(5)[0], drawn(6)[0])
    assert fresh.measure(predictions) == task.measure(predictions)
    assert fresh.prediction_schema == task.prediction_schema
    assert (fresh.outputs, fresh.shape) == ((1, 6, 5), SHAPE)


def test_predictions_hold_levels_of_images_with_channels_last(task: Generation) -> None:
    images = np.random.default_rng(1).random((3, 1, 6, 5)).astype(np.float32)
    found = task.columns(images)
    assert found.schema == task.prediction_schema
    assert found["image"].combine_chunks().to_numpy_ndarray() == pytest.approx(255 * images.transpose(0, 2, 3, 1))
    assert task.columns(images[:0]).schema == task.prediction_schema
    assert set(task.plots(measured(task, drawn(5)[0], drawn(6)[0]))) == set(task.captions)


def test_data_without_labels_or_images_are_refused_in_a_sentence() -> None:
    task = Generation(labels="kind")
    for target, inputs in ((None, ["seed", "kind"]), ("photo", ["seed"])):
        with pytest.raises(ConfigurationError, match=r"task\.labels=kind is none of the inputs, which are .*seed"):
            task.target_columns(inputs, target)
    images, labels = drawn(1)
    with pytest.raises(DataError, match="column 'kind' has one value in training rows"):
        task.fit(table(images, np.zeros_like(labels)))
    with pytest.raises(DataError, match="column 'photo' holds int64, but images were expected: uint8 tensors"):
        task.fit(pa.table({"photo": [1, 2], "kind": [1, 2]}))


class Rows:
    """What a baseline reads of a table."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def read(self, columns: list[str]) -> pa.Table:
        return self.rows.select(columns)


def test_the_baseline_draws_images_that_resemble_training_images_more_than_noise_does(task: Generation) -> None:
    from types import SimpleNamespace

    rows = table(*drawn(1))
    dataset = SimpleNamespace(inputs=("kind",), target="photo")
    data = BaselineData(task, dataset, Rows(rows), np.arange(120))
    vars(data)["training"] = np.arange(ROWS) >= 40
    found = ImageMixture().predictions(data)
    assert found.schema == task.prediction_schema
    assert found.num_rows == 120
    real = drawn(5, 120)[0]
    drawn_fid = task.measure(with_truth(task.truth({IMAGES: real}), found), ["fid"])["fid"]
    shuffled = np.random.default_rng(7).permuted(real, axis=1)
    assert drawn_fid < task.measure(measured(task, real, shuffled), ["fid"])["fid"] / 3
    assert ImageMixture().predictions(data).equals(found)
    other = BaselineData(Classification(), dataset, Rows(rows), np.arange(3))
    with pytest.raises(ConfigurationError, match="task classification names a baseline that generates images"):
        ImageMixture().predictions(other)
