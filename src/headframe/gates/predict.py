"""Predictions of a packaged model for given rows, in this process or an isolated one."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from headframe.errors import DataError


def write_predictions(*, model: str, rows: str, positions: str, predictions: str, horizon: int, threads: int) -> None:
    """Open a packaged model and write its prediction columns for some rows.

    Args:
        model: the folder that holds `MLmodel`.
        rows: Parquet file of inputs.
        positions: NumPy file: positions in `rows` of the examples, as `Framing` has them.
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
    with limited_threads(threads), pq.ParquetWriter(predictions, predictor.prediction_schema) as writer:
        for part in predictor.batches(table, chosen):
            writer.write_table(part)
