"""Networks that see several inputs of one example."""

from math import prod

import torch
from torch import Tensor, nn

from headframe.config.ranges import Count, Share
from headframe.features.spec import IMAGE, InputSpec


class LateFusion(nn.Module):
    """Reads each input by a small network of its own, and all that these find by a perceptron.

    Images are read by convolutions, texts by a mean of embedded tokens, and what has no such order as it is.

    Args:
        inputs: the layout of each input by its name.
        outputs: shape of the output for one example.
        width: features that are found in each input, and hidden units behind them.
        dropout: dropout probability before the last layer.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...], *, width: Count = 64, dropout: Share = 0.0) -> None:
        super().__init__()
        if not inputs.parts:
            raise ValueError(f"several inputs are fused, but {inputs.kind!r} is one; give features.encoders")
        self.outputs = outputs
        self.readers = nn.ModuleDict({name: _reader(spec, width) for name, spec in inputs.parts.items()})
        self.last = nn.Sequential(
            nn.Linear(width * len(inputs.parts), width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, prod(outputs)),
        )

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        """Map inputs (batch, ...) by name to (batch, *outputs)."""
        found = [reader(x[name]) for name, reader in self.readers.items()]
        scores: Tensor = self.last(torch.cat(found, dim=1))
        return scores.reshape(len(scores), *self.outputs)


def _reader(spec: InputSpec, width: int) -> nn.Module:
    if spec.sparse:
        raise ValueError(f"a network takes dense inputs, but {spec.kind!r} is sparse; choose another encoder")
    if spec.vocabulary:
        return nn.Sequential(nn.EmbeddingBag(spec.vocabulary, width, padding_idx=0), nn.ReLU())
    if spec.names == IMAGE:
        half = max(1, width // 2)
        stages = [
            layer
            for before, after in ((spec.axes["channel"], half), (half, width))
            for layer in (nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True))
        ]
        return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(spec.shape), width), nn.ReLU())
