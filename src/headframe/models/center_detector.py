"""A small convolutional network that looks at each place of an image for objects."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from headframe.config.ranges import Count
from headframe.features.spec import IMAGE, InputSpec

RARE = 0.01  # share of places with an object that the first weights suppose (arXiv:1708.02002, section 4.1)


class Residual(nn.Module):
    """Two convolutions beside a shortcut (arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(channels, channels), _convolution(channels, channels, last=nn.Identity)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        return functional.relu(x + self.layers(x), inplace=True)


class CenterDetector(nn.Module):
    """Says for each place of a map, and each label, whether an object has its centre there, and how far its sides are.

    An encoder halves the image with each stage, and a decoder adds what the deeper stages saw to the finer ones, as in
    feature pyramids (arXiv:1612.03144). There are no anchors: a place belongs to at most one object of a label, as in
    CenterNet (arXiv:1904.07850).

    Args:
        inputs: with an input `image`.
        outputs: (labels,).
        widths: channels of each stage, each half as high and wide as the one before.
        blocks: residual blocks of each stage from the second on.
        neck: channels of the decoder.
        stride: pixels of the image from one place of the map to the next.

    Raises:
        ValueError: no input is an image, or there are too few stages for the stride.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        widths: Annotated[Sequence[Count], Field(min_length=3)] = (16, 32, 64, 128),
        blocks: Count = 1,
        neck: Count = 64,
        stride: Literal[4, 8] = 4,
    ) -> None:
        super().__init__()
        if "image" not in inputs.parts or inputs.parts["image"].names != IMAGE:
            raise ValueError(f"this network takes an input `image`, but the input is {inputs.kind!r}")
        if 2 ** len(widths) < stride:
            raise ValueError(f"a stride of {stride} pixels needs {stride.bit_length() - 1} stages or more")
        channels, *_ = inputs.parts["image"].shape
        [labels] = outputs
        self.stages = nn.ModuleList()
        for number, width in enumerate(widths):
            more = [Residual(width) for _ in range(blocks)] if number else []
            self.stages.append(nn.Sequential(_convolution(channels, width, stride=2), *more))
            channels = width
        self.first = stride.bit_length() - 2  # stage whose map has the stride
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[self.first :])
        self.merged = nn.ModuleList(_convolution(neck, neck) for _ in widths[self.first :])
        last = nn.Conv2d(neck, labels, 1)
        nn.init.constant_(last.bias, math.log(RARE / (1 - RARE)))  # type: ignore[arg-type]  # it has one
        self.objects = nn.Sequential(_convolution(neck, neck), last)
        self.sides = nn.Sequential(_convolution(neck, neck), nn.Conv2d(neck, 4, 1))
        self.stride = stride
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map `image`, bytes (batch, channels, height, width), to (batch, labels + 4, height / stride, width / stride).

        The first are logits of centres, the last four logarithms of the distances to the left, upper, right and lower
        side, in strides.
        """
        x = (inputs["image"].float() / 255 - 0.5) * 4
        x = x.contiguous(memory_format=torch.channels_last)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        found: Tensor | None = None
        levels = zip(maps[self.first :], self.lateral, self.merged, strict=True)
        for level, lateral, merged in reversed([*levels]):
            here = lateral(level)
            if found is not None:
                here = here + functional.interpolate(found, size=here.shape[-2:], mode="nearest")
            found = merged(here)
        return torch.cat([self.objects(found), self.sides(found)], dim=1)


def _convolution(channels: int, width: int, *, stride: int = 1, last: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), last())
