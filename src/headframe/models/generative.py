"""Pairs of small networks that learn to generate images from noise."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from headframe.config.ranges import Count
from headframe.features.spec import IMAGE, InputSpec
from headframe.models.autoencoder import Autoencoder

_SLOPE = 0.2  # of leaky rectified units


class VariationalAutoencoder(nn.Module):
    """An encoder of images to a normal distribution of codes, and a decoder from a code to an image.

    Both are of fully connected rectified units, one the mirror of the other.

    Attributes:
        encoder: maps images (batch, channels, height, width) to (batch, 2 * code): means, then log variances.
        decoder: maps codes (batch, code), which are noise where images are generated, to logits of brightness.

    Args:
        inputs: noise, of as many numbers as a code has.
        outputs: the shape of an image: (channels, height, width).
        hidden: units of each hidden layer of the encoder; the decoder has them in reverse.

    Raises:
        ValueError: the input is not noise, or the outputs are no images.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...], *, hidden: Sequence[Count] = (512, 256)) -> None:
        super().__init__()
        size = _noise_size(inputs, outputs)
        image = InputSpec("image", dict(zip(IMAGE, outputs, strict=True)))
        self.encoder = Autoencoder(image, hidden=hidden, code=2 * size).encoder
        self.decoder = Autoencoder(image, hidden=hidden, code=size).decoder

    def forward(self, noise: Tensor) -> Tensor:
        """Map (batch, code) to logits of images (batch, channels, height, width)."""
        logits: Tensor = self.decoder(noise)
        return logits


class AdversarialPair(nn.Module):
    """A generator of images, and a discriminator between these and real ones (Radford et al. 2015, arXiv:1511.06434).

    The spectral norm of each of the discriminator's layers is 1, which keeps its slope bounded (Miyato et al. 2018,
    arXiv:1802.05957).

    Attributes:
        generator: maps noise (batch, numbers) to logits of brightness (batch, channels, height, width).
        discriminator: maps images of the same shape, from -1 to 1, to a logit (batch, 1), high for real ones.
        average: like the generator; its weights are no parameters of any optimiser.

    Args:
        inputs: noise.
        outputs: the shape of an image: (channels, height, width).
        widths: channels of each convolution of the discriminator, which halves height and width; the generator mirrors
            it.

    Raises:
        ValueError: the input is not noise, or the outputs are no images.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...], *, widths: Sequence[Count] = (32, 64)) -> None:
        super().__init__()
        size = _noise_size(inputs, outputs)
        self.generator = nn.Sequential(*_doubling(size, outputs, widths[::-1]))
        layers = _halving(outputs, widths, 1)
        bounded = [spectral_norm(each) if isinstance(each, nn.Conv2d | nn.Linear) else each for each in layers]
        self.discriminator = nn.Sequential(*bounded)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise (batch, numbers) to logits of images (batch, channels, height, width)."""
        logits: Tensor = self.generator(noise)
        return logits


class _Crop(nn.Module):
    """Cuts images to a size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


def _noise_size(inputs: InputSpec, outputs: tuple[int, ...]) -> int:
    if inputs.kind != "noise":
        raise ValueError(f"this network makes images of noise, but the input is {inputs.kind!r}; take features=noise")
    if len(outputs) != 3:  # noqa: PLR2004 - channels, height, width
        raise ValueError(f"this network makes images, but outputs of shape {outputs} are asked for")
    [size] = inputs.shape
    return size


def _halving(shape: tuple[int, ...], widths: Sequence[int], size: int) -> list[nn.Module]:
    """Return convolutions, each of which halves height and width, rounded up, and a map to `size` numbers."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for before, after in pairwise([channels, *widths]):
        layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.LeakyReLU(_SLOPE)]
        height, width = ceil(height / 2), ceil(width / 2)
    return [*layers, nn.Flatten(), nn.Linear(widths[-1] * height * width, size)]


def _doubling(size: int, shape: tuple[int, ...], widths: Sequence[int]) -> list[nn.Module]:
    """Return a map of `size` numbers to a small image, and convolutions that double its height and width each."""
    channels, height, width = shape
    factor = 2 ** len(widths)
    small = ceil(height / factor), ceil(width / factor)
    layers: list[nn.Module] = [
        nn.Linear(size, widths[0] * small[0] * small[1], bias=False),
        nn.Unflatten(1, (widths[0], *small)),
    ]
    for before, after in pairwise([*widths, channels]):
        layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    return [*layers, _Crop(height, width)]
