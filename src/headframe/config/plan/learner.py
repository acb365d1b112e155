"""The parts of a plan that decide the weights: features, task, model, optimiser, trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from headframe.config.plan.component import ColumnType, Component, Kind, Name, TaskKind
from headframe.digests import Record

SEED_BASE = 7919  # a prime; more copies than anybody trains


class FeaturesConfig(Record):
    """How raw rows become what a model takes."""

    gives: Kind
    reads: tuple[ColumnType, ...] = ()  # types of column that the encoder takes; none: whatever comes
    encoder: Component
    augment: dict[str, Component] = {}  # random changes of training inputs, by name, in this order

    def columns(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Name the columns that the encoder reads: those of its `column` or `columns`, else the data set's inputs.

        Empty where the encoder takes one column and none is named although there are several inputs.
        """
        settings = self.encoder.arguments
        if "column" not in settings:
            return tuple(settings.get("columns") or inputs)
        if settings["column"]:
            return (settings["column"],)
        return inputs if len(inputs) == 1 else ()


class TaskConfig(Component):
    """What is predicted."""

    kind: TaskKind


class ModelConfig(Component):
    """A network or an estimator, and what it can be used for."""

    tasks: tuple[TaskKind, ...] = Field(min_length=1)
    inputs: tuple[Kind, ...] = Field(min_length=1)


class EarlyStoppingConfig(Record):
    """Stop when validation no longer improves."""

    patience: int = Field(ge=1)  # epochs without improvement
    min_delta: float = Field(default=0.0, ge=0)  # smaller changes are no improvement


class TrainerConfig(Record):
    """How a network is trained; estimators use `threads` alone."""

    max_epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # examples per optimiser step
    evaluation_batch_size: int = Field(default=1024, ge=1)  # examples per forward pass without gradients
    threads: int = Field(default=1, ge=1)  # of one training process; the number changes the bits of the result
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"  # auto: bf16-mixed on CUDA, else 32-true
    channels_last: bool = False  # memory layout of images
    compile: bool = False  # torch.compile the network
    gradient_clip: float | None = Field(default=None, gt=0)  # largest gradient norm
    early_stopping: EarlyStoppingConfig | None = None
    monitor: Literal["loss", "lead"] = "loss"  # what early stopping and `keep: best` look at, on validation rows
    keep: Literal["best", "last"] = "best"  # which epoch's weights are the result
    checkpoint_steps: int = Field(default=200, ge=1)  # optimiser steps from one possible checkpoint to the next

    @model_validator(mode="after")
    def _precision_fits(self) -> Self:
        if self.accelerator == "cpu" and self.precision == "16-mixed":
            msg = "precision 16-mixed needs a GPU, but accelerator is cpu; take 32-true or bf16-mixed"
            raise ValueError(msg)
        return self


class EnsembleConfig(Component):
    """Several learners whose scores the `_target_` combines."""

    members: dict[Name, MemberConfig] = Field(min_length=1)
    copies: int = Field(default=1, ge=1)  # times each member is trained, each with another seed
    bootstrap: bool = False  # bagging: every copy draws its training rows with replacement

    @model_validator(mode="after")
    def _has_company(self) -> Self:
        if len(self.members) * self.copies < 2:  # noqa: PLR2004 - two is what "several" means
            msg = "an ensemble of one member and one copy combines nothing; add a member or raise copies"
            raise ValueError(msg)
        return self


def _is_ensemble(value: Any) -> str:
    members = value.get("members") if isinstance(value, Mapping) else getattr(value, "members", None)
    return "model" if members is None else "ensemble"


AnyModel = Annotated[
    Annotated[ModelConfig, Tag("model")] | Annotated[EnsembleConfig, Tag("ensemble")], Discriminator(_is_ensemble)
]


class MemberConfig(Record):
    """One learner of an ensemble, or a baseline: a model, and what differs from the plan's own settings."""

    model: AnyModel
    features: FeaturesConfig | None = None
    optimizer: Component | None = None
    scheduler: Component | None = None
    trainer: dict[str, Any] = {}  # keys of `trainer` that differ

    @field_validator("trainer")
    @classmethod
    def _is_part_of_a_trainer(cls, changes: dict[str, Any]) -> dict[str, Any]:
        TrainerConfig.model_validate({"max_epochs": 1, "batch_size": 1, **changes})  # the two that have no default
        return changes


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
            trainer=TrainerConfig.model_validate({**self.trainer.model_dump(), **member.trainer}),
            bootstrap=self.bootstrap or bootstrap,
        )

    def members(self) -> dict[str, Learner]:
        """Name the learners of an ensemble in their order; empty where the model is no ensemble.

        Copy 0 keeps the seed, so a member trains to the weights it would reach alone. The other copies of all members
        are counted through, and the count becomes one digit of the distance to the plan's seed, in the number system
        of base 7919: the last digit in an ensemble of plain models, the one before it in an ensemble of those. So no
        two copies of a nested ensemble come to the same seed.
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


def _height(model: AnyModel) -> int:
    """Count how many ensembles stand on top of each other."""
    if not isinstance(model, EnsembleConfig):
        return 0
    return 1 + max(_height(member.model) for member in model.members.values())


def _leaves(path: str, learner: Learner) -> Iterator[tuple[str, Learner]]:
    """Yield every learner that is no ensemble, its copies once, with the key under which the plan has it."""
    if not isinstance(learner.model, EnsembleConfig):
        yield path, learner
        return
    for name, member in learner.model.members.items():
        yield from _leaves(f"{path}.members.{name}", learner.with_member(member))
