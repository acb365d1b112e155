"""Random augmentations of training examples; all noise comes from the given generator."""

import math
from abc import ABC, abstractmethod
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import Count, NotNegative, Share
from headframe.examples.batches import Batch, each_tensor
from headframe.features.tokens import PADDING, UNKNOWN


class Augmentation(ABC):
    """A random change of training examples: of their inputs, and of targets that move along, such as masks."""

    @abstractmethod
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return as many changed examples, drawn from the generator alone; crops of inputs and targets are smaller."""


class InputAugmentation(Augmentation, ABC):
    """A random change of inputs that leaves all targets as they are."""

    @final
    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        inputs = each_tensor(lambda x: self.change(x, generator), batch.inputs)
        return batch._replace(inputs=inputs)

    @abstractmethod
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed inputs (batch, ...) of the same shape, drawn from the generator alone."""


class RandomShift(InputAugmentation):
    """Shifts each image by a random whole number of pixels, up to `pixels` in both directions.

    Args:
        pixels: largest shift in pixels.
        fill: what fills the uncovered edge: `edge` repeats the outermost pixels, `least` takes the darkest
            value of the image's channel, which is its background where a bright figure stands on black.
    """

    def __init__(self, pixels: Count, fill: Literal["edge", "least"] = "edge") -> None:
        if pixels < 1:
            raise ValueError(f"pixels is at least 1, not {pixels}")
        self.pixels = pixels
        self.fill = fill

    @override
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Shift images (batch, channels, height, width)."""
        batch, _, height, width = x.shape
        low, high = -self.pixels, self.pixels + 1
        shifts = torch.randint(low, high, (2, batch, 1), generator=generator, device=generator.device).to(x.device)
        down = torch.arange(height, device=x.device) - shifts[0]
        right = torch.arange(width, device=x.device) - shifts[1]
        rows = down.clamp(0, height - 1)[:, None, :, None].expand(x.shape)
        columns = right.clamp(0, width - 1)[:, None, None, :].expand(x.shape)
        moved = x.gather(2, rows).gather(3, columns)
        if self.fill == "edge":
            return moved
        inside = ((down >= 0) & (down < height))[:, None, :, None] & ((right >= 0) & (right < width))[:, None, None, :]
        return torch.where(inside, moved, x.amin((2, 3), keepdim=True))


class TokenDropout(InputAugmentation):
    """Replaces a share of the tokens, on average, by "unknown", so that no single word decides; padding stays."""

    def __init__(self, share: Share) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"share lies in [0, 1), not {share}")
        self.share = share

    @override
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Replace ids of (batch, length)."""
        drawn = torch.rand(x.shape, generator=generator, device=generator.device).to(x.device)
        return torch.where((drawn < self.share) & (x != PADDING), UNKNOWN, x)


class GaussianNoise(InputAugmentation):
    """Adds normal noise to standardised numbers; `deviation` is in deviations of the training rows."""

    def __init__(self, deviation: NotNegative) -> None:
        if deviation < 0:
            raise ValueError(f"deviation is not negative, but it is {deviation}")
        self.deviation = deviation

    @override
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise to inputs of any shape (batch, ...)."""
        noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype)
        return x + self.deviation * noise.to(x.device)


class RandomAffine(InputAugmentation):
    """Rotates, scales and shifts each image by random amounts.

    Bilinear; what appears at the edges is the darkest value of the batch, the background where a bright figure stands
    on black.

    Args:
        degrees: largest rotation in either direction.
        scale: largest growth as a share of the size, 0.1 for a tenth; shrinking reaches as far.
        pixels: largest shift along each axis, in pixels and fractions of them.
    """

    def __init__(self, degrees: NotNegative, scale: NotNegative, pixels: NotNegative) -> None:
        for name, value in (("degrees", degrees), ("scale", scale), ("pixels", pixels)):
            if value < 0:
                raise ValueError(f"{name} is not negative, but it is {value}")
        self.degrees = degrees
        self.scale = scale
        self.pixels = pixels

    @override
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Transform images (batch, channels, height, width)."""
        height, width = x.shape[-2:]
        drawn = 2 * torch.rand(4, len(x), generator=generator, device=generator.device).to(x.device) - 1
        angle, growth, across, down = drawn.unbind()
        size = torch.exp(growth * math.log1p(self.scale))
        radians = angle * math.radians(self.degrees)
        cosine, sine = torch.cos(radians) * size, torch.sin(radians) * size
        first = torch.stack([cosine, -sine, across * self.pixels * 2 / width], dim=1)
        second = torch.stack([sine, cosine, down * self.pixels * 2 / height], dim=1)
        grid = functional.affine_grid(torch.stack([first, second], dim=1), list(x.shape), align_corners=False)
        least = x.min()
        return functional.grid_sample(x - least, grid, align_corners=False) + least
