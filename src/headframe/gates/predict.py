"""Predictions of a packaged model for given rows, in this process or an isolated one."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.errors import DataError


def write_predictions(*, model: str, rows: str, positions: str, predictions: str, horizon: int, threads: int) -> None:
    """Open a packaged model and write its prediction columns for some rows.

    Args:
        model: the folder that holds `MLmodel`.
        rows: Parquet file of inputs.
        positions: NumPy file: positions in `rows` of what is predicted, of a window that of its first row.
        predictions: the Parquet file to write.
        horizon: how many rows ahead must be predicted; 0 where one row is one example.
        threads: how many the version was trained with, since their number changes the last bits.

    Raises:
        DataError: as `VersionRows.predict`.
    """
    from headframe.prediction.threads import limited_threads  # noqa: PLC0415 - imports torch
    from headframe.registry.loader import load_package  # noqa: PLC0415 - imports torch

    predictor = load_package(Path(model))
    table, chosen = pq.read_table(rows), np.load(positions, allow_pickle=False)
    if predictor.horizon != horizon:
        raise DataError(f"it predicts {predictor.horizon or 'no'} rows ahead, not {horizon or 'none'}")
    starts = chosen - predictor.lookback
    if starts.min(initial=0) < 0:
        msg = f"it looks back {predictor.lookback} rows, further than the table goes before the first test row"
        raise DataError(msg)
    asked = (table, starts) if predictor.lookback else (table.take(pa.array(chosen)), None)
    with limited_threads(threads), pq.ParquetWriter(predictions, predictor.prediction_schema) as writer:
        for part in predictor.batches(*asked):
            writer.write_table(part)
