"""The one module that trains every network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from headframe.examples.batches import Batches, TensorExamples
from headframe.examples.seeds import seed_of
from headframe.tasks.base import Task
from headframe.training.course import TrainingState

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
LONGEST = 64
"""Optimiser steps in one stretch at most."""
PULSE = 0.1
"""Seconds that a stretch should take: long beside Lightning's own cost, short to a person who watches."""


class StepChunks:
    """The steps that are left, cut into what Lightning takes for batches.

    Lightning spends a fraction of a millisecond on each batch, more than a small network on its step. A batch is
    therefore a stretch of consecutive steps, as long as the clock allows; no stretch crosses the end of an epoch or a
    checkpoint. How steps are grouped does not touch what they compute.

    Args:
        course: where to begin.
        steps_per_epoch: optimiser steps of one epoch.
        checkpoint_steps: steps between two checkpoints within an epoch.
    """

    def __init__(self, course: TrainingState, *, steps_per_epoch: int, checkpoint_steps: int) -> None:
        self.course = course
        self.steps_per_epoch = steps_per_epoch
        self.checkpoint_steps = checkpoint_steps

    def __iter__(self) -> Iterator[range]:
        """Yield the rest of the epoch in which the course stands."""
        step = self.course.step
        end = (step // self.steps_per_epoch + 1) * self.steps_per_epoch
        length = 1
        while step < end:
            pause = (step // self.checkpoint_steps + 1) * self.checkpoint_steps
            stop = min(step + length, pause, end)
            began = time.monotonic()
            yield range(step, stop)
            fast = time.monotonic() - began < PULSE
            length = min(2 * length, LONGEST) if fast else max(length // 2, 1)
            step = stop


@dataclass(frozen=True)
class Steps:
    """What a step needs besides a network.

    Attributes:
        examples: where batches are gathered from.
        batches: which examples a step takes.
        augmentations: random changes of inputs, in this order.
        optimizer: makes the optimiser of the parameters.
        scheduler: makes the schedule of an optimiser.
        seed: of dropout and augmentation.
        gradient_clip: largest norm of the gradient; None: as it comes.
        channels_last: whether images are laid out with channels last.
    """

    examples: TensorExamples
    batches: Batches
    augmentations: Sequence[Augmentation]
    optimizer: Callable[[Sequence[nn.Parameter]], Optimizer]
    scheduler: Callable[[Optimizer], LRScheduler]
    seed: int
    gradient_clip: float | None
    channels_last: bool


class SupervisedModule(LightningModule):
    """Steps a network towards a task.

    Optimisation is manual, since one of Lightning's batches holds many steps. Noise is a function of seed, step and
    rank, and the order of rows one of seed and epoch; so what a step does depends on nothing but weights, the
    optimiser's state and its number.

    Args:
        network: what learns.
        task: what is learned.
        steps: what a step needs.
        course: where training stands; moved on by each step.
        compiled: the network as `torch.compile` gave it, or the network itself.
    """

    def __init__(
        self, network: nn.Module, task: Task, steps: Steps, course: TrainingState, compiled: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.task = task
        self.steps = steps
        self.course = course
        self.optimizer: Optimizer
        self.scheduler: LRScheduler
        self.learning_rate = 0.0
        # In a list, for a module would be registered twice and double every name in the state.
        self._compiled = [compiled]
        device = steps.examples.device
        self._noise = _generator_of(device)
        self._augmentation_noise = torch.Generator(device)

    @override
    def configure_optimizers(self) -> Optimizer:
        self.optimizer = self.steps.optimizer(list(self.network.parameters()))
        self.scheduler = self.steps.scheduler(self.optimizer)
        return self.optimizer

    @override
    def transfer_batch_to_device(self, batch: range, device: torch.device, dataloader_idx: int) -> range:
        """Leave the numbers of steps where they are; their examples are on the device already."""
        return batch

    @override
    def training_step(self, batch: range) -> None:
        """Take the optimiser steps with these numbers."""
        steps, course, compiled = self.steps, self.course, self._compiled[0]
        scaler = self.trainer.precision_plugin.scaler if self.trainer.precision == "16-mixed" else None
        rank = self.trainer.global_rank
        for step in batch:
            self._noise.manual_seed(seed_of(steps.seed, "noise", step, rank))
            inputs, target = steps.examples.take(steps.batches.at(step))
            if steps.augmentations:
                self._augmentation_noise.manual_seed(seed_of(steps.seed, "augmentation", step, rank))
                for change in steps.augmentations:
                    inputs = change(inputs, self._augmentation_noise)
            if steps.channels_last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            self.optimizer.zero_grad()
            loss = self.task.loss(compiled(inputs), target)
            self._descend(loss, scaler)
            course.losses.append(loss.detach())
            course.step = step + 1

    def _descend(self, loss: Tensor, scaler: Any) -> None:
        """Move the weights and the learning rate by one step; half precision scales its gradients meanwhile."""
        (loss if scaler is None else scaler.scale(loss)).backward()
        if self.steps.gradient_clip is not None:
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.steps.gradient_clip)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.scheduler.step()

    def outputs(self, numbers: Tensor, batch_size: int) -> Tensor:
        """Give the outputs for examples, float32 (examples, *outputs) on the CPU, in evaluation mode."""
        was_training = self.network.training
        self.network.eval()
        found = []
        with torch.inference_mode(), self.trainer.precision_plugin.forward_context():
            for chosen in torch.split(numbers, batch_size):
                inputs = self.steps.examples.take(chosen).inputs
                if self.steps.channels_last:
                    inputs = inputs.contiguous(memory_format=torch.channels_last)
                found.append(self.network(inputs).float().cpu())
        self.network.train(was_training)
        return torch.cat(found)


def _generator_of(device: torch.device) -> torch.Generator:
    """Give the generator that dropout on a device draws from.

    `torch.manual_seed` would seed every device there is, at the cost of a stack trace for each step.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator
