"""What the intervals of metrics rest on: which rows are hits among which, and between which bounds a metric lies."""

import numpy as np
import pytest

from headframe.metrics import statistics
from headframe.metrics.rankings import mean_areas
from headframe.metrics.statistics import SMALLEST, Bounds, Confusion, MeanProportion, mean

TARGET = np.array([0, 0, 0, 1, 1, 2, 2, 2])
GUESS = np.array([0, 0, 1, 1, 2, 2, 0, 2])
CLASSES = 3


def basis(statistic: statistics.Statistic) -> MeanProportion:
    assert isinstance(statistic.basis, MeanProportion)
    return statistic.basis


@pytest.mark.parametrize("number", range(CLASSES))
def test_recall_precision_and_f1_are_shares_of_their_rows(number: int) -> None:
    confusion = Confusion(TARGET, GUESS, CLASSES)
    hits = [truth == guess == number for truth, guess in zip(TARGET, GUESS, strict=True)]
    among = {
        "recall": [truth == number for truth in TARGET],
        "precision": [guess == number for guess in GUESS],
        "f1": [number in (truth, guess) for truth, guess in zip(TARGET, GUESS, strict=True)],
    }
    for name, rows in among.items():
        found = basis(getattr(confusion, name)(number))
        [part] = found.parts
        assert part.among.tolist() == rows, name
        assert part.hits.tolist() == hits, name
        share = sum(hits) / sum(rows)
        value = getattr(confusion, name)(number).evaluate(np.ones((8, 1)))[0]
        assert found.transform(share) == pytest.approx(value), name
        assert found.together == 1


def test_averages_over_classes_rest_on_those_that_occur() -> None:
    target, guess = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    confusion = Confusion(target, guess, 4)
    recalls, f1s = basis(confusion.balanced_accuracy), basis(confusion.macro_f1)
    assert [part.among.tolist() for part in recalls.parts] == [(target == number).tolist() for number in (0, 1)]
    assert (recalls.together, f1s.together) == (1, 2)
    either = [((target == number) | (guess == number)).tolist() for number in (0, 1, 2)]
    assert [part.among.tolist() for part in f1s.parts] == either
    one = Confusion(np.zeros(3, dtype=int), np.zeros(3, dtype=int), 2)
    assert basis(one.macro_f1).together == 1, "one class cannot err together with another"


def test_accuracy_is_a_share_of_all_rows() -> None:
    [part] = basis(statistics.accuracy(TARGET == GUESS)).parts
    assert part.hits.tolist() == (TARGET == GUESS).tolist()
    assert part.among.all()


def test_bounds_are_those_of_the_definition_and_count_the_rows_that_matter() -> None:
    areas = mean_areas(TARGET, np.linspace([0, 1, 2], [1, 3, 0], 8), [0])
    scores = np.full((8, 3), 1 / 3)
    for found, low, high, rows in (
        (areas["roc_auc"], 0.0, 1.0, [3, 5]),
        (areas["average_precision"], 0.0, 1.0, [3]),
        (statistics.brier(TARGET, scores), 0.0, 2.0, [8]),
        (statistics.brier(TARGET[:5], scores[:5, :2]), 0.0, 1.0, [5]),
        (statistics.log_loss(TARGET, scores), 0.0, -np.log(SMALLEST), [8]),
    ):
        assert isinstance(found.basis, Bounds)
        assert (found.basis.low, found.basis.high) == pytest.approx((low, high))
        assert [int(mask.sum()) for mask in found.basis.over] == rows


def test_a_loss_of_a_certain_and_wrong_row_is_finite() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    for target, loss in ((np.array([0, 1]), 0.0), (np.array([1, 0]), -np.log(SMALLEST))):
        assert statistics.log_loss(target, certain).evaluate(np.ones((2, 1)))[0] == pytest.approx(loss)


@pytest.mark.parametrize("shape", [(5,), (5, 2, 3)])
def test_means_weigh_rows_as_often_as_they_were_drawn(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    whole = mean(values)
    for weights in (
        np.ones((5, 1)), np.ones((5, 3)), np.array([[2.0, 0.0, 1.0, 1.0, 1.0]]).T,
        np.array([[2.0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).T,
    ):  # fmt: skip
        expected = [values[np.repeat(np.arange(5), column.astype(int))].mean() for column in weights.T]
        found = whole.evaluate(weights)
        assert found.shape == (weights.shape[1],)
        assert found == pytest.approx(expected)
    assert np.isnan(whole.evaluate(np.zeros((5, 1)))).all()
