"""Networks that squeeze an example into a short code and restore it from there."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from headframe.config.ranges import Count, Share
from headframe.features.spec import InputSpec


class Autoencoder(nn.Module):
    """An encoder and a decoder of rectified units, one the mirror of the other, over flattened values.

    It restores the inputs as the features have them, so that it has no other outputs.

    Attributes:
        encoder: maps (batch, *input shape) to (batch, code).
        decoder: maps (batch, code) to (batch, *input shape).

    Args:
        inputs: an image or a table, or anything else of measurements.
        hidden: units of each hidden layer of the encoder; the decoder has them in reverse.
        code: values that an example is squeezed into.
        dropout: dropout probability of the encoder's inputs and hidden units, 0 to 1; a denoising autoencoder.

    Raises:
        ValueError: the input is no dense array of measurements.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...] = (),
        *,
        hidden: Sequence[Count] = (64, 32),
        code: Count = 8,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        if not inputs.measured:
            raise ValueError(f"an autoencoder takes dense measurements, but the input is {inputs.kind!r}")
        if outputs:
            raise ValueError(f"an autoencoder restores its inputs, but outputs of shape {outputs} are asked for")
        sizes = (math.prod(inputs.shape), *hidden, code)
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(sizes, dropout))
        self.decoder = nn.Sequential(*_layers(sizes[::-1], 0.0), nn.Unflatten(1, inputs.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, *input shape) to the same shape."""
        restored: Tensor = self.decoder(self.encoder(x))
        return restored


def _layers(sizes: Sequence[int], dropout: float) -> list[nn.Module]:
    """Return linear layers between these sizes, rectified but for the last, each behind dropout where there is any."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes)):
        if number:
            layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(before, after))
    return layers
