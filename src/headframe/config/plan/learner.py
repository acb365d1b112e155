"""The parts of a plan that decide the weights, given a table."""

from __future__ import annotations

from pydantic import Field

from headframe.config.plan.data import TrainingDataConfig
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.model import AnyModel
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import MethodConfig, OptimizerConfig, Phases, SchedulerConfig, TrainerConfig
from headframe.digests import Record


class LearnerConfig(Record):
    """What is trained; see `headframe.config.members` for the learners of an ensemble."""

    seed: int = Field(ge=0, lt=2**31)
    model: AnyModel
    features: FeaturesConfig
    method: MethodConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    trainer: TrainerConfig
    phases: Phases = {}  # of a network's training, in this order; none: a single one
    bootstrap: bool = False  # draws its training rows with replacement


class TrainingJob(Record):
    """What the training program takes: everything that decides the weights."""

    learner: LearnerConfig
    dataset: TrainingDataConfig  # columns and split
    task: TaskConfig
    table: str = Field(pattern=r"^[0-9a-f]{64}$")  # sha256 of the version of the data

    def with_learner(self, learner: LearnerConfig) -> TrainingJob:
        """Return the job of another learner on the same data, such as a baseline or a member of an ensemble."""
        return self.model_copy(update={"learner": learner})
