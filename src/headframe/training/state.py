"""How far a training has come, and what its epochs gave: all that a checkpoint holds besides weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict

import torch
from torch import Tensor

from headframe.config.plan.trainer import EarlyStoppingConfig
from headframe.errors import DataError, HeadframeError


class Epoch(TypedDict):
    """One line of `history.json`; losses are means over examples, `primary_metric` is the task's.

    `train_loss` is the sum of `losses`, which are there where a method has several.
    """

    epoch: int
    train_loss: float
    val_loss: float
    primary_metric: float | None
    learning_rate: float
    losses: NotRequired[dict[str, float]]


@dataclass(frozen=True)
class EpochMonitor:
    """Finds the best epoch of a history and decides when to stop.

    Attributes:
        monitor: `loss` or `primary_metric`, both on validation rows.
        higher_is_better: direction of `primary_metric`.
        primary_metric: name of the primary metric, for messages.
        early_stopping: when to stop; None: never.
    """

    monitor: Literal["loss", "primary_metric"]
    higher_is_better: bool
    primary_metric: str
    early_stopping: EarlyStoppingConfig | None

    def best(self, history: list[Epoch]) -> int:
        """Return the position of the best epoch in the history; the first one of equals."""
        errors = self._errors(history)
        return errors.index(min(errors))

    def should_stop(self, history: list[Epoch]) -> bool:
        """Return whether the last `patience` epochs brought no improvement."""
        if self.early_stopping is None:
            return False
        best, since = math.inf, 0
        for error in self._errors(history):
            improved = error < best - self.early_stopping.min_delta
            best, since = (error, 0) if improved else (best, since + 1)
        return since >= self.early_stopping.patience

    def check(self, epoch: Epoch) -> None:
        """Refuse an epoch that nothing can be learned from.

        Raises:
            HeadframeError: a loss is NaN or infinite.
            DataError: the monitored metric is not defined on the validation rows.
        """
        for name in ("train_loss", "val_loss"):
            if not math.isfinite(epoch[name]):
                raise HeadframeError(
                    f"training diverged: {name} is {epoch[name]} in epoch {epoch['epoch']}; "
                    "lower optimizer.lr, or bound the gradient with trainer.gradient_clip"
                )
        if self.monitor == "primary_metric" and epoch["primary_metric"] is None:
            name = self.primary_metric
            raise DataError(f"validation rows do not define {name}, which is monitored; set trainer.monitor=loss")

    def _errors(self, history: list[Epoch]) -> list[float]:
        if self.monitor == "loss":
            return [epoch["val_loss"] for epoch in history]
        values = [epoch["primary_metric"] for epoch in history]
        return [math.inf if value is None else -value if self.higher_is_better else value for value in values]


@dataclass
class TrainingState:
    """The progress of a training.

    Attributes:
        step: optimiser steps done.
        history: finished epochs.
        losses: by name, of each step of the unfinished epoch, detached, on the device.
        best: weights after the best epoch so far, on the CPU; empty where the last ones are kept.
        stopped: whether early stopping ended the training.
    """

    step: int = 0
    history: list[Epoch] = field(default_factory=list)
    losses: dict[str, list[Tensor]] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    stopped: bool = False

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of a step."""
        for name, loss in losses.items():
            self.losses.setdefault(name, []).append(loss.detach())

    def mean_losses(self, sizes: Tensor) -> dict[str, float]:
        """Average the losses of the epoch's batches over their examples, of which each batch has `sizes`."""
        of_batches = {name: torch.stack(each).cpu().double() for name, each in self.losses.items()}
        return {name: float((each * sizes).sum() / sizes.sum()) for name, each in of_batches.items()}
