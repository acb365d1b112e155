"""Random augmentations of images with boxes, which move along; inputs are those of `ResizedImages`."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import Fraction, NotNegative, Share
from headframe.examples.augment import Augmentation
from headframe.examples.batches import Batch
from headframe.tasks.detection import BOXES, LABELS, NO_BOX


class FlipWithBoxes(Augmentation):
    """Mirrors each image and its boxes.

    Args:
        across: how often left and right are swapped.
        down: how often above and below are.
    """

    def __init__(self, across: Share = 0.5, down: Share = 0.5) -> None:
        self.chances = (across, down)

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Mirror images (batch, channels, height, width) and boxes."""
        image = _image(batch)
        boxes = batch.targets[BOXES]
        canvas = _canvas(batch, boxes.dtype)
        drawn = torch.rand(2, len(image), generator=generator, device=generator.device).to(image.device)
        for axis, (chance, dimension) in enumerate(zip(self.chances, (3, 2), strict=True)):
            chosen = drawn[axis] < chance
            image = torch.where(chosen[:, None, None, None], image.flip(dimension), image)
            mirrored = boxes.clone()
            mirrored[..., axis] = canvas[:, None, axis] - boxes[..., axis] - boxes[..., axis + 2]
            boxes = torch.where(chosen[:, None, None], mirrored, boxes)
        return _changed(batch, image, boxes, batch.targets[LABELS])


class ScaleWithBoxes(Augmentation):
    """Scales and shifts each image and its boxes; bilinear, edges are repeated.

    Args:
        scale: largest growth as a share of the size, 0.5 for half; shrinking reaches as far.
        shift: largest shift along each axis, as a share of the size.
        least: share of a box that must still be seen; else it is none.
    """

    def __init__(self, scale: NotNegative = 0.3, shift: Share = 0.2, least: Fraction = 0.4) -> None:
        self.scale = scale
        self.shift = shift
        self.least = least

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Transform images (batch, channels, height, width) and boxes."""
        image = _image(batch)
        drawn = 2 * torch.rand(3, len(image), generator=generator, device=generator.device).to(image.device) - 1
        size = torch.exp(drawn[0] * math.log1p(self.scale))
        # A place at p, from -1 to 1 along each axis, moves to size * p + shift; grids ask where a pixel comes from.
        shift = 2 * self.shift * drawn[1:].T
        nothing = torch.zeros_like(size)
        first = torch.stack([1 / size, nothing, -shift[:, 0] / size], dim=1)
        second = torch.stack([nothing, 1 / size, -shift[:, 1] / size], dim=1)
        grid = functional.affine_grid(torch.stack([first, second], dim=1), list(image.shape), align_corners=False)
        moved = functional.grid_sample(image.float(), grid, padding_mode="border", align_corners=False)

        boxes, labels = batch.targets[BOXES], batch.targets[LABELS]
        canvas, growth = _canvas(batch, boxes.dtype)[:, None], size.to(boxes.dtype)[:, None, None]
        middle = canvas / 2 * (1 + shift.to(boxes.dtype)[:, None])
        low = (boxes[..., :2] - canvas / 2) * growth + middle
        high = low + boxes[..., 2:] * growth
        inside_low, inside_high = (torch.minimum(each.clamp(min=0), canvas) for each in (low, high))
        seen = (inside_high - inside_low).prod(dim=2) / (high - low).prod(dim=2)
        labels = torch.where(seen >= self.least, labels, NO_BOX)
        return _changed(batch, moved, torch.cat([inside_low, inside_high - inside_low], dim=2), labels)


class ColourJitter(Augmentation):
    """Changes brightness, contrast and the balance of colours of each image; boxes and masks stay as they are.

    Args:
        brightness: largest change, as a share of the whole range.
        contrast: largest growth of the distance from the image's mean, as a share; shrinking reaches as far.
        balance: largest change of a channel by itself, as a share of its values.
    """

    def __init__(self, brightness: Share = 0.1, contrast: Share = 0.2, balance: Share = 0.1) -> None:
        self.brightness = brightness
        self.contrast = contrast
        self.balance = balance

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Change images of bytes or of numbers from 0 to 255, (batch, channels, height, width)."""
        image = _image(batch).float()
        channels = image.shape[1]
        shape = (2 + channels, len(image), 1, 1, 1)
        drawn = 2 * torch.rand(shape, generator=generator, device=generator.device).to(image.device) - 1
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        image = mean + (image - mean) * torch.exp(drawn[0] * math.log1p(self.contrast))
        image = image + 255 * self.brightness * drawn[1]
        image = image * (1 + self.balance * drawn[2:, :, :, 0, 0].permute(1, 0, 2)[..., None])
        return _changed(batch, image.clamp(0, 255), None, None)


def _image(batch: Batch) -> Tensor:
    assert isinstance(batch.inputs, dict)  # noqa: S101 - declared by `takes`
    return batch.inputs["image"]


def _canvas(batch: Batch, dtype: torch.dtype) -> Tensor:
    """Return width and height of the whole input in pixels of the image as it came, (batch, 2)."""
    assert isinstance(batch.inputs, dict)  # noqa: S101 - images come with their scale
    height, width = batch.inputs["image"].shape[-2:]
    scale = batch.inputs["scale"].to(dtype)
    return torch.stack([width / scale[:, 1], height / scale[:, 0]], dim=1)


def _changed(batch: Batch, image: Tensor, boxes: Tensor | None, labels: Tensor | None) -> Batch:
    assert isinstance(batch.inputs, dict)  # noqa: S101 - images come with their scale
    targets = dict(batch.targets)
    if boxes is not None and labels is not None:
        targets |= {BOXES: boxes, LABELS: labels}
    return Batch({**batch.inputs, "image": image}, targets)
