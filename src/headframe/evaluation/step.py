"""The step that measures a trained model; what it needs is imported when it is not kept already."""

from __future__ import annotations

from pathlib import Path

from headframe.config.plan.plan import Plan
from headframe.records import Evaluated, TableRecord, Trained


def evaluate(  # noqa: PLR0917 - one call a stage, each argument another record
    plan: Plan, table: TableRecord, trained: Trained, baseline: Trained | None, root: Path, folder: Path
) -> Evaluated:
    """Measure a model's test rows; see `headframe.evaluation.evaluation.measure`."""
    from headframe.evaluation.evaluation import measure  # noqa: PLC0415 - matplotlib and torch cost seconds

    return measure(plan, table, trained, baseline, root, folder)
