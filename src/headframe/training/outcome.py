"""What a training leaves in its folder for evaluation, packaging and people."""

import io
import json
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.digests import atomic_file, write_atomically
from headframe.errors import RowError
from headframe.examples.prepare import PreparedData, filtered
from headframe.examples.storage import AT_ONCE, BLOCK_BYTES, release_unused
from headframe.prediction.layout import HISTORY, PREDICTIONS, PROBE, PROBE_PREDICTIONS
from headframe.prediction.predictor import Predictor
from headframe.training.state import Epoch

GROUP_BYTES = 2**26
"""Predictions of so many bytes are written as a row group."""


def predicted(predictor: Predictor, prepared: PreparedData, positions: np.ndarray) -> Iterator[pa.Table]:
    """Yield the prediction columns of the examples at these positions, ascending, for some after others.

    No more raw rows are read at once than some whole batches need, where the framing says which these are.
    """
    of_row = prepared.rows.nbytes // prepared.rows.num_rows
    batches = min(AT_ONCE, BLOCK_BYTES // max(1, of_row)) // predictor.batch_size
    size = max(1, batches) * predictor.batch_size
    if predictor.framing.span(positions) is None:
        size = max(1, len(positions))
    for start in range(0, len(positions), size):
        chosen = positions[start : start + size]
        first, end = predictor.framing.span(chosen) or (0, prepared.rows.num_rows)
        rows, inside = prepared.rows.slice(first, end - first), chosen - first
        try:
            if predictor.framing.alone:
                # `take` would lay all of the slice out in memory first.
                mask = np.bincount(inside, minlength=rows.num_rows) > 0
                yield from predictor.batches(pa.Table.from_batches(filtered(rows.to_batches(), mask), rows.schema))
            else:
                yield from predictor.batches(rows, inside)
        except RowError as error:
            raise error.behind(start) from error
        release_unused()


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
    groups = _row_groups(_with_truth(prepared, predictor))
    first = next(groups)
    with atomic_file(folder / PREDICTIONS) as fresh, fresh.open("wb") as stream:
        with pq.ParquetWriter(stream, first.schema, compression="zstd") as writer:
            for table in chain([first], groups):
                writer.write_table(table)
        stream.flush()
        os.fsync(stream.fileno())
    probe = prepared.probe(predictor.framing)
    _write_table(folder / PROBE, probe)
    _write_table(folder / PROBE_PREDICTIONS, served.predictions(probe).combine_chunks())
    write_atomically(folder / HISTORY, json.dumps(history, indent=1) + "\n")


def _with_truth(prepared: PreparedData, predictor: Predictor) -> Iterator[pa.Table]:
    """Yield the rows of the predictions table: names, split, truth, predictions."""
    start = 0
    positions, splits = prepared.measured(predictor.framing)
    ids = prepared.row_ids(positions)
    for columns in predicted(predictor, prepared, positions):
        part = slice(start, start + columns.num_rows)
        truth = prepared.task.truth(prepared.targets(positions[part], predictor.framing))
        yield pa.table(
            [ids[part], pa.array(splits[part], pa.string()), *truth.columns, *columns.columns],
            names=["row_id", "split", *truth.column_names, *columns.column_names],
        )
        start = part.stop


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join tables until they have `GROUP_BYTES`."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= GROUP_BYTES:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting.clear()
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _write_table(path: Path, table: pa.Table) -> None:
    raw = io.BytesIO()
    pq.write_table(table, raw, compression="zstd")
    write_atomically(path, raw.getvalue())
