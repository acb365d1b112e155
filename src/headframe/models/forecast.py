"""Forecasters that share one map among all channels."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from headframe.config.ranges import Count, OddCount, Share
from headframe.features.spec import InputSpec
from headframe.models.recurrent import recurrent_layer

_READ = ("last", "all")
_SMALLEST_VARIANCE = 1e-5


class ChannelForecaster(nn.Module, ABC):
    """Normalise each series by its own window, continue it by a map shared by all channels, and denormalise.

    The statistics are those of reversible instance normalisation without its affine step (Kim et al., ICLR 2022,
    https://openreview.net/forum?id=cGDAkQo1C0p). Subclasses implement `_continue` only.

    Args:
        inputs: a series.
        outputs: (horizon, channels), with the channels of the input.

    Raises:
        ValueError: the input is no series, or the output is not a horizon of the same channels.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...]) -> None:
        super().__init__()
        if inputs.names != ("time", "channel"):
            raise ValueError(f"a forecast continues a series, but the input is {inputs.kind!r}")
        self.lookback, channels = inputs.shape
        if outputs[1:] != (channels,):
            raise ValueError(f"a forecast of {channels} channels has the shape (horizon, {channels}), not {outputs}")
        self.horizon = outputs[0]

    @abstractmethod
    def _continue(self, series: Tensor) -> Tensor:
        """Continue normalised series independently of each other: (series, lookback) to (series, horizon)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, lookback, channels) to (batch, horizon, channels), in the unit of the input."""
        mean = x.mean(1, keepdim=True)
        deviation = (x.var(1, keepdim=True, correction=0) + _SMALLEST_VARIANCE).sqrt()
        series = ((x - mean) / deviation).transpose(1, 2)
        ahead = self._continue(series.flatten(0, 1)).reshape(*series.shape[:2], self.horizon)
        return ahead.transpose(1, 2) * deviation + mean


class ChannelLinear(ChannelForecaster):
    """One linear map from the window to the horizon, akin to NLinear (doi:10.1609/aaai.v37i9.26317).

    Args:
        dropout: dropout probability of the values in the window, 0 to 1.
    """

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...], *, dropout: Share = 0.0) -> None:
        super().__init__(inputs, outputs)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(self.lookback, self.horizon)

    def _continue(self, series: Tensor) -> Tensor:
        ahead: Tensor = self.last(self.dropout(series))
        return ahead


class _Patches(nn.Module):
    """Cut series into patches and embed each: (series, lookback) to (series, patches, width), oldest first.

    The oldest value is repeated in front until the last patch ends on the newest one, so any lookback is used whole.
    There are always two patches or more: with one, a recurrent network would have no state to carry. After PatchTST
    (Nie et al., ICLR 2023, https://openreview.net/forum?id=Jbdc0vTOcol).
    """

    def __init__(self, lookback: int, patch: int, stride: int, width: int) -> None:
        super().__init__()
        further = max(1, -(-(lookback - patch) // stride))
        self.count = 1 + further
        self._patch, self._stride = patch, stride
        self._repeats = patch + further * stride - lookback
        self.embed = nn.Linear(patch, width)

    def forward(self, series: Tensor) -> Tensor:
        whole = torch.cat([series[:, :1].expand(-1, self._repeats), series], dim=1)
        steps: Tensor = self.embed(whole.unfold(1, self._patch, self._stride))
        return steps


class PatchRecurrent(ChannelForecaster):
    """An LSTM or GRU reads patches from old to new, and a linear layer maps its states to the horizon.

    Args:
        patch: time steps of one patch.
        stride: time steps from one patch to the next.
        width: features of one patch.
        cell: the recurrent unit.
        hidden: units of each layer.
        layers: recurrent layers on top of each other.
        read: whether the last layer sees the newest state or those after every patch.
        dropout: dropout probability before, between and after the cells, 0 to 1.

    Raises:
        ValueError: as `ChannelForecaster`, or `cell` or `read` is unknown.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        patch: Count = 24,
        stride: Count = 24,
        width: Count = 32,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden: Count = 64,
        layers: Count = 1,
        read: Literal["last", "all"] = "last",
        dropout: Share = 0.2,
    ) -> None:
        super().__init__(inputs, outputs)
        layer = recurrent_layer(cell)
        if read not in _READ:
            raise ValueError(f"read is one of {', '.join(_READ)}, but it is {read!r}")
        self.patches = _Patches(self.lookback, patch, stride, width)
        self.cells = layer(width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self._states_read = 1 if read == "last" else self.patches.count
        self.last = nn.Linear(hidden * self._states_read, self.horizon)

    def _continue(self, series: Tensor) -> Tensor:
        states: Tensor = self.cells(self.dropout(self.patches(series)))[0]
        ahead: Tensor = self.last(self.dropout(states[:, -self._states_read :].flatten(1)))
        return ahead


class PatchConv(ChannelForecaster):
    """Residual convolutions let each patch see its neighbours, and a linear layer maps all patches to the horizon.

    Args:
        patch: time steps of one patch.
        stride: time steps from one patch to the next.
        width: features of one patch, kept by every block.
        kernel_size: patches under one filter; odd, so that their number is kept.
        blocks: residual convolutions on top of each other.
        dropout: dropout probability in each block and before the last layer, 0 to 1.

    Raises:
        ValueError: as `ChannelForecaster`, or the kernel size is even.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...],
        *,
        patch: Count = 16,
        stride: Count = 8,
        width: Count = 32,
        kernel_size: OddCount = 3,
        blocks: Count = 2,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__(inputs, outputs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is odd, but it is {kernel_size}")
        self.patches = _Patches(self.lookback, patch, stride, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2), nn.GELU(), nn.Dropout(dropout)
            )
            for _ in range(blocks)
        )
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(width * self.patches.count, self.horizon)

    def _continue(self, series: Tensor) -> Tensor:
        steps = self.patches(series).transpose(1, 2)
        for block in self.blocks:
            steps = steps + block(steps)
        ahead: Tensor = self.last(self.dropout(steps.flatten(1)))
        return ahead
