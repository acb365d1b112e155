"""What is trained: the parts of a plan that decide the weights, given a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, field_validator

from headframe.config.plan.component import Component, without_declared
from headframe.config.plan.data import TrainingDataConfig
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.model import AnyModel, EnsembleConfig, MemberConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import TrainerConfig
from headframe.digests import Record

SEED_BASE = 7919
"""A prime, larger than any number of copies that is trained."""


class Learner(Record):
    """Everything that decides the weights, given a table, a task and a split."""

    seed: int = Field(ge=0, lt=2**31)
    model: AnyModel
    features: FeaturesConfig
    optimizer: Component
    scheduler: Component
    trainer: TrainerConfig
    bootstrap: bool = False

    def with_member(self, member: MemberConfig, *, seed_offset: int = 0, bootstrap: bool = False) -> Learner:
        """Return the learner of one member: this one's settings where the member names none.

        Args:
            member: what differs.
            seed_offset: added to this learner's seed, modulo 2**31.
            bootstrap: whether it draws its training rows with replacement, as it does in any case where this one does.
        """
        # Parts that were checked once are not checked again: only loading knows the project's own packages.
        return Learner.model_construct(
            seed=(self.seed + seed_offset) % 2**31,
            model=member.model,
            features=member.features or self.features,
            optimizer=member.optimizer or self.optimizer,
            scheduler=member.scheduler or self.scheduler,
            trainer=type(self.trainer).model_validate({**self.trainer.model_dump(), **member.trainer}),
            bootstrap=self.bootstrap or bootstrap,
        )

    def members(self) -> dict[str, Learner]:
        """Return the learners of an ensemble by name, in order; empty where the model is no ensemble.

        Copy 0 keeps the seed, so a member trains to the weights it would reach alone. The other copies of all members
        are numbered consecutively, and the number becomes one digit of the distance to the plan's seed, in the number
        system of base 7919: the last digit in an ensemble of plain models, the one before it in an ensemble of those.
        So no two copies of a nested ensemble come to the same seed.
        """
        if not isinstance(self.model, EnsembleConfig):
            return {}
        copies, many = self.model.copies, len(self.model.members)
        digit = SEED_BASE ** _height(self.model)
        return {
            f"{name}-{copy}" if copies > 1 else name: self.with_member(
                member,
                seed_offset=digit * ((copy - 1) * many + position + 1) if copy else 0,
                bootstrap=self.model.bootstrap,
            )
            for position, (name, member) in enumerate(self.model.members.items())
            for copy in range(copies)
        }

    def single_learners(self, path: str) -> Iterator[tuple[str, Learner]]:
        """Yield each learner that is no ensemble, its copies once, with the key of its model in the plan.

        Args:
            path: the key of this learner's own model, such as `model` or `baseline`.
        """
        if not isinstance(self.model, EnsembleConfig):
            yield path, self
            return
        for name, member in self.model.members.items():
            yield from self.with_member(member).single_learners(f"{path}.members.{name}")


def _height(model: AnyModel) -> int:
    """Return how many levels of ensembles a model has; 0 where it is none."""
    if not isinstance(model, EnsembleConfig):
        return 0
    return 1 + max(_height(member.model) for member in model.members.values())


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
        return Learner.model_construct(**{name: getattr(self, name) for name in Learner.model_fields})
