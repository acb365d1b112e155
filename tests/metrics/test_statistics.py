"""Statistics of draw counts against scikit-learn on the rows themselves, drawn as often."""

import tracemalloc
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn import metrics as reference

from headframe.evaluation.intervals import Resampling, draw_counts
from headframe.metrics import statistics
from headframe.metrics.rankings import mean_areas

ROWS, CLASSES = 300, 4


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return next(draw_counts(np.arange(ROWS), Resampling(0.95, 20, 3)))


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    target = draw.integers(0, CLASSES, ROWS)
    prediction = np.where(draw.random(ROWS) < 0.6, target, draw.integers(0, CLASSES, ROWS))
    return {
        "target": target,
        "prediction": prediction,
        "value": draw.normal(size=ROWS) + 5,
        "guess": draw.normal(size=ROWS) + 5,
        "positive": target == 1,
        "score": np.round(draw.random(ROWS) + 0.3 * (target == 1), 1),  # many ties
    }


def each(function, weights: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Call a reference on every resample, written out row by row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's remark on classes that a resample lacks
        return np.array([function(*(np.repeat(one, count.astype(int)) for one in columns)) for count in weights.T])


def area(name: str, positive: np.ndarray, score: np.ndarray) -> statistics.Statistic:
    return mean_areas(positive.astype(int), np.stack([-score, score], axis=1), [1])[name]


@pytest.mark.parametrize(
    ("statistic", "function", "columns"),
    [
        (lambda r: statistics.mean(r["value"]), np.mean, ["value"]),
        (
            lambda r: statistics.accuracy(r["target"] == r["prediction"]),
            reference.accuracy_score,
            ["target", "prediction"],
        ),
        (
            lambda r: statistics.root_mean((r["value"] - r["guess"]) ** 2),
            reference.root_mean_squared_error,
            ["value", "guess"],
        ),
        (lambda r: statistics.r2(r["value"], r["guess"]), reference.r2_score, ["value", "guess"]),
        (
            lambda r: area("roc_auc", r["positive"], r["score"]),
            reference.roc_auc_score,
            ["positive", "score"],
        ),
        (
            lambda r: area("average_precision", r["positive"], r["score"]),
            reference.average_precision_score,
            ["positive", "score"],
        ),
    ],
    ids=["mean", "accuracy", "root_mean", "r2", "roc_auc", "average_precision"],
)
def test_a_statistic_of_draw_counts_is_the_metric_of_the_drawn_rows(statistic, function, columns, rows, weights):
    expected = each(function, weights, *(rows[name] for name in columns))
    np.testing.assert_allclose(statistic(rows).evaluate(weights), expected, rtol=1e-12)


def test_confusion_statistics_are_those_of_scikit_learn(rows, weights):
    columns = rows["target"], rows["prediction"]
    confusion = statistics.Confusion(*columns, CLASSES)
    made = [confusion.macro_f1, confusion.balanced_accuracy]
    for number in range(CLASSES):
        made += [confusion.f1(number), confusion.recall(number), confusion.precision(number)]
    found = [one.evaluate(weights) for one in made]
    expected = [
        each(lambda t, p: reference.f1_score(t, p, average="macro"), weights, *columns),
        each(reference.balanced_accuracy_score, weights, *columns),
    ]
    for number in range(CLASSES):
        expected += [
            each(lambda t, p, s=score, n=number: s(t, p, labels=[n], average="macro"), weights, *columns)
            for score in (reference.f1_score, reference.recall_score, reference.precision_score)
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("classes", [3, 60])
def test_areas_are_those_of_scikit_learn_for_few_and_for_many_classes(classes: int):
    """Of many classes with few rows each, rows are counted for each row, and not for each class."""
    generator = np.random.default_rng(4)
    target = np.concatenate([np.arange(classes), generator.integers(0, classes, 90)])
    scores = generator.integers(0, 9, (len(target), classes)) + 3.0 * (target[:, np.newaxis] == np.arange(classes))
    found = mean_areas(target, scores, range(classes))
    drawn = generator.integers(0, 3, (len(target), 5)).astype(float)
    for weights in (np.ones((len(target), 1)), drawn):
        for name, function in (
            ("roc_auc", reference.roc_auc_score),
            ("average_precision", reference.average_precision_score),
        ):
            expected = [
                np.mean(
                    [
                        function(target == one, scores[:, one], sample_weight=counts)
                        for one in range(classes)
                        if counts[target == one].any()
                    ]
                )
                for counts in weights.T
            ]
            np.testing.assert_allclose(found[name].evaluate(weights), expected, rtol=1e-12)


def test_many_classes_take_no_memory_of_rows_times_classes_times_resamples():
    """Counts of all classes at once would be 2 GB here."""
    classes = 300
    target = np.tile(np.arange(classes), 2)
    areas = mean_areas(target, np.eye(classes)[target], range(classes))
    weights = np.ones((len(target), 400))
    tracemalloc.start()
    assert areas["roc_auc"].evaluate(weights).tolist() == areas["average_precision"].evaluate(weights).tolist()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6, f"{peak / 1e6:.0f} MB"


def test_a_class_that_a_resample_lacks_is_left_out_of_averages():
    target, prediction = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    counts = np.array([[1.0, 1.0, 0.0, 0.0]]).T
    assert statistics.Confusion(target, prediction, 2).balanced_accuracy.evaluate(counts) == [0.5]
    assert np.isnan(area("roc_auc", target == 1, np.array([0.1, 0.2, 0.8, 0.9])).evaluate(counts)).all()


def test_a_metric_without_a_formula_is_computed_on_each_resample_as_a_table(rows, weights):
    table = pa.table({"value": rows["value"], "guess": rows["guess"]})
    statistic = statistics.from_table(lambda drawn: pc.max(pc.subtract(drawn["value"], drawn["guess"])).as_py(), table)
    expected = each(lambda value, guess: (value - guess).max(), weights, rows["value"], rows["guess"])
    np.testing.assert_array_equal(statistic.evaluate(weights), expected)
    assert statistic.slow


def test_the_mean_of_the_rows_themselves_is_rounded_as_numpy_rounds_it():
    values = np.random.default_rng(8).normal(size=10_007) * 1e3
    assert statistics.values_of({"mean": statistics.mean(values)}, len(values)) == {"mean": values.mean()}


def test_what_counts_nothing_in_a_resample_is_zero_alone_and_left_out_of_averages(rows):
    target, prediction = np.append(rows["target"], CLASSES), np.append(rows["prediction"], CLASSES)
    confusion = statistics.Confusion(target, prediction, CLASSES + 1)
    weights = np.ones((ROWS + 1, 2))
    weights[-1, 1] = 0  # the second resample lacks the last class
    for name in ("recall", "precision", "f1"):
        assert getattr(confusion, name)(CLASSES).evaluate(weights).tolist() == [1.0, 0.0]
    expected = [reference.f1_score(target[count > 0], prediction[count > 0], average="macro") for count in weights.T]
    np.testing.assert_allclose(confusion.macro_f1.evaluate(weights), expected, rtol=1e-12)


@pytest.mark.parametrize(("classes", "rows", "slow"), [(101, 10_000, False), (101, 10_001, True), (100, 10_001, False)])
def test_areas_of_many_classes_with_many_rows_are_slow(classes: int, rows: int, slow: bool):
    areas = mean_areas(np.arange(rows) % classes, np.broadcast_to(np.eye(classes)[0], (rows, classes)), range(classes))
    assert {statistic.slow for statistic in areas.values()} == {slow}
