"""The step that evaluates a trained model; what it needs is imported when nothing is stored yet."""

from headframe.config.plan.evaluation import NaturalBaselineConfig
from headframe.config.plan.plan import VersionPlan
from headframe.places import Places
from headframe.records import Evaluated, TableRecord, Trained


def evaluate(  # noqa: PLR0917 - a step takes what its key is made of
    plan: VersionPlan,
    table: TableRecord,
    trained: Trained,
    baseline: Trained | None,
    natural: tuple[NaturalBaselineConfig, ...],
    places: Places,
) -> Evaluated:
    """Evaluate a model on its test rows; see `headframe.evaluation.evaluation.evaluate_model`."""
    from headframe.evaluation.evaluation import evaluate_model  # noqa: PLC0415 - matplotlib and torch cost seconds

    return evaluate_model(plan, table, trained, baseline, natural, places.root, places.folder)
