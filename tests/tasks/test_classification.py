import json
from typing import get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as reference
from sklearn.utils.class_weight import compute_class_weight
from torchmetrics.functional.classification import multiclass_calibration_error

from headframe.errors import DataError
from headframe.tasks.classification import Classification


def fitted(labels: list, **settings: object) -> Classification:
    task = Classification(**settings)  # type: ignore[arg-type]
    task.fit(pa.table({"y": labels}))
    return task


def noisy(classes: int, rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and probabilities that are higher for them, rounded so that ties occur."""
    random = np.random.default_rng(seed)
    target = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[target]
    scores = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 2) + 1e-3
    return target, scores / scores.sum(axis=1, keepdims=True)


def test_binary_metrics_agree_with_scikit_learn() -> None:
    task = fitted(["ham", "spam"])
    target, scores = noisy(2)
    found = task.measure(task.predictions(scores, target))
    guess, positive = scores.argmax(axis=1), scores[:, 1]
    expected = {
        "accuracy": reference.accuracy_score(target, guess),
        "balanced_accuracy": reference.balanced_accuracy_score(target, guess),
        "macro_f1": reference.f1_score(target, guess, average="macro"),
        "precision": reference.precision_score(target, guess),
        "recall": reference.recall_score(target, guess),
        "f1": reference.f1_score(target, guess),
        "roc_auc": reference.roc_auc_score(target, positive),
        "average_precision": reference.average_precision_score(target, positive),
        "log_loss": reference.log_loss(target, scores),
        "brier": reference.brier_score_loss(target, positive),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found.keys() == expected.keys() | {"calibration_error"}


def test_metrics_of_many_classes_agree_with_scikit_learn() -> None:
    task = fitted([3, 1, 2, 7, 7])
    target, scores = noisy(4)
    found = task.measure(task.predictions(scores, target))
    guess = scores.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(target, guess),
        "balanced_accuracy": reference.balanced_accuracy_score(target, guess),
        "macro_f1": reference.f1_score(target, guess, average="macro"),
        "roc_auc": reference.roc_auc_score(target, scores, multi_class="ovr", average="macro"),
        "average_precision": reference.average_precision_score(np.eye(4)[target], scores, average="macro"),
        "log_loss": reference.log_loss(target, scores),
        "brier": reference.brier_score_loss(target, scores),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found.keys() == expected.keys() | {"calibration_error"}


def test_calibration_error_agrees_with_torchmetrics() -> None:
    task = fitted(["a", "b", "c"])
    random = np.random.default_rng(1)
    scores = random.dirichlet(np.ones(3), 500)
    target = random.integers(0, 3, 500)
    expected = multiclass_calibration_error(torch.from_numpy(scores), torch.from_numpy(target), 3, n_bins=15)
    assert task.measure(task.predictions(scores, target))["calibration_error"] == pytest.approx(
        float(expected), abs=1e-6
    )


def test_what_rows_do_not_define_is_left_out() -> None:
    task = fitted([0, 1])
    found = task.measure(task.predictions(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])))
    assert "roc_auc" not in found
    assert found["accuracy"] == 0.5
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("labels", "kind"), [([10, 2, 10], pa.int64()), (["猫", "b", "猫"], pa.string()), ([True, False, True], pa.bool_())]
)
def test_labels_keep_their_type_and_stand_in_order(labels: list, kind: pa.DataType) -> None:
    task = fitted(labels)
    table = task.predictions(np.array([[0.8, 0.2], [0.3, 0.7]]), task.encode(pa.table({"y": labels[:2]})))
    assert table.schema.field("target").type == table.schema.field("prediction").type == kind
    assert table["target"].to_pylist() == labels[:2]
    assert table["prediction"].to_pylist() == sorted(set(labels))
    names = [str(label).lower() if isinstance(label, bool) else str(label) for label in sorted(set(labels))]
    assert table.column_names == ["target", "prediction", *(f"score_{name}" for name in names)]
    assert task.decode(np.array([[0.1, 0.9]])).column_names == table.column_names[1:]


def test_dictionary_encoded_labels_are_text() -> None:
    task = Classification()
    task.fit(pa.table({"y": pa.array(["b", "a"]).dictionary_encode()}))
    assert task.encode(pa.table({"y": ["a", "b"]})).tolist() == [0, 1]


def test_classes_weigh_as_scikit_learn_balances_them() -> None:
    labels = [0, 0, 0, 1, 2, 2]
    weights = fitted(labels, class_weights="balanced").class_weighting()
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert fitted(labels).class_weighting() is None


def test_scores_are_probabilities_even_of_infinite_outputs() -> None:
    scores = fitted([0, 1, 2]).scores(np.array([[1000.0, 0.0, -1000.0], [np.log(0.25), np.log(0.75), -np.inf]]))
    np.testing.assert_allclose(scores, [[1, 0, 0], [0.25, 0.75, 0]], atol=1e-15)


@pytest.mark.parametrize("primary_metric", get_args(get_type_hints(Classification.__init__)["primary_metric"]))
def test_the_primary_metric_has_a_direction(primary_metric: str) -> None:
    target, scores = noisy(2)
    sure = (np.eye(2)[target] * 98 + 1) / 100  # always right, and nearly certain of it
    task = fitted([0, 1], primary_metric=primary_metric)
    good, bad = (task.measure(task.predictions(each, target))[primary_metric] for each in (sure, scores))
    assert task.higher_is_better == (good > bad)


def test_the_positive_class_can_be_named() -> None:
    target, scores = noisy(2)
    task = fitted(["a", "b"], positive="a", primary_metric="f1")
    found = task.measure(task.predictions(scores, target))
    assert found["f1"] == pytest.approx(reference.f1_score(target, scores.argmax(axis=1), pos_label=0))
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(1 - target, scores[:, 0]))


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: fitted(["a", "a"]), "only 'a' in training rows"),
        (lambda: fitted([]), "holds null"),
        (lambda: fitted(pa.array([], pa.string())), "'y' has no row in training rows"),
        (lambda: fitted(["a", None]), "is empty in 1 of 2 rows; leave them out"),
        (lambda: fitted([1.5, 2.5]), "holds double"),
        (lambda: fitted(["a", "b"], positive="c"), "task.positive=c is no class"),
        (lambda: fitted(["a", "b", "c"], positive="c"), "task.positive=c is for two classes, but target 'y' has 3"),
        (lambda: fitted(["a", "b", "c"], primary_metric="f1"), "choose macro_f1"),
        (
            lambda: fitted(["a", "b"]).encode(pa.table({"y": ["a", "c"]})),
            "class 'c' in rows that are not for training, but training rows only have a, b; ",
        ),
        (lambda: fitted(["a", "b"]).encode(pa.table({"y": [1]})), "holds int64, but training rows held string"),
        (lambda: fitted(["a", "b"]).encode(pa.table({"x": ["a"]})), "'y' is missing; came: x"),
    ],
)
def test_mistakes_are_named(act: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        act()  # type: ignore[operator]


@pytest.mark.parametrize("labels", [["猫", "😀", "b"], [5, -1, 2], [True, False]])
def test_state_goes_through_json_and_predictions_through_parquet(labels: list, tmp_path) -> None:
    task, restored = fitted(labels, class_weights="balanced"), Classification(class_weights="balanced")
    restored.restore(json.loads(json.dumps(task.state())))
    rows = pa.table({"y": labels})
    np.testing.assert_array_equal(restored.encode(rows), task.encode(rows))
    target, scores = noisy(len(labels), 50)
    table = task.predictions(scores, target)
    pq.write_table(table, tmp_path / "p.parquet")
    assert restored.measure(pq.read_table(tmp_path / "p.parquet")) == task.measure(table)
    np.testing.assert_array_equal(restored.class_weighting(), task.class_weighting())


def test_a_restored_task_checks_its_settings_as_before() -> None:
    task = fitted(["a"] * 6 + ["b"] * 2 + ["c"])
    with pytest.raises(DataError, match=r"task\.positive=d is no class of target 'y', which has a, b, c"):
        Classification(positive="d").restore(task.state())
    with pytest.raises(DataError, match=r"task\.primary_metric=f1 is for two classes, but target 'y' has 3"):
        Classification(primary_metric="f1").restore(task.state())


def test_a_message_lists_a_few_of_many_long_classes():
    task = Classification()
    task.fit(pa.table({"label": [f"{number:05}{'x' * 1000}" for number in range(10_000)]}))
    with pytest.raises(DataError) as refused:
        task.encode(pa.table({"label": ["y" * 1_000_000]}))
    assert len(str(refused.value)) < 1000
    assert "00000xxx" in str(refused.value)
    assert "... and 9,992 more; let training have rows of it" in str(refused.value)
