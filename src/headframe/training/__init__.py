"""The training program: `python -m headframe.training JOB.json OUT_DIR`."""

PROGRAM = "headframe.training.__main__"
"""The module that trains, whose code therefore decides what is trained."""
