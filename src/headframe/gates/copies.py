"""Rows that a packaged model has learned from and that are, for its features, copies of test rows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from headframe.examples.copies import copies_among, example_hashes
from headframe.examples.storage import Storage
from headframe.prediction.layout import MEMBERS, copies_left_out
from headframe.prediction.predictor import EnsemblePredictor, Predictor, SinglePredictor


def learned_copies(*, model: str, rows: str, splits: str) -> dict[str, list[int]]:
    """Open a packaged model and look for test rows among those that its parts have learned from.

    Args:
        model: the folder that holds `MLmodel`.
        rows: Parquet file of the raw rows that the version used.
        splits: NumPy file: the split of each row.

    Returns:
        By member, empty for a single model, how many rows there are and how many were left out as copies.
    """
    from headframe.registry.layout import bundle_in  # noqa: PLC0415 - imports torch
    from headframe.registry.loader import load_package  # noqa: PLC0415 - imports torch

    table, parts = pq.read_table(rows), np.load(splits, allow_pickle=False)
    learned, tested = np.flatnonzero(np.isin(parts, ["train", "validation"])), np.flatnonzero(parts == "test")
    found = {}
    for name, single, bundle in _singles(load_package(Path(model)), bundle_in(Path(model))):
        left_out = copies_left_out(bundle)
        encoded = Storage().encoded(single.encoder.encode, table, single.encoder.padding)
        hashes = example_hashes(encoded, single.framing.reads(table))
        found[name] = [len(copies_among(hashes, np.setdiff1d(learned, left_out), tested)), len(left_out)]
    return found


def _singles(predictor: Predictor, bundle: Path, name: str = "") -> Iterator[tuple[str, SinglePredictor, Path]]:
    """Yield what an ensemble is made of, however deep, with the path of its names and its bundle."""
    if isinstance(predictor, SinglePredictor):
        yield name, predictor, bundle
    elif isinstance(predictor, EnsemblePredictor):
        for each, member in predictor.members.items():
            yield from _singles(member, bundle / MEMBERS / each, f"{name}/{each}" if name else each)
