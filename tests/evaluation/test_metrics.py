"""Two models on the same rows."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from headframe.errors import DataError
from headframe.evaluation.intervals import Resampling, draw_counts, percentile_limits
from headframe.evaluation.metrics import align_rows, compute_metrics

HOW = Resampling(0.95, 300, 17)


def test_the_difference_is_taken_on_the_same_draws_of_rows(classified):
    task, good = classified(400, 3, skill=2.5)
    _, fair = classified(400, 3, skill=1.5)
    found = compute_metrics(task, good, {"other": fair}, HOW)
    right = [(each["target"].to_numpy() == each["prediction"].to_numpy()).astype(float) for each in (good, fair)]
    gain = right[0] - right[1]
    expected = percentile_limits(
        np.concatenate([gain @ counts / 400 for counts in draw_counts(np.arange(400), HOW)]), 0.95
    )
    change = found.baselines["other"].difference["accuracy"]
    assert change.value == pytest.approx(gain.mean())
    assert (change.low, change.high) == pytest.approx(expected)
    assert change.value == found.metrics["accuracy"].value - found.baselines["other"].metrics["accuracy"].value
    assert found.baselines["other"].difference.keys() == found.metrics.keys()


def test_a_model_does_not_differ_from_itself(classified):
    task, predictions = classified(100, 2)
    for change in (
        compute_metrics(task, predictions, {"other": predictions}, HOW).baselines["other"].difference.values()
    ):
        assert (change.value, change.low, change.high) == (0, 0, 0)


def test_the_order_of_the_baselines_rows_does_not_matter(classified):
    task, predictions = classified(100, 2)
    _, other = classified(100, 2, skill=1)
    shuffled = other.take(pa.array(np.random.default_rng(0).permutation(100)))
    assert align_rows(task, predictions, shuffled).equals(other)
    assert compute_metrics(task, predictions, {"other": shuffled}, HOW) == compute_metrics(
        task, predictions, {"other": other}, HOW
    )


def test_other_rows_are_refused(classified):
    task, predictions = classified(100, 2)
    with pytest.raises(DataError, match="other rows: it has 99 where the model has 100, for example not 'row-0'"):
        align_rows(task, predictions, predictions.slice(1))
    with pytest.raises(DataError, match="other rows: it has 100 where the model has 99"):
        align_rows(task, predictions.slice(1), predictions)


def test_other_targets_on_the_same_rows_are_refused(classified):
    task, predictions = classified(100, 2)
    flipped = predictions.set_column(1, "target", pa.array(1 - predictions["target"].to_numpy()))
    with pytest.raises(DataError, match="other targets on the same row_ids"):
        align_rows(task, predictions, flipped)


def test_a_row_that_occurs_twice_is_refused(classified):
    task, predictions = classified(3, 2)
    twice = predictions.take(pa.array([0, 1, 1]))
    with pytest.raises(DataError, match="occurs twice"):
        align_rows(task, twice, twice)


def test_two_models_that_are_both_right_everywhere_may_differ_elsewhere(classified):
    task, sure = classified(100, 2, skill=60)
    _, surer = classified(100, 2, skill=80)
    found = compute_metrics(task, surer, {"other": sure}, HOW)
    change = found.baselines["other"].difference["accuracy"]
    alone = found.metrics["accuracy"]
    assert (change.value, change.high) == (0, -change.low)
    assert change.high == pytest.approx(1 - alone.low)


def test_every_repetition_of_a_row_is_drawn_with_it_on_both_sides(classified):
    task, good = classified(200, 2, skill=2.5)
    _, fair = classified(200, 2, skill=1.5)
    once = compute_metrics(task, good, {"other": fair}, HOW).baselines["other"].difference["log_loss"]
    names = good["row_id"]
    good, fair = (
        pa.concat_tables([each.append_column("content", names)] * 2).set_column(
            0, "row_id", pa.array([str(number) for number in range(400)])
        )
        for each in (good, fair)
    )
    twice = compute_metrics(task, good, {"other": fair}, HOW).baselines["other"].difference["log_loss"]
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_a_baseline_on_rows_too_few_for_a_test_has_neither_lost_nor_drawn(classified):
    task, predictions = classified(15, 3, skill=3.5, seed=1)
    _, other = classified(15, 3, skill=0.0, seed=1)
    compared = compute_metrics(task, predictions, {"other": other, "same": predictions}, HOW).baselines
    assert (compared["other"].verdict, compared["other"].p_better, compared["other"].p_worse) == ("too few rows", 1, 1)
    assert compared["same"].verdict == "no significant difference"


@pytest.mark.parametrize(("skill", "verdict"), [(3.5, "better"), (1.0, "worse"), (2.0, "no significant difference")])
def test_a_baseline_is_compared_by_a_paired_test(classified, skill: float, verdict: str):
    task, predictions = classified(400, 3, skill=skill, seed=1)
    _, other = classified(400, 3, skill=2.0, seed=1)
    found = compute_metrics(task, predictions, {"other": other}, HOW, {"other": "the other"})
    compared = found.baselines["other"]
    right = [(each["target"].to_numpy() == each["prediction"].to_numpy()) for each in (predictions, other)]
    wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    if wins + losses:
        assert compared.p_better == pytest.approx(binomtest(wins, wins + losses, alternative="greater").pvalue)
        assert compared.p_worse == pytest.approx(binomtest(losses, wins + losses, alternative="greater").pvalue)
    assert (compared.verdict, compared.title) == (verdict, "the other")
    assert found.hardest == compared
