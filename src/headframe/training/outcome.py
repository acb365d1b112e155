"""What a training leaves in its folder for evaluation, packaging and people."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.digests import atomic_file, write_atomically
from headframe.examples.prepare import PreparedData
from headframe.prediction.layout import HISTORY, PREDICTIONS, PROBE, PROBE_PREDICTIONS
from headframe.prediction.predictor import Predictor
from headframe.training.state import Epoch

GROUP_BYTES = 2**26
"""From so many bytes on, predictions that wait are written as a row group."""


def predicted(predictor: Predictor, prepared: PreparedData, indices: np.ndarray) -> Iterator[pa.Table]:
    """Yield the prediction columns of the examples with these indices, from raw rows, for some after others."""
    if predictor.lookback:
        return predictor.batches(prepared.rows, indices)
    return predictor.batches(prepared.rows.take(pa.array(indices)))


def write_outcome(
    folder: Path, prepared: PreparedData, predictor: Predictor, served: Predictor, history: list[Epoch]
) -> None:
    """Write predictions of the validation and test examples, a probe, and the figures of all epochs.

    Args:
        folder: of the training.
        prepared: the rows.
        predictor: the model.
        served: the model on a CPU; its predictions for the probe, the first raw test rows, identify a copy of it.
        history: empty where nothing is trained in epochs.
    """
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.Table] = []
    with atomic_file(folder / PREDICTIONS) as fresh:
        for table in _with_truth(prepared, predictor):
            writer = writer or pq.ParquetWriter(fresh, table.schema, compression="zstd")
            waiting.append(table)
            if sum(each.nbytes for each in waiting) >= GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting).combine_chunks())
                waiting.clear()
        assert writer is not None  # noqa: S101 - no split is empty
        if waiting:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
        writer.close()
    probe = prepared.probe(predictor.lookback)
    _write_table(folder / PROBE, probe)
    _write_table(folder / PROBE_PREDICTIONS, served.predictions(probe).combine_chunks())
    write_atomically(folder / HISTORY, json.dumps(history, indent=1) + "\n")


def _with_truth(prepared: PreparedData, predictor: Predictor) -> Iterator[pa.Table]:
    """Yield the rows of the predictions table: names, split, truth, predictions."""
    lookback, start = predictor.lookback, 0
    indices, splits = prepared.measured(lookback)
    ids = prepared.row_ids(indices, lookback)
    for columns in predicted(predictor, prepared, indices):
        part = slice(start, start + columns.num_rows)
        truth = prepared.task.truth(prepared.targets(indices[part], lookback))
        table = pa.table({"row_id": ids[part], "split": pa.array(splits[part], pa.string())})
        for field, column in zip([*truth.schema, *columns.schema], [*truth.columns, *columns.columns], strict=True):
            table = table.append_column(field, column)
        yield table
        start = part.stop


def _write_table(path: Path, table: pa.Table) -> None:
    raw = io.BytesIO()
    pq.write_table(table, raw, compression="zstd")
    write_atomically(path, raw.getvalue())
