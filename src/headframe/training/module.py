"""The one module that trains every network."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from headframe.config.build import build
from headframe.config.plan.learner import LearnerConfig
from headframe.examples.batches import Batches, TensorExamples
from headframe.examples.seeds import seed_of
from headframe.tasks.dense import DenseTask
from headframe.training.state import TrainingState

MAX_STEPS = 64
"""Optimiser steps in one chunk at most."""
CHUNK_SECONDS = 0.1
"""Wall time that a chunk should take: long beside Lightning's own cost, short to a person who watches."""


class StepChunks:
    """The remaining steps of an epoch, cut into what Lightning takes for batches.

    Lightning spends a fraction of a millisecond on each batch, more than a small network on its step. A batch is
    therefore a chunk of consecutive steps, as long as the clock allows; no chunk crosses the end of an epoch or a
    checkpoint. How steps are grouped does not touch what they compute.

    Args:
        state: whose step is the first; read whenever an epoch begins.
        steps_per_epoch: optimiser steps of one epoch.
        checkpoint_steps: steps between two checkpoints within an epoch.
    """

    def __init__(self, state: TrainingState, *, steps_per_epoch: int, checkpoint_steps: int) -> None:
        self.state = state
        self.steps_per_epoch = steps_per_epoch
        self.checkpoint_steps = checkpoint_steps

    def __iter__(self) -> Iterator[range]:
        """Yield the numbers of the steps of each chunk."""
        step = self.state.step
        end = (step // self.steps_per_epoch + 1) * self.steps_per_epoch
        length = 1
        while step < end:
            checkpoint = (step // self.checkpoint_steps + 1) * self.checkpoint_steps
            stop = min(step + length, checkpoint, end)
            began = time.monotonic()
            yield range(step, stop)
            fast = time.monotonic() - began < CHUNK_SECONDS
            length = min(2 * length, MAX_STEPS) if fast else max(length // 2, 1)
            step = stop


class SupervisedModule(LightningModule):
    """Fits a network to a task by the learner's optimiser, schedule and augmentations.

    Optimisation is manual, since one of Lightning's batches holds many steps. Noise is a function of seed, step and
    rank, and the order of rows one of seed and epoch; so what a step does depends on nothing but weights, the
    optimiser's state and its number. Each step updates `state`.
    """

    def __init__(
        self,
        network: nn.Module,
        task: DenseTask,
        learner: LearnerConfig,
        *,
        examples: TensorExamples,
        batches: Batches,
        state: TrainingState,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.task = task
        self.learner = learner
        self.examples = examples
        self.batches = batches
        self.state = state
        self.channels_last = channels_last
        self.optimizer: Optimizer
        self.scheduler: LRScheduler
        self.learning_rate = 0.0
        self._augmentations = [build(component) for component in learner.features.augment.values()]
        # In a list, for a module would be registered twice and double every name in the state.
        self._compiled: list[Callable[[Tensor], Tensor]] = [
            torch.compile(network) if learner.trainer.compile else network
        ]
        self._noise = _default_generator(examples.device)
        self._augmentation_noise = torch.Generator(examples.device)

    @override
    def configure_optimizers(self) -> Optimizer:
        self.optimizer = build(self.learner.optimizer, list(self.network.parameters()))
        per_epoch = self.batches.steps_per_epoch
        total = self.learner.trainer.max_epochs * per_epoch
        self.scheduler = build(self.learner.scheduler, self.optimizer, total_steps=total, steps_per_epoch=per_epoch)
        return self.optimizer

    @override
    def transfer_batch_to_device(self, batch: range, device: torch.device, dataloader_idx: int) -> range:
        """Return the numbers of steps unchanged; their examples are on the device already."""
        return batch

    @override
    def training_step(self, batch: range) -> None:
        """Take the optimiser steps with these numbers."""
        scaler = self.trainer.precision_plugin.scaler if self.trainer.precision == "16-mixed" else None
        seed, rank = self.learner.seed, self.trainer.global_rank
        for step in batch:
            self._noise.manual_seed(seed_of(seed, "noise", step, rank))
            inputs, target = self.examples.take(self.batches.at(step))
            if self._augmentations:
                self._augmentation_noise.manual_seed(seed_of(seed, "augmentation", step, rank))
                for augmentation in self._augmentations:
                    inputs = augmentation(inputs, self._augmentation_noise)
            self.optimizer.zero_grad()
            loss = self.task.loss(self._compiled[0](self._in_layout(inputs)), target)
            self._update(loss, scaler)
            self.state.losses.append(loss.detach())
            self.state.step = step + 1

    def _in_layout(self, inputs: Tensor) -> Tensor:
        return inputs.contiguous(memory_format=torch.channels_last) if self.channels_last else inputs

    def _update(self, loss: Tensor, scaler: Any) -> None:
        """Update weights and learning rate by one step; half precision scales its gradients meanwhile."""
        (loss if scaler is None else scaler.scale(loss)).backward()
        clip = self.learner.trainer.gradient_clip
        if clip is not None:
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.scheduler.step()

    def outputs(self, indices: Tensor, batch_size: int) -> Tensor:
        """Compute the outputs for examples, float32 (examples, *outputs) on the CPU, in evaluation mode."""
        was_training = self.network.training
        self.network.eval()
        with torch.inference_mode(), self.trainer.precision_plugin.forward_context():
            outputs = [
                self.network(self._in_layout(self.examples.take(chosen).inputs)).float().cpu()
                for chosen in torch.split(indices, batch_size)
            ]
        self.network.train(was_training)
        return torch.cat(outputs)


def _default_generator(device: torch.device) -> torch.Generator:
    """Return the generator that dropout on a device draws from.

    `torch.manual_seed` would seed every device there is, at the cost of a stack trace for each step.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch does not annotate it
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator
