"""The part of a plan that says what learns: a network, an estimator, or an ensemble of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Discriminator, Field, Tag, model_validator

from headframe.config.plan.component import DECLARED, Component, Distinct, Name
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.trainer import MethodConfig, OptimizerConfig, Phases, SchedulerConfig, TrainerChanges
from headframe.digests import ORDERED, Record


class ModelConfig(Component):
    """A network or an estimator, and what it can be used for."""

    expects: ClassVar[tuple[str, ...]] = (
        "torch.nn.modules.module.Module",
        "sklearn.base.ClassifierMixin",
        "sklearn.base.RegressorMixin",
        "sklearn.base.ClusterMixin",
        "sklearn.base.OutlierMixin",
        "headframe.miners.base.Miner",
    )
    tasks: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # kinds of task that it learns
    takes: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # kinds of input that it takes
    parts: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # its parts that methods train by name
    continues_inputs: bool = Field(default=False, json_schema_extra=DECLARED)  # predicts the very columns that it reads


class EnsembleConfig(Component):
    """Several learners whose scores the `_target_` combines."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.models.ensembles.Combiner",)
    members: dict[Name, MemberConfig] = Field(min_length=1, json_schema_extra=ORDERED)
    copies: int = Field(default=1, ge=1)  # times each member is trained, each with another seed
    bootstrap: bool = False  # bagging: every copy draws its training rows with replacement

    @model_validator(mode="after")
    def _has_several_learners(self) -> Self:
        if len(self.members) * self.copies < 2:  # noqa: PLR2004 - two is what "several" means
            raise ValueError("an ensemble of one member and one copy combines nothing; add a member or raise copies")
        return self


def _branch(value: Any) -> str:
    has_members = "members" in value if isinstance(value, Mapping) else hasattr(value, "members")
    return "ensemble" if has_members else "model"


AnyModel = Annotated[
    Annotated[ModelConfig, Tag("model")] | Annotated[EnsembleConfig, Tag("ensemble")], Discriminator(_branch)
]


class MemberConfig(Record):
    """One learner of an ensemble, or a baseline: a model, and what differs from the plan's own settings."""

    model: AnyModel
    features: FeaturesConfig | None = None
    method: MethodConfig | None = None
    optimizer: OptimizerConfig | None = None
    scheduler: SchedulerConfig | None = None
    trainer: TrainerChanges = {}
    phases: Phases | None = None


EnsembleConfig.model_rebuild()
