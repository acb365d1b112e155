"""Recurrent networks for images read row by row, series and texts."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from headframe.config.ranges import Count, CountOrZero, Share
from headframe.features.spec import InputSpec
from headframe.models.sequence import SequenceInput, bag

_CELLS: dict[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def recurrent_layer(cell: str) -> type[nn.LSTM | nn.GRU]:
    """Return the layer class of a unit, `lstm` or `gru`.

    Raises:
        ValueError: there is no such unit.
    """
    if cell not in _CELLS:
        raise ValueError(f"cell is one of {', '.join(_CELLS)}, but it is {cell!r}")
    return _CELLS[cell]


def _last(states: Tensor, real: Tensor, bidirectional: bool) -> Tensor:
    """Return the state after the last real step; of the reverse direction, the state after it reached the first."""
    ends = real.sum(1) - 1
    after = states[torch.arange(len(states), device=states.device), ends]
    if not bidirectional:
        return after
    half = states.shape[2] // 2
    return torch.cat([after[:, :half], states[:, 0, half:]], dim=1)


def _mean(states: Tensor, real: Tensor, _: bool) -> Tensor:
    weights = real.unsqueeze(2).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def _max(states: Tensor, real: Tensor, _: bool) -> Tensor:
    return states.masked_fill(~real.unsqueeze(2), -math.inf).amax(1)


_POOLINGS: dict[str, Callable[[Tensor, Tensor, bool], Tensor]] = {"last": _last, "mean": _mean, "max": _max}


class RecurrentNet(nn.Module):
    """LSTM (doi:10.1162/neco.1997.9.8.1735) or GRU (arXiv:1406.1078) with a linear layer on the pooled states.

    Padding is never read: neither direction sees it and no pooling counts it.

    Args:
        inputs: an image, a series or tokens.
        cell: the recurrent unit.
        hidden: units of each layer and direction.
        layers: recurrent layers on top of each other.
        bidirectional: whether a second set of cells reads from the end.
        dropout: dropout probability between layers and before the last one, 0 to 1.
        pooling: how the states of all real steps become one.
        wide: whether the last layer also sees the sum of all steps, past the cells, so that they need not learn
            what a linear model knows (wide and deep learning, Cheng et al., 2016, arXiv:1606.07792).
        input_dropout: dropout probability of the features of the steps, 0 to 1.
        embedding: features of one token; without effect on images and series.
        pairs: rows of a table, reached by a hash, of features that two neighbouring tokens have together; 0: none.

    Raises:
        ValueError: the input has no order of steps, or `cell` or `pooling` is unknown.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden: Count = 64,
        layers: Count = 1,
        bidirectional: bool = False,
        dropout: Share = 0.0,
        pooling: Literal["last", "mean", "max"] = "last",
        wide: bool = False,
        input_dropout: Share = 0.0,
        embedding: Count = 64,
        pairs: CountOrZero = 0,
    ) -> None:
        super().__init__()
        layer = recurrent_layer(cell)
        if pooling not in _POOLINGS:
            raise ValueError(f"pooling is one of {', '.join(_POOLINGS)}, but it is {pooling!r}")
        self.sequence = SequenceInput(inputs, embedding, pairs)
        self.input_dropout = nn.Dropout(input_dropout)
        self.onward_cells = nn.ModuleList()
        self.backward_cells = nn.ModuleList()
        channels = self.sequence.channels
        for _ in range(layers):
            self.onward_cells.append(layer(channels, hidden, batch_first=True))
            if bidirectional:
                self.backward_cells.append(layer(channels, hidden, batch_first=True))
            channels = hidden * (2 if bidirectional else 1)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(channels + (self.sequence.channels if wide else 0), math.prod(outputs))
        self.outputs = outputs
        self._wide = wide
        self._pool = _POOLINGS[pooling]
        self._bidirectional = bidirectional

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch of images, series or tokens to (batch, *outputs)."""
        steps, real = self.sequence(x)
        steps = self.input_dropout(steps)
        pooled = self._pool(self._states(steps, real), real, self._bidirectional)
        if self._wide:
            pooled = torch.cat([pooled, bag(steps, real)], dim=1)
        scores: Tensor = self.last(self.dropout(pooled))
        return scores.reshape(len(x), *self.outputs)

    def _states(self, steps: Tensor, real: Tensor) -> Tensor:
        """Return the states of the top layer, (batch, time, hidden x directions).

        Two one-way cells are several times faster than packed sequences and compute the same: padding at the end cannot
        reach a real step, neither forwards nor in a text that is reversed within its own length.
        """
        reversal = _reversal(real) if self._bidirectional else None
        for layer, cells in enumerate(self.onward_cells):
            if layer:
                steps = self.dropout(steps)
            states = cells(steps)[0]
            if reversal is not None:
                back = self.backward_cells[layer](_reorder(steps, reversal))[0]
                states = torch.cat([states, _reorder(back, reversal)], dim=2)
            steps = states
        return steps


def _reversal(real: Tensor) -> Tensor:
    """Return the order, int64 (batch, time), that reverses the real steps of each row; its own inverse."""
    lengths = real.sum(1, keepdim=True)
    places = torch.arange(real.shape[1], device=real.device)
    return torch.where(places < lengths, lengths - 1 - places, places)


def _reorder(steps: Tensor, order: Tensor) -> Tensor:
    return steps.gather(1, order.unsqueeze(2).expand_as(steps))
