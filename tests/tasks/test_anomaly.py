"""Anomalies: scores measured by labels that nothing is learned from, and flags above a quantile."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as reference

from headframe.errors import DataError
from headframe.tasks.anomaly import Anomaly


def labelled(labels: list[object], **settings: object) -> tuple[Anomaly, pa.Table]:
    task, target = Anomaly(**settings), pa.table({"label": labels})
    task.fit(target)
    return task, task.truth(task.targets(target))


def beside(truth: pa.Table, predictions: pa.Table) -> pa.Table:
    for name in predictions.column_names:
        truth = truth.append_column(name, predictions[name])
    return truth


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        ([True, False, True, False], None),
        ([1, 0, 1, 0], None),
        ([7, 3, 7, 3], 7),
        (["bad", "good", "bad", "good"], "bad"),
        ([True, False, True, False], True),
    ],
)
def test_labels_of_any_type_are_read_as_truth_values(labels, positive) -> None:
    assert labelled(labels, positive=positive)[1]["target"].to_pylist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("labels", "settings", "words"),
    [
        ([2, 0, 1], {}, "label 'label' holds int64, and not only 0 and 1; name the anomalies in task.positive"),
        (["a", "b"], {}, "label 'label' holds string, and not only 0 and 1; name the anomalies in task.positive"),
        ([1, None], {}, "label 'label' is empty in 1 of 2 rows; leave them out"),
        ([1, 0], {"positive": "x"}, "task.positive=x is no value of label 'label', which holds int64"),
    ],
)
def test_labels_that_mark_no_anomaly_are_refused(labels, settings, words) -> None:
    with pytest.raises(DataError) as caught:
        labelled(labels, **settings)
    assert str(caught.value) == words


def test_metrics_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(2)
    target = draw.random(400) < 0.15
    score = np.round(draw.normal(size=400) + 1.5 * target, 1)
    task, truth = labelled(target.tolist(), contamination=0.2)
    predictions = beside(truth, task.columns(score, task.threshold(score)))
    flagged = predictions["anomaly"].to_numpy()
    expected = {
        "roc_auc": reference.roc_auc_score(target, score),
        "average_precision": reference.average_precision_score(target, score),
        "precision": reference.precision_score(target, flagged),
        "recall": reference.recall_score(target, flagged),
        "f1": reference.f1_score(target, flagged),
        "flag_error": abs(flagged.mean() - 0.2),
    }
    assert task.measure(predictions) == pytest.approx(expected, abs=1e-12)
    assert set(task.plots(predictions)) == {*task.captions} == {"scores", "curves", "errors"}


def test_the_threshold_flags_the_expected_share_of_scores_like_those_that_it_was_fitted_to() -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    task = Anomaly(contamination=0.05)
    assert task.columns(scores, task.threshold(scores))["anomaly"].to_numpy().sum() == 50


def test_without_labels_the_share_of_flags_is_measured() -> None:
    task = Anomaly(primary_metric="flag_error")
    task.fit(pa.table({}))
    assert task.truth(task.targets(pa.table({}))).num_columns == 0
    predictions = task.columns(np.arange(100.0), 89.5)
    assert task.measure(predictions) == {"flag_error": pytest.approx(0.0, abs=1e-12)}
    assert set(task.plots(predictions)) == {"scores"}
    assert task.primary_metric in task.unlabelled_metrics


def test_a_restored_task_measures_alike() -> None:
    task, truth = labelled([1, 0, 0, 1])
    predictions = beside(truth, task.columns(np.array([3.0, 1, 2, 4]), 2.5))
    again = Anomaly()
    again.restore(task.state())
    assert again.measure(predictions) == task.measure(predictions)
    assert again.truth_columns == task.truth_columns == ("target",)
    assert predictions.schema.names == ["target", *task.prediction_schema.names]
