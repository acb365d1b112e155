"""Where things lie in a packaged model: a folder in MLflow's format, signed."""

from pathlib import Path

MLMODEL = "MLmodel"
"""MLflow's description of the model."""

SIGNATURE = "model.dsse.json"
"""The envelope with what its author signed."""

DATA = "data"
"""Folder with the bundle."""

CODE = "code"
"""Folder with the project's own packages that the model imports."""


def bundle_in(model: Path) -> Path:
    """Return the bundle's folder in a packaged model."""
    return next(iter(sorted((model / DATA).glob("*"))), model / DATA)


def model_of(bundle: Path) -> Path:
    """Return the packaged model that a bundle lies in."""
    return bundle.parent.parent


def packages_in(model: Path) -> list[str]:
    """Return the names of the project's own packages that a packaged model brings, sorted; a model may bring none."""
    code = model / CODE
    return sorted(folder.name for folder in code.iterdir() if folder.is_dir()) if code.is_dir() else []
