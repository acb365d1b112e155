"""Copies: rows that are equal for the features of a model, whether or not their raw cells are."""

import hashlib
from typing import Any

import numpy as np
from scipy import sparse

from headframe.features.base import Encoded


def row_hashes(encoded: Encoded) -> np.ndarray:
    """Hash each encoded row to 8 bytes, equal where the model is given equal inputs; uint64 (rows,)."""
    if isinstance(encoded, dict):
        return row_hashes(np.stack([row_hashes(each) for each in encoded.values()], axis=1))
    if sparse.issparse(encoded):
        ordered: Any = encoded.copy()
        ordered.eliminate_zeros()
        ordered.sort_indices()
        cells = (
            (ordered.indices[start:end].tobytes(), ordered.data[start:end].tobytes())
            for start, end in zip(ordered.indptr[:-1], ordered.indptr[1:], strict=True)
        )
    else:
        values = np.ascontiguousarray(encoded)
        cells = (((row + 0).tobytes(), b"") for row in values)  # minus zero is zero
    hashes = (int.from_bytes(hashlib.blake2b(a + b, digest_size=8).digest(), "little") for a, b in cells)
    return np.fromiter(hashes, dtype=np.uint64)


def copies_among(hashes: np.ndarray, rows: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return those of the rows with these indices that equal one of the rows `of`; int64, in order."""
    copies: np.ndarray = rows[np.isin(hashes[rows], hashes[of])]
    return copies
