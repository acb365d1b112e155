"""What a training leaves in its folder for evaluation, packaging and people."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.digests import write_atomically
from headframe.examples.prepare import PreparedData
from headframe.prediction.layout import HISTORY, PREDICTIONS, PROBE, PROBE_SCORES
from headframe.prediction.predictor import Predictor
from headframe.training.course import Epoch


def scores_of(predictor: Predictor, prepared: PreparedData, numbers: np.ndarray) -> np.ndarray:
    """Ask a predictor for the examples with these numbers, from raw rows: (examples, *outputs)."""
    if predictor.lookback:
        return predictor.scores(prepared.rows, numbers)
    return predictor.scores(prepared.rows.take(pa.array(numbers)))


def write_measured(folder: Path, prepared: PreparedData, lookback: int, scores: np.ndarray) -> None:
    """Write the predictions table: validation and test examples in table order.

    Args:
        folder: of the training.
        prepared: the rows.
        lookback: of the model.
        scores: of `prepared.measured(lookback)`, in that order.
    """
    numbers, parts = prepared.measured(lookback)
    answers = prepared.task.predictions(scores, prepared.targets(numbers, lookback))
    table = pa.table({"row_id": prepared.names(numbers, lookback), "split": pa.array(parts, pa.string())})
    for field in answers.schema:
        table = table.append_column(field, answers.column(field.name))
    _write_table(folder / PREDICTIONS, table)


def write_probe(folder: Path, predictor: Predictor, prepared: PreparedData) -> None:
    """Write the first test rows, raw, and what the model in memory says of them."""
    rows = prepared.probe(predictor.lookback)
    raw = io.BytesIO()
    np.save(raw, predictor.scores(rows), allow_pickle=False)
    _write_table(folder / PROBE, rows)
    write_atomically(folder / PROBE_SCORES, raw.getvalue())


def write_history(folder: Path, history: list[Epoch]) -> None:
    """Write the figures of all epochs."""
    write_atomically(folder / HISTORY, json.dumps(history, indent=1) + "\n")


def _write_table(path: Path, table: pa.Table) -> None:
    raw = io.BytesIO()
    pq.write_table(table, raw, compression="zstd")
    write_atomically(path, raw.getvalue())
