"""The parts of a plan that say how a network is trained, and where."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from headframe.config.plan.component import DECLARED, Component, Distinct, Name
from headframe.digests import Record


class OptimizerConfig(Component):
    """How weights follow their gradients."""

    expects: ClassVar[tuple[str, ...]] = ("torch.optim.optimizer.Optimizer",)


class MethodConfig(Component):
    """How a network learns its task, and how what it computes becomes predictions."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.methods.base.Method",)
    tasks: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # kinds of task that it learns
    parts: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # parts that a network must have for it


class SchedulerConfig(Component):
    """How the learning rate changes."""

    expects: ClassVar[tuple[str, ...]] = ("torch.optim.lr_scheduler.LRScheduler",)


class LauncherConfig(Component):
    """Where the training program runs."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.training.launchers.base.Launcher",)


class EarlyStoppingConfig(Record):
    """When training stops because validation no longer improves."""

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
    monitor: Literal["loss", "primary_metric"] = "loss"  # for early stopping and `keep: best`, on validation rows
    keep: Literal["best", "last"] = "best"  # which epoch's weights are the result
    checkpoint_steps: int = Field(default=200, ge=1)  # optimiser steps from one possible checkpoint to the next

    @model_validator(mode="after")
    def _precision_fits(self) -> Self:
        if self.accelerator == "cpu" and self.precision == "16-mixed":
            raise ValueError("precision 16-mixed needs a GPU, but accelerator is cpu; take 32-true or bf16-mixed")
        return self


def _check_changes(changes: dict[str, Any]) -> dict[str, Any]:
    TrainerConfig.model_validate({"max_epochs": 1, "batch_size": 1, **changes})  # the two that have no default
    return changes


TrainerChanges = Annotated[dict[str, Any], AfterValidator(_check_changes)]
"""Keys of `trainer` that differ."""


class PhaseConfig(Record):
    """A part of a network's training: what differs in it from the plan's own settings.

    The order is written out, since that of an object's keys gets lost in JSON that is sorted to be compared.
    """

    order: int = 0  # phases with a lower one come first, those with the same one as they are written
    method: MethodConfig | None = None
    optimizer: OptimizerConfig | None = None
    scheduler: SchedulerConfig | None = None
    trainer: TrainerChanges = {}
    trains: Distinct[Name] = ()  # parts of the network, as its file declares them, whose weights change; none: all


def _in_order(phases: dict[str, PhaseConfig]) -> dict[str, PhaseConfig]:
    """Return phases in their order, numbered from 0."""
    numbered = enumerate(sorted(phases.items(), key=lambda item: item[1].order))
    return {name: phase.model_copy(update={"order": number}) for number, (name, phase) in numbered}


Phases = Annotated[dict[Name, PhaseConfig], AfterValidator(_in_order)]
"""The phases of a network's training, one after the other, by name; none: a single one, by the plan's own settings."""
