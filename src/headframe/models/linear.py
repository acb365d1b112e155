"""A single linear layer: the baseline for deeper networks."""

import math

from torch import Tensor, nn

from headframe.features.spec import InputSpec


class Linear(nn.Module):
    """An affine map from all values of an example to all outputs: softmax regression, or linear forecasting.

    Args:
        inputs: an image, a series or a table.

    Raises:
        ValueError: the input is no dense array of measurements.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...]) -> None:
        super().__init__()
        if not inputs.measured:
            raise ValueError(f"a linear layer takes dense measurements, but the input is {inputs.kind!r}")
        self.layer = nn.Linear(math.prod(inputs.shape), math.prod(outputs))
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, *input shape) to (batch, *outputs)."""
        scores: Tensor = self.layer(x.flatten(1))
        return scores.reshape(len(x), *self.outputs)
