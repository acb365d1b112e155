"""The natural baselines of a task, as its class declares them."""

from pathlib import Path

from headframe.config.plan.evaluation import NaturalBaselineConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.targets.find_definition import class_constant

NATURAL = "natural_baselines"
"""The constant of a task's class that holds their paths."""


def natural_baselines(task: TaskConfig, own_source: Path) -> tuple[NaturalBaselineConfig, ...]:
    """Return what a task's class declares or inherits, read from its source: the step that evaluates is keyed by it.

    Args:
        task: of the plan.
        own_source: the project's `src/`.
    """
    found = class_constant(task.target, NATURAL, own_source) or ()
    return tuple(NaturalBaselineConfig.model_construct(target=target) for target in found)
