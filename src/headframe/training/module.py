"""The one module that trains every network."""

import time
from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from headframe.config.build import build
from headframe.config.plan.learner import LearnerConfig
from headframe.examples.batches import Batch, Batches, TensorExamples, each_tensor
from headframe.examples.seeds import seed_of
from headframe.methods.base import Method
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


class MethodModule(LightningModule):
    """Fits a network by a method and the learner's optimiser, schedule and augmentations.

    Optimisation is manual, since one of Lightning's batches holds many steps, and a step as many moves as the method
    has. Noise is a function of seed, step and rank, and the order of rows one of seed and epoch; so what a step does
    depends on nothing but weights, the optimisers' state and its number. Each step updates `state`.
    """

    def __init__(
        self,
        network: nn.Module,
        method: Method[Any],
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
        self.method = method
        self.learner = learner
        self.examples = examples
        self.batches = batches
        self.state = state
        self.channels_last = channels_last
        self.weights = dict(method.moves())
        self.optimizers_: dict[str, Optimizer] = {}
        self.schedulers_: dict[str, LRScheduler] = {}
        self.learning_rate = 0.0
        self._augmentations = [build(component) for component in learner.features.augment.values()]
        if learner.trainer.compile:
            method.network = torch.compile(network)  # type: ignore[assignment]  # calls the network's `forward`
        self._noise = _default_generator(examples.device)
        self._augmentation_noise = torch.Generator(examples.device)

    @override
    def configure_optimizers(self) -> list[Optimizer]:
        per_epoch = self.batches.steps_per_epoch
        total = self.learner.trainer.max_epochs * per_epoch
        for move, weights in self.weights.items():
            optimizer = build(self.learner.optimizer, list(weights))
            self.optimizers_[move] = optimizer
            scheduler = build(self.learner.scheduler, optimizer, total_steps=total, steps_per_epoch=per_epoch)
            self.schedulers_[move] = scheduler
        return list(self.optimizers_.values())

    @override
    def transfer_batch_to_device(self, batch: range, device: torch.device, dataloader_idx: int) -> range:
        """Return the numbers of steps unchanged; their examples are on the device already."""
        return batch

    @override
    def training_step(self, batch: range) -> None:
        """Take the steps with these numbers."""
        scaler = self.trainer.precision_plugin.scaler if self.trainer.precision == "16-mixed" else None
        seed, rank = self.learner.seed, self.trainer.global_rank
        for step in batch:
            self._noise.manual_seed(seed_of(seed, "noise", step, rank))
            examples = self._take(self.batches.at(step))
            if self._augmentations:
                self._augmentation_noise.manual_seed(seed_of(seed, "augmentation", step, rank))
                for augmentation in self._augmentations:
                    examples = augmentation(examples, self._augmentation_noise)
            found: dict[str, Tensor] = {}
            for move in self.weights:
                self.optimizers_[move].zero_grad()
                losses = self.method.losses(move, examples)
                self._update(move, reduce(add, losses.values()), scaler)
                found |= losses
            self.state.add(found)
            self.state.step = step + 1

    def _take(self, indices: Tensor) -> Batch:
        examples = self.examples.take(indices)
        if not self.channels_last:
            return examples
        inputs = each_tensor(lambda x: x.contiguous(memory_format=torch.channels_last), examples.inputs)
        return examples._replace(inputs=inputs)

    def _update(self, move: str, loss: Any, scaler: Any) -> None:
        """Update the weights and the learning rate of a move once; half precision scales its gradients meanwhile."""
        optimizer = self.optimizers_[move]
        (loss if scaler is None else scaler.scale(loss)).backward()
        clip = self.learner.trainer.gradient_clip
        if clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.weights[move], clip)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        self.schedulers_[move].step()

    def validate(self, indices: Tensor, batch_size: int) -> tuple[float, pa.Table | None]:
        """Return the loss of examples in evaluation mode, and their predictions in order; see `Method.validate`."""
        was_training = self.network.training
        self.network.eval()
        with torch.inference_mode(), self.trainer.precision_plugin.forward_context():
            found = self.method.validate(self._take(chosen) for chosen in torch.split(indices, batch_size))
        self.network.train(was_training)
        return found


def _default_generator(device: torch.device) -> torch.Generator:
    """Return the generator that dropout on a device draws from.

    `torch.manual_seed` would seed every device there is, at the cost of a stack trace for each step.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch does not annotate it
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator
