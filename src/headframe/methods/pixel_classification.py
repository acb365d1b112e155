"""Learn masks: the class of each pixel of images."""

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from typing_extensions import override

from headframe.config.ranges import NotNegative
from headframe.errors import DataError
from headframe.examples.batches import Batch, Inputs
from headframe.methods.base import Method
from headframe.tasks.segmentation import MASK, OUTSIDE, Segmentation


class PixelClassification(Method[Segmentation]):
    """Lowers the cross entropy of pixels, and beside it the Dice loss, for which rare classes count like others.

    Images are predicted one by one and in their own size, so that an image has the same mask whatever comes with it.

    Args:
        network: maps bytes of images (batch, channels + 1, height, width) of any size, whose last channel is 1 inside
            an image, to (batch, classes, height, width).
        task: fitted.
        dice: weight of the Dice loss (arXiv:1606.04797); 0: none.
    """

    def __init__(self, network: nn.Module, task: Segmentation, *, dice: NotNegative = 1.0) -> None:
        super().__init__(network, task)
        if dice < 0:
            raise ValueError(f"dice is not negative, but it is {dice}")
        self.dice = dice

    @override
    def prepare(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            _require_one_size(batch)

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        return self._losses(self.network(batch.inputs), batch.targets[MASK])

    def _losses(self, outputs: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch from (batch, classes, height, width) and (batch, height, width)."""
        logarithms = outputs.float().log_softmax(dim=1)
        classes = torch.arange(outputs.shape[1], device=mask.device)[:, None, None]
        true = (mask[:, None] == classes).float()  # of pixels outside of an image, none; see `OUTSIDE`
        found = {"cross_entropy": -(true * logarithms).sum() / true.sum()}
        if self.dice:
            probabilities = logarithms.exp() * true.sum(dim=1, keepdim=True)
            both, sizes = ((each.sum(dim=(0, 2, 3))) for each in (true * probabilities, true + probabilities))
            found["dice"] = self.dice * (1 - (2 * both + 1) / (sizes + 1)).mean()
        return found

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        masks, confidences = [], []
        for image in _each_image(inputs):
            mask, confidence = _most_probable(self.network(image))
            masks.append(mask)
            confidences.append(confidence)
        return self.task.columns(masks, confidences)

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        losses, predictions = [], []
        for batch in batches:
            _require_one_size(batch)
            masks, confidences = [], []
            for image, true in zip(_each_image(batch.inputs), batch.targets[MASK], strict=True):
                outputs = self.network(image)
                found = self._losses(outputs, true[None, : image.shape[2], : image.shape[3]])
                losses.append(float(sum(found.values())))
                mask, confidence = _most_probable(outputs)
                masks.append(mask)
                confidences.append(confidence)
            predictions.append(self.task.columns(masks, confidences))
        mean = math.fsum(losses) / len(losses)
        return mean, pa.concat_tables(predictions) if math.isfinite(mean) else None


def _require_one_size(batch: Batch) -> None:
    """Raise a DataError where a mask is not as large as its image."""
    for image, padded in zip(_each_image(batch.inputs), batch.targets[MASK], strict=True):
        inside = padded != OUTSIDE
        mask, size = (int(inside[:, 0].sum()), int(inside[0].sum())), tuple(image.shape[2:])
        if mask != size:
            high, wide = size
            msg = f"an image of {high} x {wide} pixels has a mask of {mask[0]} x {mask[1]}; correct it or leave it out"
            raise DataError(msg)


def _each_image(inputs: Inputs) -> Iterator[Tensor]:
    """Yield each image of a batch as a batch of its own, without what pads it to the size of others."""
    assert isinstance(inputs, Tensor)  # noqa: S101 - of a network that takes one input
    for image in inputs:
        inside = image[-1]
        yield image[None, :, : int(inside[:, 0].sum()), : int(inside[0].sum())]


def _most_probable(outputs: Tensor) -> tuple[np.ndarray, float]:
    """Return the most probable class of each pixel of one image, and the mean of its probability."""
    probability, mask = outputs.float().softmax(dim=1)[0].max(dim=0)
    return mask.cpu().numpy(), float(probability.double().mean())
