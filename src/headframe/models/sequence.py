"""Images, series and tokens as sequences of steps."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from headframe.features.spec import InputSpec

STEPS = ("time", "height")
"""Axes along which an example is read step by step: series and texts in time, an image row by row."""

DEVIATION = 0.1
"""Of initial embeddings: with torch's own, 1, a small data set leaves rare tokens at their initial noise."""


class SequenceInput(nn.Module):
    """Map a batch of any ordered input to steps and a mask of the real ones.

    Of an image each row is one step, of a series each time stamp, of a text each token.

    Attributes:
        channels: features of one step.

    Args:
        inputs: an image, a series or tokens.
        embedding: features of one token; other inputs have features of their own.
        pairs: rows of a second table, whose features a token and its successor are given together; which row, a
            hash decides (Joulin et al., 2016, arXiv:1607.01759). 0: none, as for other inputs.

    Raises:
        ValueError: the input has no order of steps, or `pairs` is negative.
    """

    channels: int

    def __init__(self, inputs: InputSpec, embedding: int, pairs: int = 0) -> None:
        super().__init__()
        if pairs < 0:
            raise ValueError(f"pairs is a number of rows, 0 for none, but it is {pairs}")
        self.table: nn.Embedding | None = None
        self.pairs: nn.Embedding | None = None
        if inputs.sparse or not any(axis in inputs.axes for axis in STEPS):
            raise ValueError(f"a sequence is read along {' or '.join(STEPS)}, which {inputs.kind!r} does not have")
        axis = next(axis for axis in STEPS if axis in inputs.axes)
        self._axis = 1 + inputs.names.index(axis)
        if inputs.vocabulary:
            self.table = nn.Embedding(inputs.vocabulary, embedding, padding_idx=0)
            with torch.no_grad():
                self.table.weight.mul_(DEVIATION)
            if pairs:
                self.pairs = nn.Embedding(pairs, embedding)
                # A pair that no training text has carries no information.
                nn.init.zeros_(self.pairs.weight)
            self.channels = embedding
        else:
            self.channels = math.prod(inputs.shape) // inputs.axes[axis]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the steps, and which of them are real.

        Args:
            x: (batch, channels, height, width), (batch, time, channels) or int64 (batch, time).

        Returns:
            The steps, float32 (batch, time, channels), and a boolean mask (batch, time). Of texts, columns behind the
            longest are left out, and steps of padding are zero. An empty text counts as one step of padding, so every
            row of the mask has a true one.
        """
        if self.table is None:
            steps = x.movedim(self._axis, 1).flatten(2)
            return steps, torch.ones(steps.shape[:2], dtype=torch.bool, device=x.device)
        # Padding stands at the end. A compiled network is better off with one length than with short ones.
        if not torch.compiler.is_compiling():
            x = x[:, : max(1, int((x != 0).sum(1).max()))]
        real = x != 0
        real[:, 0] = True
        steps = self.table(x)
        if self.pairs is not None:
            both = (x[:, :-1] != 0) & (x[:, 1:] != 0)
            paired = self.pairs(_hash(x[:, :-1], x[:, 1:]) % self.pairs.num_embeddings) * both.unsqueeze(2)
            steps = steps + functional.pad(paired, (0, 0, 0, 1))
        return steps, real


def bag(steps: Tensor, real: Tensor) -> Tensor:
    """Sum the steps of each row regardless of their order: a bag of words, as in deep averaging networks.

    Iyyer et al., 2015, doi:10.3115/v1/P15-1162. Divided by the root of their number, not the number itself, as counts
    of unit length are, so that the many steps of a long text say more than the few of a short one.

    Args:
        steps: (batch, time, channels), zero where padded.
        real: boolean (batch, time), which steps are no padding.
    """
    return steps.sum(1) / real.sum(1, keepdim=True).sqrt()


def _hash(first: Tensor, second: Tensor) -> Tensor:
    """Hash two ids to one evenly distributed number; Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""
    return ((first * 65_536 + second) * 2_654_435_769) >> 16
