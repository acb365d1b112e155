"""A network that gives each pixel of an image its outputs, whatever the size of the image."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import Count
from headframe.features.spec import IMAGE, InputSpec


class UNet(nn.Module):
    """The U-Net (arXiv:1505.04597) with batch normalisation and borders that are padded, so that sizes are kept.

    Each level halves height and width and doubles the channels; on the way up, what each level saw is laid beside.
    Sizes that cannot be halved so often are continued to the right and below by their outermost pixels, and cut again.

    Args:
        inputs: bytes of images, whose last channel is 1 inside the image.
        outputs: how many values each pixel has.
        width: channels of the first level.
        depth: how often the size is halved.

    Raises:
        ValueError: the input is not an image, or the outputs are no number of values.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...], *, width: Count = 16, depth: Count = 4) -> None:
        super().__init__()
        if inputs.names != IMAGE:
            raise ValueError(f"this network takes images, but the input is {inputs.kind!r}")
        if len(outputs) != 1:
            raise ValueError(f"this network gives values for each pixel, but outputs of shape {outputs} are asked for")
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth are 1 or more, not {width} and {depth}")
        channels = inputs.shape[0] - 1
        widths = [width * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.standardise = nn.BatchNorm2d(channels, affine=False)
        self.down = nn.ModuleList(map(_convolutions, [channels, *widths[:-1]], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * size, size, 2, stride=2) for size in reversed(widths[:-1]))
        self.join = nn.ModuleList(_convolutions(2 * size, size) for size in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, outputs[0], 1)
        # On a CPU convolutions run up to twice as fast so, see `ConvNet`.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map uint8 (batch, channels + 1, height, width) to (batch, *outputs, height, width)."""
        height, width = x.shape[-2:]
        edges = (0, -width % self.multiple, 0, -height % self.multiple)
        x = functional.pad(x[:, :-1].float() / 255, edges, mode="replicate")
        x = self.standardise(x.contiguous(memory_format=torch.channels_last))
        seen = []
        for level, down in enumerate(self.down):
            x = down(functional.max_pool2d(x, 2) if level else x)
            seen.append(x)
        for up, join, beside in zip(self.up, self.join, reversed(seen[:-1]), strict=True):
            x = join(torch.cat([beside, up(x)], dim=1))
        outputs: Tensor = self.last(x)[..., :height, :width]
        return outputs


def _convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (before, after):
        layers += [nn.Conv2d(size, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
