"""Tensors batched by index: no row is ever touched by Python."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from headframe.examples.encode import Examples
from headframe.examples.seeds import order

RESIDENT = 0.5
"""Share of the free memory of a GPU that examples may take; larger ones stay pinned on the host."""


class Batch(NamedTuple):
    """Inputs (batch, ...) and targets (batch, ...)."""

    inputs: Tensor
    target: Tensor


class TensorExamples:
    """Examples as tensors, on the device where they fit; windows are gathered and never laid out as a whole.

    Args:
        examples: encoded rows.
        device: where batches are wanted.
    """

    def __init__(self, examples: Examples, device: torch.device) -> None:
        inputs, target = torch.from_numpy(examples.inputs), torch.from_numpy(examples.target)
        if device.type == "cuda":
            size = inputs.nbytes + target.nbytes
            if size < RESIDENT * torch.cuda.mem_get_info(device)[0]:
                inputs, target = inputs.to(device), target.to(device)
        self.device = device
        self.home = inputs.device
        if examples.lookback:
            self.inputs = _sliding(inputs, 0, examples.lookback)
            self.target = _sliding(target, examples.lookback, examples.horizon)
        else:
            self.inputs, self.target = inputs, target

    def take(self, numbers: Tensor) -> Batch:
        """Gather the examples with these numbers, int64 (batch,), from where they lie."""
        numbers = numbers.to(self.home)
        inputs, target = self.inputs[numbers], self.target[numbers]
        if self.home == self.device:
            return Batch(inputs, target)
        # Only from pinned memory does the copy run beside the computation.
        inputs, target = inputs.pin_memory(), target.pin_memory()
        return Batch(inputs.to(self.device, non_blocking=True), target.to(self.device, non_blocking=True))


def _sliding(rows: Tensor, first: int, length: int) -> Tensor:
    """View rows (rows, channels) as (windows, length, channels) without copying; window 0 begins at row `first`."""
    rows = rows[first:].contiguous()
    return rows.unfold(0, length, 1).transpose(1, 2)


class Batches:
    """Which examples make the batch of a step: a function of the seed and the step alone.

    All examples of an epoch are dealt into as few batches as `batch_size` allows; their sizes differ by one at most,
    so no epoch ends in a batch of a single example, of which batch normalisation could learn nothing.

    Args:
        numbers: of the training examples, int64.
        batch_size: largest number of examples in a batch.
        seed: of the order.
        device: where the numbers are wanted.
    """

    def __init__(self, numbers: Tensor, *, batch_size: int, seed: int, device: torch.device) -> None:
        self.numbers = numbers.to(device)
        self.seed = seed
        self.device = device
        self.steps_per_epoch = -(-len(numbers) // batch_size)
        self._epoch = -1
        self._dealt: tuple[Tensor, ...] = ()

    def at(self, step: int) -> Tensor:
        """Give the numbers of the examples at a step, int64 (batch,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            shuffled = torch.from_numpy(order(self.seed, epoch, len(self.numbers))).to(self.device)
            self._dealt = self.numbers[shuffled].tensor_split(self.steps_per_epoch)
            self._epoch = epoch
        return self._dealt[place]

    def sizes(self) -> Tensor:
        """Give the number of examples of each step of an epoch, float64 (steps,)."""
        dealt = torch.arange(len(self.numbers)).tensor_split(self.steps_per_epoch)
        return torch.tensor([len(part) for part in dealt], dtype=torch.float64)
