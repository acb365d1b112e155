"""Which fast statistic a task's metric is: told by its behaviour, never by its name.

A task measures however it likes. To resample its metrics a thousand times, each is compared with the
statistics that can be computed from a predictions table's columns; one that gives the same number on
every probe resample is the same function of the rows. What matches none is measured the slow way, so a
wrong match cannot give a wrong interval and a new metric needs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.evaluation.weighted import (
    Ranking,
    Statistic,
    average,
    calibration_error,
    confusion_based,
    determination,
    mean,
    root_mean,
)

_SCORE = "score_"
_MANY_CLASSES = 200
"""Beyond this many classes one-hot rows cost more than measuring the slow way."""


def recognise(
    predictions: pa.Table,
    probes: np.ndarray,
    measured: Sequence[Mapping[str, float]],
    measure: Callable[[pa.Table], dict[str, float]],
) -> dict[str, Statistic]:
    """Find the statistic that each metric is.

    Args:
        predictions: rows in the order of `probes`.
        probes: (rows, resamples) draw counts.
        measured: the task's metrics of each of those resamples.
        measure: the task's own measuring, asked for single rows where a row is a window of many numbers.

    Returns:
        The metrics that were recognised, by name.
    """
    wanted = {
        name: np.array([each.get(name, np.nan) for each in measured])
        for name in sorted({name for each in measured for name in each})
    }
    found: dict[str, Statistic] = {}
    for statistic in _candidates(predictions, measure):
        if len(found) == len(wanted):
            break
        values = statistic.evaluate(probes)
        for name, expected in wanted.items():
            if name not in found and np.allclose(values, expected, rtol=1e-6, atol=1e-12, equal_nan=True):
                found[name] = statistic
    return found


def _candidates(predictions: pa.Table, measure: Callable[[pa.Table], dict[str, float]]) -> Iterator[Statistic]:
    kind = predictions.schema.field("target").type
    if pa.types.is_floating(kind):
        yield from _of_values(predictions["target"].to_numpy(), predictions["prediction"].to_numpy())
    elif isinstance(kind, pa.BaseExtensionType) or pa.types.is_nested(kind):
        yield from _of_windows(predictions, measure)
    else:
        yield from _of_classes(predictions)


def _of_values(target: np.ndarray, prediction: np.ndarray) -> Iterator[Statistic]:
    error = prediction - target
    yield mean(np.abs(error))
    yield root_mean(error**2)
    yield mean(error**2)
    yield determination(target, prediction)
    if (target != 0).all():
        yield mean(np.abs(error / target))


def _of_windows(predictions: pa.Table, measure: Callable[[pa.Table], dict[str, float]]) -> Iterator[Statistic]:
    """Yield averages of what each window measures alone, which is what errors of forecasts mostly are."""
    whole = predictions.combine_chunks()
    alone = [measure(whole.slice(row, 1)) for row in range(whole.num_rows)]
    for name in alone[0]:
        rows = np.array([each.get(name, np.nan) for each in alone])
        if np.isfinite(rows).all():
            yield mean(rows)
            yield root_mean(rows**2)


def _of_classes(predictions: pa.Table) -> Iterator[Statistic]:
    texts = [predictions[name].cast(pa.string()).combine_chunks() for name in ("target", "prediction")]
    correct = pc.equal(*texts).to_numpy(zero_copy_only=False)
    yield mean(correct.astype(float))
    names = [name.removeprefix(_SCORE) for name in predictions.column_names if name.startswith(_SCORE)]
    numbers = [pc.index_in(each, value_set=pa.array(names, pa.string())) for each in texts]
    if len(names) > _MANY_CLASSES or any(each.null_count for each in numbers):
        return
    target, prediction = (each.to_numpy().astype(int) for each in numbers)
    scores = np.stack([predictions[_SCORE + name].to_numpy() for name in names], axis=1)
    yield from confusion_based(target, prediction, len(names))
    yield from _of_scores(target, correct, scores)


def _of_scores(target: np.ndarray, correct: np.ndarray, scores: np.ndarray) -> Iterator[Statistic]:
    rows, classes = scores.shape
    given = scores[np.arange(rows), target]
    yield mean(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)))
    squared = ((scores - np.eye(classes)[target]) ** 2).sum(axis=1)
    yield mean(squared)
    yield mean(squared / 2)
    for bins in (10, 15):
        yield calibration_error(scores.max(axis=1), correct, bins)
    members = [target == number for number in range(classes)]
    if all(part.any() and not part.all() for part in members):
        rankings = [Ranking(part, scores[:, number]) for number, part in enumerate(members)]
        for areas in ([each.roc_area for each in rankings], [each.average_precision for each in rankings]):
            yield average(areas)
            if classes == 2:  # noqa: PLR2004 - with two, one of them is the positive class
                yield from areas
