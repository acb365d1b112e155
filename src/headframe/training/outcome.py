"""What a training leaves in its folder for evaluation, packaging and people."""

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
from headframe.training.state import Epoch


def scores_of(predictor: Predictor, prepared: PreparedData, indices: np.ndarray) -> np.ndarray:
    """Predict the examples with these indices from raw rows: (examples, *outputs)."""
    if predictor.lookback:
        return predictor.scores(prepared.rows, indices)
    return predictor.scores(prepared.rows.take(pa.array(indices)))


def write_outcome(
    folder: Path, prepared: PreparedData, predictor: Predictor, scores: np.ndarray, history: list[Epoch]
) -> None:
    """Write predictions of the validation and test examples, a probe, and the figures of all epochs.

    Args:
        folder: of the training.
        prepared: the rows.
        predictor: the model, on a CPU; its scores of the probe, the first raw test rows, identify a copy of it.
        scores: of the examples of `prepared.measured`, in that order.
        history: empty where nothing is trained in epochs.
    """
    lookback = predictor.lookback
    indices, splits = prepared.measured(lookback)
    predictions = prepared.task.predictions(scores, prepared.targets(indices, lookback))
    table = pa.table({"row_id": prepared.row_ids(indices, lookback), "split": pa.array(splits, pa.string())})
    for field in predictions.schema:
        table = table.append_column(field, predictions.column(field.name))
    _write_table(folder / PREDICTIONS, table)
    probe, raw = prepared.probe(lookback), io.BytesIO()
    np.save(raw, predictor.scores(probe), allow_pickle=False)
    _write_table(folder / PROBE, probe)
    write_atomically(folder / PROBE_SCORES, raw.getvalue())
    write_atomically(folder / HISTORY, json.dumps(history, indent=1) + "\n")


def _write_table(path: Path, table: pa.Table) -> None:
    raw = io.BytesIO()
    pq.write_table(table, raw, compression="zstd")
    write_atomically(path, raw.getvalue())
