"""Convolutions along time for images read row by row, series and texts."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from headframe.config.ranges import Count, CountOrZero, Share
from headframe.features.spec import InputSpec
from headframe.models.sequence import SequenceInput, bag


class _Stage(nn.Module):
    """Convolutions of several kernel sizes side by side, then a norm of each step: (batch, channels, time)."""

    def __init__(self, channels: int, width: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv1d(channels, width, size) for size in kernel_sizes)
        self._kernel_sizes = tuple(kernel_sizes)
        self.channels = width * len(kernel_sizes)
        # Of one step only: statistics over time or over the batch would count padding.
        self.norm = nn.LayerNorm(self.channels)

    def forward(self, steps: Tensor, real: Tensor) -> Tensor:
        """Return features of the same length, zero in padded steps as beyond the edges of the sequence."""
        branches = zip(self._kernel_sizes, self.branches, strict=True)
        found = [branch(functional.pad(steps, ((size - 1) // 2, size // 2))) for size, branch in branches]
        normed = self.norm(torch.cat(found, dim=1).transpose(1, 2)).transpose(1, 2)
        return functional.gelu(normed) * real.unsqueeze(1)


class SequenceConvNet(nn.Module):
    """Stages of 1-D convolutions, pooled over the real steps, and a linear layer on top.

    One stage with several kernel sizes is the text network of Kim (2014, doi:10.3115/v1/D14-1181); several stages with
    one size read ever wider spans. Scores do not depend on how much padding follows a text.

    Args:
        inputs: an image, a series or tokens.
        embedding: features of one token; without effect on images and series.
        pairs: rows of a table, reached by a hash, of features that two neighbouring tokens have together; 0: none.
        widths: filters of each kernel size, one entry per stage.
        kernel_sizes: steps under one filter; every stage has all sizes.
        pooling: the largest value of each filter, its mean, or both.
        wide: whether the last layer also sees the sum of all steps, past the stages, so that they need not learn
            what a linear model knows (wide and deep learning, Cheng et al., 2016, arXiv:1606.07792).
        input_dropout: dropout probability of the features of the steps, 0 to 1.
        dropout: dropout probability before the last layer, 0 to 1.

    Raises:
        ValueError: the input has no order of steps, or `pooling` is unknown.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        embedding: Count = 64,
        pairs: CountOrZero = 0,
        widths: Sequence[Count] = (64,),
        kernel_sizes: Annotated[Sequence[Count], Field(min_length=1)] = (2, 3, 4),
        pooling: Literal["max", "mean", "both"] = "both",
        wide: bool = False,
        input_dropout: Share = 0.0,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        if pooling not in ("max", "mean", "both"):
            raise ValueError(f"pooling is one of max, mean, both, but it is {pooling!r}")
        self.sequence = SequenceInput(inputs, embedding, pairs)
        self.input_dropout = nn.Dropout(input_dropout)
        self.stages = nn.ModuleList()
        channels = self.sequence.channels
        for width in widths:
            stage = _Stage(channels, width, kernel_sizes)
            self.stages.append(stage)
            channels = stage.channels
        self.dropout = nn.Dropout(dropout)
        pooled = channels * (2 if pooling == "both" else 1)
        self.last = nn.Linear(pooled + (self.sequence.channels if wide else 0), math.prod(outputs))
        self.outputs = outputs
        self._wide = wide
        self._pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch of images, series or tokens to (batch, *outputs)."""
        steps, real = self.sequence(x)
        steps = self.input_dropout(steps)
        found = steps.transpose(1, 2)
        for stage in self.stages:
            found = stage(found, real)
        pooled = self._pool(found, real)
        if self._wide:
            pooled = torch.cat([pooled, bag(steps, real)], dim=1)
        scores: Tensor = self.last(self.dropout(pooled))
        return scores.reshape(len(x), *self.outputs)

    def _pool(self, found: Tensor, real: Tensor) -> Tensor:
        """Pool (batch, channels, time), padded steps zero, to (batch, channels) or twice as many channels."""
        pooled = []
        if self._pooling != "mean":
            pooled.append(found.masked_fill(~real.unsqueeze(1), -math.inf).amax(2))
        if self._pooling != "max":
            pooled.append(found.sum(2) / real.sum(1, keepdim=True))
        return torch.cat(pooled, dim=1)
