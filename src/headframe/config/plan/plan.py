"""The whole plan: what a run needs to know."""

from typing import Any

from pydantic import Field, ValidationError

from headframe.config.plan.component import Name, narrow, without_declared
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.evaluation import EvaluationConfig
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.learner import LearnerConfig, TrainingJob
from headframe.config.plan.model import AnyModel, MemberConfig
from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.config.plan.serving import ServingConfig, TrackingConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import (
    LauncherConfig,
    MethodConfig,
    OptimizerConfig,
    Phases,
    SchedulerConfig,
    TrainerConfig,
)
from headframe.digests import Record, digest


class VersionPlan(Record):
    """The part of a plan that decides a registered version; equal ones give equal results.

    The steps that evaluate and register take it whole: both store it, and its fingerprint with what they measure.
    """

    name: Name
    seed: int = Field(default=17, ge=0, lt=2**31)
    dataset: DatasetConfig
    features: FeaturesConfig
    task: TaskConfig
    model: AnyModel
    method: MethodConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    trainer: TrainerConfig
    phases: Phases = {}  # of a network's training, one after the other; none: a single one
    baseline: MemberConfig | None = None  # what the model is compared with on the same rows
    evaluation: EvaluationConfig

    @property
    def learner(self) -> LearnerConfig:
        """What is trained."""
        return narrow(self, LearnerConfig)

    def training_job(self, table: str) -> TrainingJob:
        """Return what is trained on a version of the data set's table, named by its sha256."""
        # Parts that were checked once are not checked again: only loading knows the project's own packages.
        return TrainingJob.model_construct(
            learner=self.learner, dataset=self.dataset.training_data, task=self.task, table=table
        )

    @property
    def fingerprint(self) -> str:
        """The sha256 of all its parts."""
        return digest(self)


class Plan(VersionPlan):
    """Everything a run needs to know: a version's plan, and where it is trained, gated, served and tracked."""

    launcher: LauncherConfig
    promotion: PromotionConfig
    team: TeamConfig = TeamConfig()
    serving: ServingConfig
    tracking: TrackingConfig

    @property
    def version(self) -> VersionPlan:
        """The part that decides a version, without what decides no result (`tiny`, and what files declare).

        Trained, evaluated and registered is this part; otherwise a new kind of input among those that a model takes
        would train it again, and another port would register it again.
        """
        version: VersionPlan = without_declared(narrow(self, VersionPlan))
        return version


def fingerprint_of(stored: Any) -> str:
    """Return the fingerprint of a version's plan stored as JSON, whatever packages it names; nothing is imported.

    Fields that the stored plan lacks have their default, which the fingerprint leaves out. JSON that is no plan has the
    digest of itself.
    """
    try:
        return VersionPlan.model_validate(stored, context={"trusted": ("",)}).fingerprint
    except ValidationError:
        return digest(stored)
