"""The parts of a plan that decide the weights, given a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, field_validator

from headframe.config.plan.component import Component, narrow, without_declared
from headframe.config.plan.data import TrainingDataConfig
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.model import AnyModel
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import TrainerConfig
from headframe.digests import Record


class Learner(Record):
    """What is trained; see `headframe.config.members` for the learners of an ensemble."""

    seed: int = Field(ge=0, lt=2**31)
    model: AnyModel
    features: FeaturesConfig
    optimizer: Component
    scheduler: Component
    trainer: TrainerConfig
    bootstrap: bool = False  # draws its training rows with replacement


class TrainingPlan(Learner):
    """What the training program needs of a plan, as read from the plan's JSON; all other parts are ignored."""

    model_config = ConfigDict(extra="ignore")

    dataset: TrainingDataConfig
    task: TaskConfig

    @field_validator("dataset", mode="before")
    @classmethod
    def _without_the_rest(cls, dataset: Any) -> Any:
        """Leave out what a whole plan says of a data set besides."""
        if not isinstance(dataset, Mapping):
            return dataset
        return {name: value for name, value in dataset.items() if name in TrainingDataConfig.model_fields}

    @classmethod
    def read(cls, path: Path, trusted: tuple[str, ...] = ()) -> Self:
        """Read a plan that was written as JSON, without what decides no result.

        Args:
            path: the file.
            trusted: prefixes of the project's own packages, such as `("mine.",)`.
        """
        plan: Self = without_declared(cls.model_validate_json(path.read_bytes(), context={"trusted": trusted}))
        return plan

    @property
    def learner(self) -> Learner:
        """What is trained."""
        return narrow(self, Learner)
