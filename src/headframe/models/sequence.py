"""Images, series and tokens seen alike: as steps in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headframe.features.spec import InputSpec


class SequenceInput(nn.Module):
    """Turn a batch of any ordered kind into steps and a mask of the real ones.

    Of an image each row is one step, of a series each time stamp, of a text each token.

    Attributes:
        channels: features of one step.
    """

    channels: int

    def __init__(self, inputs: InputSpec, embedding: int) -> None:
        """Prepare for one kind of input.

        Args:
            inputs: an image, a series or tokens.
            embedding: features of one token; the other kinds bring their own.

        Raises:
            ValueError: the input has no order of steps.
        """
        super().__init__()
        self._is_image = inputs.kind == "image"
        self.table: nn.Embedding | None = None
        if inputs.kind == "tokens":
            self.table = nn.Embedding(inputs.vocabulary, embedding, padding_idx=0)
            self.channels = embedding
        elif inputs.kind == "image":
            channels, _, width = inputs.shape
            self.channels = channels * width
        elif inputs.kind == "series":
            self.channels = inputs.shape[1]
        else:
            raise ValueError(f"a sequence is read from an image, a series or tokens, but the input is {inputs.kind!r}")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the steps and tell which of them are real.

        Args:
            x: (batch, channels, height, width), (batch, time, channels) or int64 (batch, time).

        Returns:
            The steps, float32 (batch, time, channels), zero where a token is padding, and a boolean mask
            (batch, time). An empty text counts as one step of padding, so every row of the mask has a true one.
        """
        if self.table is not None:
            real = x != 0
            real[:, 0] = True
            return self.table(x), real
        steps = x.transpose(1, 2).flatten(2) if self._is_image else x
        return steps, torch.ones(steps.shape[:2], dtype=torch.bool, device=x.device)
