"""The part of a plan that says how predictions are measured."""

from typing import ClassVar

from pydantic import Field

from headframe.config.plan.component import Component, Distinct
from headframe.digests import Record


class NaturalBaselineConfig(Component):
    """What needs no training, such as the most frequent class."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.base.NaturalBaseline",)


class EvaluationConfig(Record):
    """How predictions are measured."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)  # of the intervals
    resamples: int = Field(default=1000, ge=100, le=100_000)  # bootstrap repetitions
    slices: Distinct[str] = ()  # input columns by whose values metrics are repeated
