"""The training program: `python -m headframe.training JOB.json OUT_DIR`."""

PROGRAM = "headframe.training.__main__"
"""The module that trains, whose code therefore decides what is trained."""


def environment_of(threads: int) -> dict[str, str]:
    """Return the variables that the program needs before it imports anything; threads change the bits of sums."""
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
        # cuBLAS gives equal bits only with a workspace of fixed size.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "DO_NOT_TRACK": "true",
    }
