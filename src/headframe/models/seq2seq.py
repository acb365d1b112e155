"""A network that generates one sequence of tokens for another: an encoder, and a decoder that attends to its states."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from headframe.config.ranges import Count, Share
from headframe.features.spec import InputSpec
from headframe.models.sequence import SequenceInput


class _Memory(NamedTuple):
    """Encoded sources as a decoder attends to them.

    Attributes:
        layers: for each layer of the decoder keys and values, (batch, heads, source steps, features).
        real: which steps are no padding, bool (batch, 1, 1, source steps).
    """

    layers: Sequence[tuple[Tensor, Tensor]]
    real: Tensor

    def take(self, rows: Tensor) -> "_Memory":
        """Return the memory of some rows of the batch, int64 (rows,)."""
        return _Memory([(keys[rows], values[rows]) for keys, values in self.layers], self.real[rows])


class _MultiHeadAttention(nn.Module):
    """Attention by scaled products in several parts of the features (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.source = nn.Linear(hidden, 2 * hidden)
        self.last = nn.Linear(hidden, hidden)

    def look_up(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of states (batch, steps, hidden); see `_Memory`."""
        keys, values = self.source(states).chunk(2, dim=2)
        return self._split(keys), self._split(values)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, source: tuple[Tensor, Tensor], real: Tensor) -> Tensor:
        """Return what each step of x (batch, steps, hidden) finds among the real steps of the source."""
        keys, values = source
        found = functional.scaled_dot_product_attention(self._split(self.query(x)), keys, values, attn_mask=real)
        last: Tensor = self.last(found.transpose(1, 2).flatten(2))
        return last


class _EncoderLayer(nn.Module):
    """Attention of steps to each other, then a layer for each step; both are added to what comes in."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.step = _MultiHeadAttention(hidden, heads), _step(hidden, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return states of the same shape, (batch, steps, hidden); `real` as in `_Memory`."""
        first = self.norms[0](x)
        x = x + self.dropout(self.attention(first, self.attention.look_up(first), real))
        return x + self.dropout(self.step(self.norms[1](x)))


class _DecoderLayer(nn.Module):
    """A recurrent unit, attention to the source, and a layer for each step; each is added to what comes in.

    The unit is the GRU whose gates see the input alone (Feng et al. 2024, arXiv:2410.01201): training needs no product
    of matrices for each step, and its state has one size, however much was generated.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.recurrent = nn.Linear(hidden, 2 * hidden)
        self.attention, self.step = _MultiHeadAttention(hidden, heads), _step(hidden, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, source: tuple[Tensor, Tensor], real: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return features of the same shape, and states; arguments as those of `Seq2Seq.generate`."""
        gates, candidates = self.recurrent(self.norms[0](x)).to(x.dtype).chunk(2, dim=2)
        gates = gates.sigmoid()
        if state is None:
            after, found = torch.zeros_like(x[:, 0]), []
            for candidate, gate in zip(candidates.unbind(1), gates.unbind(1), strict=True):
                after = torch.lerp(after, candidate, gate)
                found.append(after)
            states = torch.stack(found, dim=1)
        else:
            states = torch.lerp(state, candidates, gates)
        x = x + self.dropout(states.relu())
        x = x + self.dropout(self.attention(self.norms[1](x), source, real))
        x = x + self.dropout(self.step(self.norms[2](x)))
        return x, states if state is not None else states[:, -1:]


def _step(hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * hidden, hidden))


class Seq2Seq(nn.Module):
    """Encoder of self-attention, and recurrent decoder with attention to it (Bahdanau et al. 2015, arXiv:1409.0473).

    Padding is never read. The ids that are generated share their features with those that come before them.

    Args:
        inputs: tokens.
        outputs: the number of ids that are generated.
        hidden: features of a step; a multiple of the heads.
        layers: of the encoder, and as many of the decoder.
        heads: parts of the features that attend to different steps.
        dropout: dropout probability, 0 to 1.

    Raises:
        ValueError: the input is not tokens, or `hidden` is no multiple of the heads.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        hidden: Count = 256,
        layers: Count = 2,
        heads: Count = 4,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        if not inputs.vocabulary:
            raise ValueError(f"a sequence is generated for tokens, but the input is {inputs.kind!r}")
        if hidden % heads:
            raise ValueError(f"hidden is a multiple of the {heads} heads, but it is {hidden}")
        self.sequence = SequenceInput(inputs, hidden)
        self.places = nn.Embedding(inputs.axes["time"], hidden)
        [generated] = outputs
        self.words = nn.Embedding(generated, hidden)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.encoder = nn.ModuleList(_EncoderLayer(hidden, heads, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(_DecoderLayer(hidden, heads, dropout) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        for table in (self.places, self.words):
            nn.init.normal_(table.weight, std=hidden**-0.5)

    def memory(self, source: Tensor) -> _Memory:
        """Encode sources, int64 (batch, time)."""
        steps, mask = self.sequence(source)
        real = mask[:, None, None, :]
        x = self.dropout(steps + self.places.weight[: steps.shape[1]])
        for layer in self.encoder:
            x = layer(x, real)
        x = self.norms[0](x)
        layers: Any = self.decoder  # torch's types know no methods of layers
        return _Memory([layer.attention.look_up(x) for layer in layers], real)

    def generate(
        self, tokens: Tensor, memory: _Memory, states: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the features, (batch, steps, hidden), of the token after each, and states.

        Args:
            tokens: int64 (batch, steps), consecutive from the first; where states are given, instead of steps the last
                tokens of as many hypotheses.
            memory: of the sources.
            states: of each layer what it returned, (batch, hypotheses, hidden).
        """
        x = self.dropout(self.words(tokens))
        found = []
        for number, (layer, source) in enumerate(zip(self.decoder, memory.layers, strict=True)):
            x, after = layer(x, source, memory.real, None if states is None else states[number])
            found.append(after)
        return self.dropout(self.norms[1](x)), found

    def scores(self, features: Tensor) -> Tensor:
        """Return unnormalised log-probabilities (..., ids) of tokens."""
        return functional.linear(features, self.words.weight, self.bias)

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        """Return the features of the token after each; see `generate`."""
        return self.generate(tokens, self.memory(source))[0]
