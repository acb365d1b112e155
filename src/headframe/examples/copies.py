"""Copies: rows that are equal for the features of a model, whether or not their raw cells are."""

import hashlib
from typing import Any

import numpy as np
from scipy import sparse

from headframe.examples.framing import Reads, gather
from headframe.features.base import Encoded, count_rows

BLOCK_BYTES = 2**24
"""Bytes of encoded rows that are laid out at once."""


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


def example_hashes(encoded: Encoded, reads: Reads) -> np.ndarray:
    """Hash the inputs of the example that each row names, as `row_hashes` does; uint64 (rows,)."""
    rows = count_rows(encoded)
    arrays = encoded.values() if isinstance(encoded, dict) else [encoded]
    size = sum(each.data.nbytes for each in arrays) // rows * reads(np.arange(1)).size
    step = max(1, BLOCK_BYTES // max(1, size))
    blocks = (reads(np.arange(start, min(start + step, rows))) for start in range(0, rows, step))
    return np.concatenate([row_hashes(gather(encoded, index)) for index in blocks])


def copies_among(hashes: np.ndarray, rows: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return those of the rows with these indices that equal one of the rows `of`; int64, in order."""
    copies: np.ndarray = rows[np.isin(hashes[rows], hashes[of])]
    return copies
