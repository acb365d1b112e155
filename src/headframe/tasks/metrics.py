"""Numbers that say how good probabilities are; each is checked against scikit-learn."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are cut here before their logarithm, as scikit-learn does."""


BINS = 15
"""Bins of confidence of the calibration error."""


def confusion(target: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count int64 (classes, classes): rows are the true class, columns the predicted one."""
    return np.bincount(target * classes + prediction, minlength=classes**2).reshape(classes, classes)


def precision_recall_f1(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give precision, recall and F1 of each class from a confusion matrix; 0 where nothing was predicted or true."""
    right = np.diag(counts).astype(np.float64)
    predicted, true = counts.sum(axis=0), counts.sum(axis=1)
    precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
    recall = np.divide(right, true, out=np.zeros_like(right), where=true > 0)
    f1 = np.divide(2 * right, predicted + true, out=np.zeros_like(right), where=predicted + true > 0)
    return precision, recall, f1


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Give the chance that a positive row scores above a negative one, ties counting half; both must occur.

    Args:
        positive: bool (rows,).
        score: float (rows,), higher for positive.
    """
    ranks = rankdata(score)
    ones = int(positive.sum())
    zeros = len(positive) - ones
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Give the precision averaged over the steps of recall, equal scores taken as one step; a positive must occur.

    Args:
        positive: bool (rows,).
        score: float (rows,), higher for positive.
    """
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(positive[order])
    last_of_its_score = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    found = found[last_of_its_score]
    precision = found / (last_of_its_score + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1])


def log_loss(target: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Give each row's negative logarithm of the probability of its true class, float64 (rows,)."""
    return -np.log(np.clip(scores[np.arange(len(target)), target], SMALLEST, 1.0))


def brier(target: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Give each row's squared distance to the truth: over all classes, or of one of two, float64 (rows,)."""
    truth = np.zeros_like(scores)
    truth[np.arange(len(target)), target] = 1.0
    distance = ((scores - truth) ** 2).sum(axis=1)
    return distance / 2 if scores.shape[1] == 2 else distance  # noqa: PLR2004 - the usual meaning for two classes


def reliability(correct: np.ndarray, confidence: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort rows into `bins` equally wide bins of confidence (low, high].

    Returns:
        Rows, mean confidence and share of correct rows of each bin; the last two are 0 in an empty bin.
    """
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(index, minlength=bins)
    filled = np.maximum(rows, 1)
    return (
        rows,
        np.bincount(index, weights=confidence, minlength=bins) / filled,
        np.bincount(index, weights=correct.astype(np.float64), minlength=bins) / filled,
    )


def calibration_error(correct: np.ndarray, confidence: np.ndarray, bins: int = BINS) -> float:
    """Give the mean distance of confidence and accuracy over bins, weighted by rows (Guo et al., arXiv:1706.04599)."""
    rows, mean_confidence, share = reliability(correct, confidence, bins)
    return float((rows * np.abs(mean_confidence - share)).sum() / rows.sum())
