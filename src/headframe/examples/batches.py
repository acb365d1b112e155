"""Tensors batched by index: no row is ever touched by Python."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from headframe.examples.encode import Examples
from headframe.examples.seeds import order
from headframe.examples.storage import expect_any_order, is_mapped, read_ahead

RESIDENT = 0.5
"""Share of the free memory of a GPU that examples may take; larger ones stay pinned on the host."""


Inputs: TypeAlias = Tensor | dict[str, Tensor]
"""What a network takes of a batch of examples: (batch, ...), or several of these by name."""


class Batch(NamedTuple):
    """The inputs of some examples, and by name what a network learns of them; each (batch, ...)."""

    inputs: Inputs
    targets: Mapping[str, Tensor]


class TensorExamples:
    """Examples as tensors, on the device where they fit; those of several rows are never laid out as a whole."""

    def __init__(self, examples: Examples, device: torch.device) -> None:
        inputs = as_tensors(examples.inputs)
        targets = {name: torch.from_numpy(each) for name, each in examples.target.items()}
        arrays = [*(inputs.values() if isinstance(inputs, dict) else [inputs]), *targets.values()]
        fits = device.type == "cuda" and sum(each.nbytes for each in arrays) < RESIDENT * _free_memory(device)
        self.device = device
        self.storage_device = device if fits else torch.device("cpu")
        self.framing, self.reads = examples.framing, examples.reads

        def stored(values: Tensor) -> Tensor:
            return values.to(self.storage_device)

        self.inputs, self.targets = each_tensor(stored, inputs), {name: stored(each) for name, each in targets.items()}
        given = examples.inputs.values() if isinstance(examples.inputs, dict) else [examples.inputs]
        self._mapped_inputs, self._mapped_targets = (
            [] if fits else [each for each in arrays if is_mapped(each)] for arrays in (given, examples.target.values())
        )
        for each in (*self._mapped_inputs, *self._mapped_targets):
            expect_any_order(each)

    def take(self, positions: Tensor) -> Batch:
        """Gather the examples at these positions, int64 (batch,), on the device."""
        if self.framing.alone:
            read = behind = positions.to(self.storage_device)
        else:
            numbers = positions.cpu().numpy()
            read, behind = (
                torch.from_numpy(index.astype(np.int64, copy=False)).to(self.storage_device)
                for index in (self.reads(numbers), self.framing.targets(numbers))
            )
        padded = not self.framing.alone and bool((read < 0).any())
        for mapped, index in ((self._mapped_inputs, read), (self._mapped_targets, behind)):
            for values in mapped:
                read_ahead(values, index.numpy())

        def chosen(values: Tensor, index: Tensor, *, padded: bool = False) -> Tensor:
            found = values[index]
            if padded:
                found[index < 0] = 0
            if self.storage_device == self.device:
                return found
            # Only from pinned memory does the copy overlap with the computation.
            return found.pin_memory().to(self.device, non_blocking=True)

        inputs = each_tensor(lambda values: chosen(values, read, padded=padded), self.inputs)
        return Batch(inputs, {name: chosen(each, behind) for name, each in self.targets.items()})


def as_tensors(encoded: Any) -> Inputs:
    """Return encoded examples as tensors that share their memory."""
    if isinstance(encoded, dict):
        return {name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in encoded.items()}
    return torch.from_numpy(np.ascontiguousarray(encoded))


def each_tensor(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """Return what a function makes of inputs, or of each of several."""
    if isinstance(inputs, dict):
        return {name: function(each) for name, each in inputs.items()}
    return function(inputs)


def _free_memory(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])


class Batches:
    """Which examples make the batch of a step: a function of the seed and the step alone.

    All examples of an epoch are divided into as few batches as `batch_size` allows; their sizes differ by one at most,
    so no epoch ends in a batch of a single example, on which batch normalisation is undefined.

    Args:
        positions: of the training examples, int64.
        batch_size: largest number of examples in a batch.
        seed: of the order.
        device: of what `at` returns.
    """

    def __init__(self, positions: Tensor, *, batch_size: int, seed: int, device: torch.device) -> None:
        self.positions = positions.to(device)
        self.seed = seed
        self.device = device
        self.steps_per_epoch = -(-len(positions) // batch_size)
        self._epoch = -1
        self._batches: tuple[Tensor, ...] = ()

    def at(self, step: int) -> Tensor:
        """Return the positions of the examples at a step, int64 (batch,)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            shuffled = torch.from_numpy(order(self.seed, epoch, len(self.positions))).to(self.device)
            self._batches = self.positions[shuffled].tensor_split(self.steps_per_epoch)
            self._epoch = epoch
        return self._batches[position]

    def sizes(self) -> Tensor:
        """Return the number of examples of each step of an epoch, float64 (steps,)."""
        batches = torch.arange(len(self.positions)).tensor_split(self.steps_per_epoch)
        return torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
