"""Random augmentations that move images and masks together."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from headframe.config.ranges import Count, Positive, Share
from headframe.examples.augment import Augmentation, InputAugmentation
from headframe.examples.batches import Batch
from headframe.tasks.segmentation import OUTSIDE


class RandomCrop(Augmentation):
    """Cuts a square at random out of each image and its masks; before other augmentations.

    Args:
        size: of the square, in pixels. A smaller image is kept whole and continued to the right and below: by zeros,
            and in masks by what is no class.
    """

    def __init__(self, size: Count) -> None:
        if size < 1:
            raise ValueError(f"size is at least 1, not {size}")
        self.size = size

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Crop bytes of images (batch, channels + 1, height, width), whose last channel is 1 inside an image."""
        images = _images(batch)
        inside = images[:, -1]
        ends = torch.stack([inside[:, :, 0].sum(dim=1), inside[:, 0].sum(dim=1)])
        places = (ends - self.size + 1).clamp(min=1)
        drawn = torch.rand(2, len(images), generator=generator, device=generator.device).to(images.device)
        first = torch.minimum((drawn * places).long(), places - 1)
        down, right = first[..., None] + torch.arange(self.size, device=images.device)  # (batch, size) each
        height, width = images.shape[-2:]
        there = (down < height)[:, :, None] & (right < width)[:, None]
        rows, columns = down.clamp(max=height - 1), right.clamp(max=width - 1)

        def crop(values: Tensor) -> Tensor:
            """Crop (batch, ..., height, width)."""
            along = values.movedim((-2, -1), (1, 2))
            cut = along[
                torch.arange(len(values), device=values.device)[:, None, None], rows[:, :, None], columns[:, None]
            ]
            fill = 0 if values is images else OUTSIDE
            cut[~there] = fill
            return cut.movedim((1, 2), (-2, -1))

        return _each_map(crop, batch)


class RandomTurn(Augmentation):
    """Turns each image and its masks by 0, 90, 180 or 270 degrees and mirrors half of them, all eight alike often.

    Images that are not square are turned by 0 or 180 degrees.
    """

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Turn images (batch, channels, height, width)."""
        images = _images(batch)
        drawn = torch.rand(3, len(images), generator=generator, device=generator.device).to(images.device) < 0.5  # noqa: PLR2004 - one of two
        transposed, upside_down, mirrored = drawn
        square = images.shape[-2] == images.shape[-1]

        def turn(values: Tensor) -> Tensor:
            shape = (len(values), *[1] * (values.ndim - 1))
            if square:
                values = torch.where(transposed.view(shape), values.transpose(-2, -1), values)
            values = torch.where(upside_down.view(shape), values.flip(-2), values)
            return torch.where(mirrored.view(shape), values.flip(-1), values)

        return _each_map(turn, batch)


class RandomLight(InputAugmentation):
    """Changes the contrast of each image and adds light that grows from one side to the other, as haze does.

    So a network learns to compare a pixel with what is around it, whatever the brightness of the whole.

    Args:
        contrast: largest factor of brightness; its inverse is the least.
        haze: most light that is added at the brighter side, as a share of white.
    """

    def __init__(self, contrast: Positive, haze: Share) -> None:
        if contrast < 1:
            raise ValueError(f"contrast is a factor of at least 1, not {contrast}")
        if not 0 <= haze < 1:
            raise ValueError(f"haze lies in [0, 1), not {haze}")
        self.contrast = contrast
        self.haze = haze

    @override
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Change bytes of images (batch, channels + 1, height, width), whose last channel is 1 inside an image."""
        drawn = torch.rand(3, len(x), 1, 1, 1, generator=generator, device=generator.device).to(x.device)
        factor = torch.exp((2 * drawn[0] - 1) * math.log(self.contrast))
        down, right = torch.sin(2 * math.pi * drawn[2]), torch.cos(2 * math.pi * drawn[2])
        rows = torch.linspace(-1, 1, x.shape[-2], device=x.device)[:, None]
        columns = torch.linspace(-1, 1, x.shape[-1], device=x.device)
        slope = (down * rows + right * columns) / (down.abs() + right.abs())  # from -1 in one corner to 1 in another
        light = 255 * self.haze * drawn[1] * (1 + slope) / 2
        inside = x[:, -1:]
        changed = (x[:, :-1] * factor + light).round().clamp(0, 255).to(x.dtype)
        return torch.cat([changed * inside, inside], dim=1)


def _images(batch: Batch) -> Tensor:
    assert isinstance(batch.inputs, Tensor)  # noqa: S101 - the plan's check lets features of one input pass alone
    return batch.inputs


def _each_map(function: Callable[[Tensor], Tensor], batch: Batch) -> Batch:
    """Apply a function to the images, and to each target that has a value for each of their pixels."""
    images = _images(batch)
    size = images.shape[-2:]
    targets = {
        name: function(each) if each.ndim > 2 and each.shape[-2:] == size else each  # noqa: PLR2004 - (batch, height, width)
        for name, each in batch.targets.items()
    }
    return Batch(function(images), targets)
