import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headframe.errors import DataError
from headframe.models.ensembles import Combiner, Mean, Stacking, Weighted

COMBINERS = [Mean, Weighted, Stacking]


def classes(rows: int = 400, seed: int = 0, number: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Give three members' probabilities, the last of which knows nothing, and the targets."""
    random = np.random.default_rng(seed)
    target = random.integers(0, number, rows)
    found = []
    for strength in (2.0, 1.5, 0.0):
        logits = random.normal(size=(rows, number)) + strength * np.eye(number)[target]
        found.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return np.stack(found), target


def specialists(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Give three members' probabilities, each of which knows another class best, and the targets."""
    random = np.random.default_rng(1)
    target = random.integers(0, 3, rows)
    found = []
    for member, others in enumerate((0.9, 0.6, 0.3)):
        strength = np.where(target == member, 3.0, others)[:, np.newaxis]
        logits = random.normal(size=(rows, 3)) + strength * np.eye(3)[target]
        found.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return np.stack(found), target


def values(rows: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Give three members' forecasts (rows, 4 steps, 2 variables of very different units), and the targets.

    The second member is better at the first variable, the first one at the second.
    """
    random = np.random.default_rng(seed)
    units = np.array([1.0, 1000.0])
    target = random.normal(size=(rows, 4, 2)) * units
    noise = np.array([[0.6, 0.4], [0.3, 0.5], [2.0, 2.0]])
    return np.stack([target + scale * units * random.normal(size=target.shape) for scale in noise]), target


def on_a_grid(error: object) -> tuple[float, tuple[float, ...]]:
    steps = [(a / 50, b / 50, 1 - (a + b) / 50) for a, b in itertools.product(range(51), repeat=2) if a + b <= 50]
    return min((error(np.array(step)), step) for step in steps)  # type: ignore[operator]


def test_the_mean_is_the_mean() -> None:
    scores, target = classes()
    mean = Mean()
    mean.fit(scores, target, probabilities=True)
    np.testing.assert_allclose(mean.combine(scores), sum(scores) / 3)


@pytest.mark.parametrize("draw", [classes, specialists])
def test_weights_for_classes_are_the_best_of_a_grid(draw: Callable[[], tuple[np.ndarray, np.ndarray]]) -> None:
    scores, target = draw()

    def error(weights: np.ndarray) -> float:
        return -np.log(np.tensordot(weights, scores, 1)[np.arange(len(target)), target]).mean()

    weighted = Weighted()
    weighted.fit(scores, target, probabilities=True)
    best, at = on_a_grid(error)
    assert error(np.array(weighted.weights_)) <= best + 1e-9
    np.testing.assert_allclose(weighted.weights_, at, atol=0.03)
    assert sum(weighted.weights_) == pytest.approx(1)
    assert min(weighted.weights_) >= 0
    np.testing.assert_allclose(weighted.combine(scores).sum(axis=1), 1)


def test_weights_for_values_are_the_best_of_a_grid_in_each_variables_own_unit() -> None:
    scores, target = values()
    spread = target.reshape(-1, 2).std(axis=0)

    def error(weights: np.ndarray) -> float:
        return (((np.tensordot(weights, scores, 1) - target) / spread) ** 2).mean()

    weighted = Weighted()
    weighted.fit(scores, target, probabilities=False)
    best, at = on_a_grid(error)
    assert error(np.array(weighted.weights_)) <= best + 1e-9
    np.testing.assert_allclose(weighted.weights_, at, atol=0.03)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_stacking_of_classes_is_scikit_learns_logistic_regression(number: int) -> None:
    scores, target = classes(number=number)
    stacking = Stacking(2.0)
    stacking.fit(scores, target, probabilities=True)
    flat = np.concatenate(list(np.log(scores)), axis=1)
    reference = LogisticRegression(C=0.5, max_iter=2000).fit(flat, target)
    np.testing.assert_allclose(stacking.combine(scores), reference.predict_proba(flat), atol=1e-9)


def test_stacking_of_values_solves_the_normal_equations() -> None:
    scores, target = values()
    stacking = Stacking(3.0)
    stacking.fit(scores, target, probabilities=False)
    for variable in range(2):
        mean = scores[..., variable].mean(axis=0).ravel()
        x = scores[..., variable].reshape(3, -1).T - mean[:, None]
        spread = x.std(axis=0)
        x = x / spread
        y = target[..., variable].ravel() - mean
        centred = x - x.mean(axis=0)
        solution = np.linalg.solve(centred.T @ centred + 3.0 * np.eye(3), centred.T @ (y - y.mean()))
        expected = mean + y.mean() + centred @ solution
        np.testing.assert_allclose(stacking.combine(scores)[..., variable].ravel(), expected, rtol=1e-6, atol=1e-6)


def test_strong_regularisation_comes_back_to_the_mean() -> None:
    scores, target = values()
    stacking = Stacking(1e12)
    stacking.fit(scores, target, probabilities=False)
    offset = (target - scores.mean(axis=0)).mean(axis=(0, 1))
    np.testing.assert_allclose(stacking.combine(scores), scores.mean(axis=0) + offset, rtol=1e-5, atol=1e-5)


def test_a_class_that_validation_rows_lack_gets_no_probability() -> None:
    scores, target = classes()
    stacking = Stacking()
    stacking.fit(scores[:, target != 1], target[target != 1], probabilities=True)
    combined = stacking.combine(scores)
    np.testing.assert_array_equal(combined[:, 1], 0)
    np.testing.assert_allclose(combined.sum(axis=1), 1)


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize("kind", ["classification", "regression", "forecasting"])
def test_members_together_beat_the_worst_and_state_restores_bitwise(combiner: type[Combiner], kind: str) -> None:
    probabilities = kind == "classification"
    scores, target = classes() if probabilities else values()
    if kind == "regression":
        scores, target = scores[:, :, 0, :1], target[:, 0, :1]
    fitted, again, restored = combiner(), combiner(), combiner()
    fitted.fit(scores, target, probabilities=probabilities)
    again.fit(scores.copy(), target.copy(), probabilities=probabilities)
    assert fitted.state() == again.state()
    restored.restore(json.loads(json.dumps(fitted.state())))
    combined = fitted.combine(scores)
    np.testing.assert_array_equal(restored.combine(scores), combined)
    np.testing.assert_array_equal(restored.combine(scores[:, :1]).shape, combined[:1].shape)

    def loss(predicted: np.ndarray) -> float:
        if kind == "classification":
            return -np.log(predicted[np.arange(len(target)), target]).mean()
        return ((predicted - target) ** 2).mean()

    assert loss(combined) < max(map(loss, scores))


@pytest.mark.parametrize("combiner", COMBINERS)
def test_what_does_not_fit_is_refused(combiner: type[Combiner]) -> None:
    scores, target = classes()
    with pytest.raises(DataError, match="do not fit"):
        combiner().fit(scores, target[:-1], probabilities=True)
    scores[1, 3, 0] = np.nan
    with pytest.raises(DataError, match="member 1 of the ensemble"):
        combiner().fit(scores, target, probabilities=True)


def test_stacking_needs_two_classes() -> None:
    scores, target = classes()
    with pytest.raises(DataError, match="all validation rows are of one class"):
        Stacking().fit(scores, target * 0, probabilities=True)
