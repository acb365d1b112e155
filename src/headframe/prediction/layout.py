"""Where things lie in a packaged model."""

from __future__ import annotations

from pathlib import Path

DATA = "data"  # folder of a packaged model with the bundle


def bundle_in(model: Path) -> Path:
    """Give the bundle's folder in a model in MLflow's format."""
    return next(iter(sorted((model / DATA).glob("*"))), model / DATA)
