"""The environment variables that a training process needs before it imports anything."""

from __future__ import annotations


def settings_of(threads: int) -> dict[str, str]:
    """Return them for a training with so many threads; their number changes the bits of sums."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        # cuBLAS gives equal bits only with a workspace of fixed size.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "DO_NOT_TRACK": "true",
    }
