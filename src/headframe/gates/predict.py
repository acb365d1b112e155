"""Predictions of a packaged model for given rows, in this process or an isolated one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.errors import DataError


def write_predictions(
    *, model: str, rows: str, positions: str, predictions: str, horizon: int, targets: Sequence[str], threads: int
) -> None:
    """Open a packaged model and write its predictions table for some rows.

    Args:
        model: the folder that holds `MLmodel`.
        rows: Parquet file of inputs and targets.
        positions: NumPy file: positions in `rows` of what is predicted, of a window that of its first row.
        predictions: the Parquet file to write.
        horizon: how many rows ahead must be predicted; 0 where one row is one example.
        targets: names of the target columns.
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
    with limited_threads(threads):
        scores = (
            predictor.scores(table, starts) if predictor.lookback else predictor.scores(table.take(pa.array(chosen)))
        )
    encoded = predictor.task.encode(table.select(list(targets)))
    target = encoded[chosen[:, np.newaxis] + np.arange(horizon)] if horizon else encoded[chosen]
    pq.write_table(predictor.task.predictions(scores, target), predictions)
