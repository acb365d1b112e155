"""The whole plan: what a run needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from headframe.config.learner import Learner
from headframe.config.plan.component import Component, Name, without_declared
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.evaluation import EvaluationConfig
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.model import AnyModel, MemberConfig
from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.config.plan.serving import ServingConfig, TrackingConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import TrainerConfig
from headframe.digests import Record, digest, digest_content

NOT_IDENTIFYING = {"launcher", "promotion", "team", "serving", "tracking"}
"""Parts that decide where a version is trained, judged, served and tracked, but not what it is."""


class Plan(Record):
    """Everything a run needs to know; equal plans give equal results."""

    name: Name
    seed: int = Field(default=17, ge=0, lt=2**31)
    dataset: DatasetConfig
    features: FeaturesConfig
    task: TaskConfig
    model: AnyModel
    optimizer: Component
    scheduler: Component
    trainer: TrainerConfig
    baseline: MemberConfig | None = None  # what the model is compared with on the same rows
    launcher: Component
    evaluation: EvaluationConfig
    promotion: PromotionConfig
    team: TeamConfig = TeamConfig()
    serving: ServingConfig
    tracking: TrackingConfig

    @property
    def learner(self) -> Learner:
        """What is trained."""
        fields = Learner.model_fields.keys() & Plan.model_fields.keys()
        return Learner.model_construct(**{name: getattr(self, name) for name in fields})

    @property
    def without_declared(self) -> Plan:
        """The same plan without what decides no result: `tiny`, and what files declare so that parts can be checked.

        What is trained and stored by a digest is of this one. Otherwise a new kind of input among those that a model
        takes would train it again, and equal weights would lie in unequal bundles.
        """
        plan: Plan = without_declared(self)
        return plan

    @property
    def fingerprint(self) -> str:
        """The sha256 of the whole plan."""
        return digest(self)

    @property
    def identity(self) -> str:
        """The sha256 of what decides a version: the plan without where it is trained, judged, served and tracked."""
        found = digest_content(self.without_declared, exclude=NOT_IDENTIFYING)
        return digest({**found, "model_name": self.promotion.model})


def read_plan(path: Path, trusted: tuple[str, ...] = ()) -> Plan:
    """Read a plan that was written as JSON.

    Args:
        path: the file.
        trusted: prefixes of the project's own packages, such as `("mine.",)`.
    """
    return Plan.model_validate_json(path.read_bytes(), context={"trusted": trusted})


def fingerprint_of(stored: Any) -> str:
    """Return the fingerprint of a plan that was stored as JSON, whatever packages it names; nothing is imported.

    Fields that the stored plan lacks have their default, which the fingerprint leaves out. JSON that is no plan has the
    digest of itself.
    """
    try:
        return Plan.model_validate(stored, context={"trusted": ("",)}).fingerprint
    except ValidationError:
        return digest(stored)
