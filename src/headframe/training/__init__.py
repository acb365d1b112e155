"""The training program: `python -m headframe.training PLAN.json OUT_DIR`."""
