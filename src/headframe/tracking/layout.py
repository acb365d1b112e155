"""Where the artifacts of a run lie in MLflow."""

from __future__ import annotations

from pathlib import PurePath

from headframe.prediction import layout as trained

PLAN = "plan.json"
PROVENANCE = "provenance.json"
TRAINING = "training"
"""Folder of predictions, result and history, as training wrote them."""

PREDICTIONS = f"{TRAINING}/{trained.PREDICTIONS}"

EVALUATION = "evaluation"
"""Folder of metrics, slices, model card, report and plots, as evaluation wrote them."""

GATES = "gates"
"""Folder of the gate reports about the version that the run made."""

DATA = "data"
"""Folder of the validation report."""

CODE = "code"
DIFF = f"{CODE}/code.diff"
"""What differed from the commit, as `git apply` takes it."""

INSTALLED = f"{CODE}/installed.txt"
"""The versions of all distributions, one a line."""


def validation_report(file: str) -> str:
    """Return the path of a run's validation report.

    Args:
        file: where validation wrote it.
    """
    return f"{DATA}/{PurePath(file).name}"
