"""Confidence is counted in bins that are open below and closed above."""

import numpy as np
import pytest

from headframe.metrics.statistics import BINS, Bounds, Reliability

EXACT = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Upper edges of bins that a float holds exactly as a multiple of 1 / BINS."""


def test_a_confidence_at_an_edge_belongs_to_the_bin_that_ends_there() -> None:
    assert BINS == 15
    for edge in EXACT:
        for confidence, number in ((edge, edge * BINS - 1), (edge - 1e-9, edge * BINS - 1), (edge + 1e-9, edge * BINS)):
            rows, _, _ = Reliability(np.array([confidence]), np.array([True])).bins(np.ones((1, 1)))
            assert np.flatnonzero(rows[:, 0]).tolist() == [min(round(number), BINS - 1)], confidence


def test_nothing_at_all_is_in_the_first_bin() -> None:
    rows, confidence, accuracy = Reliability(np.array([0.0, 0.01]), np.array([True, False])).bins(np.ones((2, 1)))
    assert (rows[0, 0], confidence[0, 0], accuracy[0, 0]) == (2, 0.005, 0.5)


def test_the_calibration_error_is_that_of_a_plain_loop_with_repeated_rows() -> None:
    draw = np.random.default_rng(4)
    confidence = np.concatenate([draw.random(200), EXACT, [0.0]])
    correct = draw.random(len(confidence)) < confidence
    counts = draw.integers(0, 3, (len(confidence), 5)).astype(float)
    expected = []
    for weights in counts.T:
        error = 0.0
        for low in range(BINS):
            inside = [
                row for row, each in enumerate(confidence)
                if low / BINS < each <= (low + 1) / BINS or (low == 0 and each == 0)
            ]  # fmt: skip
            total = sum(weights[row] for row in inside)
            if total:
                sure = sum(weights[row] * confidence[row] for row in inside) / total
                right = sum(weights[row] * correct[row] for row in inside) / total
                error += total * abs(sure - right)
        expected.append(error / weights.sum())
    assert Reliability(confidence, correct).error.evaluate(counts) == pytest.approx(expected)


def test_a_calibration_error_lies_from_0_to_1_over_all_rows() -> None:
    basis = Reliability(np.array([0.5, 1.0]), np.array([True, False])).error.basis
    assert isinstance(basis, Bounds)
    assert (basis.low, basis.high, [mask.tolist() for mask in basis.over]) == (0.0, 1.0, [[True, True]])


def test_rows_that_were_not_drawn_have_no_calibration_error() -> None:
    assert np.isnan(Reliability(np.array([0.5]), np.array([True])).error.evaluate(np.zeros((1, 1)))).all()
