"""A small convolutional network for images."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from headframe.config.ranges import Count, OddCount, Share
from headframe.features.spec import IMAGE, InputSpec


class ConvNet(nn.Module):
    """Batch-normalised convolutions in stages, as in VGG (arXiv:1409.1556, arXiv:1502.03167).

    Each stage ends by halving height and width, rounded up, so that any image down to a single pixel passes.

    Args:
        inputs: an image.
        widths: for each stage the channels of each of its convolutions.
        kernel: height and width of each filter in pixels; odd.
        dropout: dropout probability before the last layer, 0 to 1.

    Raises:
        ValueError: the input is not an image, or the filter has no centre.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        widths: Sequence[Annotated[Sequence[Count], Field(min_length=1)]] = ((16,), (32, 32), (64, 64)),
        kernel: OddCount = 3,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        if inputs.names != IMAGE:
            raise ValueError(f"this network takes images, but the input is {inputs.kind!r}")
        if kernel % 2 == 0:
            raise ValueError(f"a filter needs an odd kernel to keep the size of the image, but kernel is {kernel}")
        channels, height, width = inputs.shape
        layers: list[nn.Module] = []
        for stage in widths:
            for position, size in enumerate(stage, start=1):
                layers.append(nn.Conv2d(channels, size, kernel, padding=kernel // 2, bias=False))
                if position == len(stage):
                    # Before the normalisation rather than after it: a quarter of the values remains to compute.
                    layers.append(nn.MaxPool2d(2, ceil_mode=True))
                layers += [nn.BatchNorm2d(size), nn.ReLU(inplace=True)]
                channels = size
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        self.stages = nn.Sequential(*layers)
        # On a CPU the convolutions run up to twice as fast with channels last (measured on 28 x 28 pixels).
        self.stages.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(channels * height * width, math.prod(outputs))
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, *outputs)."""
        features = self.stages(x.contiguous(memory_format=torch.channels_last))
        scores: Tensor = self.last(self.dropout(features.flatten(1)))
        return scores.reshape(len(x), *self.outputs)
