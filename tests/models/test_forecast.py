"""Forecasters compute what a plain NumPy loop computes with the same weights."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from headframe.features.spec import InputSpec
from headframe.models.forecast import ChannelForecaster, ChannelLinear, PatchConv, PatchRecurrent

LOOKBACK, CHANNELS, HORIZON = 11, 2, 3
SPEC = InputSpec("series", {"time": LOOKBACK, "channel": CHANNELS})
OUTPUTS = (HORIZON, CHANNELS)


def network(kind: type[ChannelForecaster], **settings: Any) -> tuple[ChannelForecaster, dict[str, np.ndarray]]:
    """A network in evaluation mode, and its weights as arrays."""
    torch.manual_seed(3)
    made = kind(SPEC, OUTPUTS, **settings).double().eval()
    return made, {name: tensor.numpy() for name, tensor in made.state_dict().items()}


def patches(series: np.ndarray, patch: int, stride: int, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Embed the patches of one series: the last ends on its newest value, the first repeats its oldest."""
    count = 1 + max(1, math.ceil((len(series) - patch) / stride))
    starts = [len(series) - patch - stride * back for back in reversed(range(count))]
    cut = np.array([[series[max(0, start + step)] for step in range(patch)] for start in starts])
    return cut @ weights["patches.embed.weight"].T + weights["patches.embed.bias"]


def forecast(x: np.ndarray, continue_series: Any) -> np.ndarray:
    """Continue each channel of one window, normalised by its own mean and deviation."""
    ahead = np.empty(OUTPUTS)
    for channel in range(CHANNELS):
        series = x[:, channel]
        deviation = np.sqrt(series.var() + 1e-5)
        ahead[:, channel] = continue_series((series - series.mean()) / deviation) * deviation + series.mean()
    return ahead


def agrees(made: ChannelForecaster, continue_series: Any) -> None:
    windows = np.random.default_rng(5).normal(50, 9, (4, LOOKBACK, CHANNELS))
    with torch.no_grad():
        found = made(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(found, [forecast(window, continue_series) for window in windows], rtol=1e-10)


def last_layer(values: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    return weights["last.weight"] @ values + weights["last.bias"]


def test_a_linear_forecast_is_one_map_of_each_normalised_channel() -> None:
    made, weights = network(ChannelLinear)
    agrees(made, lambda series: last_layer(series, weights))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(steps: np.ndarray, weights: dict[str, np.ndarray], layers: int) -> np.ndarray:
    """The hidden states of the top layer, by the equations of the LSTM (gates in torch's order: i, f, g, o)."""
    for layer in range(layers):
        into, over = weights[f"cells.weight_ih_l{layer}"], weights[f"cells.weight_hh_l{layer}"]
        bias = weights[f"cells.bias_ih_l{layer}"] + weights[f"cells.bias_hh_l{layer}"]
        hidden, cell = np.zeros(over.shape[1]), np.zeros(over.shape[1])
        states = []
        for step in steps:
            write, forget, candidate, output = np.split(into @ step + over @ hidden + bias, 4)
            cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
            hidden = sigmoid(output) * np.tanh(cell)
            states.append(hidden)
        steps = np.array(states)
    return steps


@pytest.mark.parametrize(("read", "layers"), [("last", 1), ("all", 2)])
@pytest.mark.parametrize(("patch", "stride"), [(4, 3), (4, 4), (20, 5)])
def test_a_recurrent_forecast_reads_patches_from_old_to_new(read: str, layers: int, patch: int, stride: int) -> None:
    made, weights = network(PatchRecurrent, patch=patch, stride=stride, width=3, hidden=5, layers=layers, read=read)

    def continue_series(series: np.ndarray) -> np.ndarray:
        states = lstm(patches(series, patch, stride, weights), weights, layers)
        return last_layer(states[-1] if read == "last" else states.ravel(), weights)

    agrees(made, continue_series)


def test_dropout_lies_between_recurrent_layers_as_well() -> None:
    made, _ = network(PatchRecurrent, layers=2, dropout=0.3)
    assert made.cells.dropout == made.dropout.p == 0.3  # type: ignore[union-attr]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.parametrize(("patch", "stride"), [(4, 3), (20, 5)])
def test_a_convolutional_forecast_adds_to_each_patch_what_its_neighbours_show(patch: int, stride: int) -> None:
    made, weights = network(PatchConv, patch=patch, stride=stride, width=3, kernel_size=3, blocks=2)

    def continue_series(series: np.ndarray) -> np.ndarray:
        steps = patches(series, patch, stride, weights)
        for block in range(2):
            kernel, bias = weights[f"blocks.{block}.0.weight"], weights[f"blocks.{block}.0.bias"]
            padded = np.pad(steps, ((1, 1), (0, 0)))
            around = [np.einsum("oci,ic->o", kernel, padded[step : step + 3]) + bias for step in range(len(steps))]
            steps = steps + gelu(np.array(around))
        return last_layer(steps.T.ravel(), weights)

    agrees(made, continue_series)
