"""What methods have in common that learn to generate images from noise."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor
from typing_extensions import override

from headframe.examples.batches import Batch, Inputs
from headframe.features.base import finite
from headframe.methods.base import Method, on_host
from headframe.tasks.generation import IMAGES, Generation
from headframe.tasks.image_features import LEVELS


class GenerativeMethod(Method[Generation], ABC):
    """Learns from images, and makes them of noise that comes as the input.

    In training the noise is drawn in each step, so that no image has noise of its own.
    """

    network: Any  # torch's types know no parts of networks

    @abstractmethod
    def generate(self, noise: Any) -> Tensor:
        """Return images (batch, channels, height, width) of brightness 0 to 1."""

    def images(self, batch: Batch) -> Tensor:
        """Return the real images of a batch: (batch, channels, height, width) of brightness 0 to 1."""
        return batch.targets[IMAGES].permute(0, 3, 1, 2).float() / LEVELS

    def noise(self, batch: Batch) -> Tensor:
        """Return noise like the inputs of a batch, drawn in training; else these themselves."""
        assert isinstance(batch.inputs, Tensor)  # noqa: S101 - of one encoder
        return torch.randn_like(batch.inputs) if self.network.training else batch.inputs

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        return self.task.columns(on_host(self.generate(inputs)))

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        tables, loss, examples = [], 0.0, 0
        diverged = False
        for batch in batches:
            found = on_host(self.generate(batch.inputs))
            diverged |= not finite(found)
            tables.append(self.task.columns(found))
            loss += len(found) * sum(float(each) for move in self.moves() for each in self.losses(move, batch).values())
            examples += len(found)
        return loss / examples, None if diverged else pa.concat_tables(tables)
