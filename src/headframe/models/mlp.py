"""A multi-layer perceptron over flattened values."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from headframe.config.ranges import Count, Share
from headframe.features.spec import InputSpec


class MLP(nn.Module):
    """Hidden layers of rectified units; position in time or space is known by the order of the values only.

    Args:
        inputs: an image, a series or a table.
        hidden: units of each hidden layer.
        dropout: dropout probability of the hidden units, 0 to 1.
        batch_norm: whether each hidden layer is normalised before it is rectified (arXiv:1502.03167).

    Raises:
        ValueError: the input is no dense array of measurements.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        hidden: Sequence[Count] = (128, 64),
        dropout: Share = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if not inputs.measured:
            raise ValueError(f"a perceptron takes dense measurements, but the input is {inputs.kind!r}")
        layers: list[nn.Module] = [nn.Flatten()]
        units = math.prod(inputs.shape)
        for size in hidden:
            layers.append(nn.Linear(units, size, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(size))
            layers += [nn.ReLU(), nn.Dropout(dropout)]
            units = size
        layers.append(nn.Linear(units, math.prod(outputs)))
        self.layers = nn.Sequential(*layers)
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, *input shape) to (batch, *outputs)."""
        scores: Tensor = self.layers(x)
        return scores.reshape(len(x), *self.outputs)
