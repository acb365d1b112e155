"""Every architecture computes what plain NumPy computes with the same weights, one example after the other.

The forecasters have their references in `test_forecast.py`.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headframe.features.spec import InputSpec
from headframe.models.cnn import ConvNet
from headframe.models.forecast import ChannelForecaster, ChannelLinear, PatchConv, PatchRecurrent
from headframe.models.linear import Linear
from headframe.models.mlp import MLP
from headframe.models.recurrent import RecurrentNet
from headframe.models.sequence import SequenceInput, bag
from headframe.models.sequence_cnn import SequenceConvNet

Weights = dict[str, np.ndarray]

IMAGE = InputSpec("image", {"channel": 2, "height": 5, "width": 7})
SERIES = InputSpec("series", {"time": 6, "channel": 3})
TABLE = InputSpec("tabular", {"feature": 4})
TOKENS = InputSpec("tokens", {"time": 7}, vocabulary=9)
PAIRS = 11
TEXTS = [[3, 1, 4, 1, 5, 8, 2], [6, 5], [3], [], [8, 8, 8, 7]]


def ready(network: nn.Module) -> Weights:
    """Draw every weight and statistic of a network, put it into evaluation mode, and return them as float64 arrays."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(0.5 + drawn if name.endswith("running_var") else drawn - 0.5)
            if name == "sequence.table.weight":
                tensor[0] = 0  # padding, which no training changes
    network.double().eval()
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def agree(network: nn.Module, x: np.ndarray, expected: list[np.ndarray]) -> None:
    with torch.no_grad():  # roots of numbers of steps are float32 in any network
        np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), np.array(expected), rtol=2e-7, atol=1e-7)


def inputs(spec: InputSpec) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, (3, *spec.shape))


def affine(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    bias = weights.get(f"{name}.bias", np.zeros(len(weights[f"{name}.weight"])))
    return weights[f"{name}.weight"] @ x + bias


def batch_normed(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    """Normalise (channels, ...) by the statistics that training has seen."""
    mean, variance, scale, shift = (
        weights[f"{name}.{part}"].reshape(-1, *[1] * (x.ndim - 1))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


# Dense layers


@pytest.mark.parametrize("spec", [IMAGE, SERIES, TABLE], ids=lambda spec: spec.kind)
def test_a_linear_network_is_one_affine_map(spec: InputSpec) -> None:
    network = Linear(spec, (2, 3))
    weights = ready(network)
    x = inputs(spec)
    agree(network, x, [affine(each.ravel(), weights, "layer").reshape(2, 3) for each in x])


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("spec", [IMAGE, TABLE], ids=lambda spec: spec.kind)
def test_a_perceptron_rectifies_affine_maps(spec: InputSpec, batch_norm: bool) -> None:
    network = MLP(spec, (3,), hidden=[6, 5], dropout=0.5, batch_norm=batch_norm)
    weights = ready(network)
    layers = ["layers.1", "layers.5", "layers.9"] if batch_norm else ["layers.1", "layers.4", "layers.7"]

    def expected(values: np.ndarray) -> np.ndarray:
        for name in layers[:-1]:
            values = affine(values, weights, name)
            if batch_norm:
                assert f"{name}.bias" not in weights, "a bias before a norm is without effect"
                values = batch_normed(values, weights, f"layers.{int(name[7:]) + 1}")
            values = np.maximum(values, 0)
        return affine(values, weights, layers[-1])

    x = inputs(spec)
    agree(network, x, [expected(each.ravel()) for each in x])


# Images


def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve (channels, height, width) by (filters, channels, size, size), zeros around it, the size kept."""
    size = kernel.shape[-1]
    padded = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    found = np.empty((len(kernel), *x.shape[1:]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            found[:, row, column] = (kernel * padded[:, row : row + size, column : column + size]).sum(axis=(1, 2, 3))
    return found


def halved(x: np.ndarray) -> np.ndarray:
    """The largest of each two by two pixels; a last odd row or column stands alone."""
    rows, columns = math.ceil(x.shape[1] / 2), math.ceil(x.shape[2] / 2)
    return np.array(
        [
            [[channel[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].max() for c in range(columns)] for r in range(rows)]
            for channel in x
        ]
    )


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolutional_network_halves_at_the_end_of_each_stage(kernel: int) -> None:
    network = ConvNet(IMAGE, (4,), widths=[[3], [2, 5]], kernel=kernel, dropout=0.5)
    weights = ready(network)

    def expected(values: np.ndarray) -> np.ndarray:
        values = batch_normed(halved(convolved(values, weights["stages.0.weight"])), weights, "stages.2").clip(0)
        values = batch_normed(convolved(values, weights["stages.4.weight"]), weights, "stages.5").clip(0)
        values = batch_normed(halved(convolved(values, weights["stages.7.weight"])), weights, "stages.9").clip(0)
        return affine(values.ravel(), weights, "last")

    x = inputs(IMAGE)
    agree(network, x, [expected(each) for each in x])


# Sequences: each is computed alone, without padding


def padded(texts: list[list[int]]) -> np.ndarray:
    return np.array([[*text, *[0] * (TOKENS.axes["time"] - len(text))] for text in texts])


def embedded(text: list[int], weights: Weights, pairs: int) -> np.ndarray:
    """Return the features of a text's tokens (time, channels), each with those of the pair that it begins."""
    steps = np.array([weights["sequence.table.weight"][token] for token in text or [0]])
    for place, (first, second) in enumerate(pairwise(text)):
        if pairs:
            row = (((first * 65_536 + second) * 2_654_435_769) >> 16) % pairs
            steps[place] += weights["sequence.pairs.weight"][row]
    return steps


def steps_of(spec: InputSpec, weights: Weights, pairs: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a batch, and the steps (time, channels) of each of its examples."""
    if spec.vocabulary:
        return padded(TEXTS), [embedded(text, weights, pairs) for text in TEXTS]
    x = inputs(spec)
    if spec is IMAGE:  # a step is a row of pixels: all channels of it
        return x, [each.transpose(1, 0, 2).reshape(5, 2 * 7) for each in x]
    return x, list(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(steps: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    """The equations of the LSTM; torch keeps the gates in the order i, f, g, o."""
    hidden = cell = np.zeros(weights[f"{name}.weight_hh_l0"].shape[1])
    states = []
    for step in steps:
        sums = weights[f"{name}.weight_ih_l0"] @ step + weights[f"{name}.weight_hh_l0"] @ hidden
        write, forget, new, output = np.split(sums + weights[f"{name}.bias_ih_l0"] + weights[f"{name}.bias_hh_l0"], 4)
        cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(new)
        hidden = sigmoid(output) * np.tanh(cell)
        states.append(hidden)
    return np.array(states)


def gru(steps: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    """The equations of the GRU; torch keeps the gates in the order r, z, n and resets after the product."""
    hidden = np.zeros(weights[f"{name}.weight_hh_l0"].shape[1])
    states = []
    for step in steps:
        into = np.split(weights[f"{name}.weight_ih_l0"] @ step + weights[f"{name}.bias_ih_l0"], 3)
        over = np.split(weights[f"{name}.weight_hh_l0"] @ hidden + weights[f"{name}.bias_hh_l0"], 3)
        reset, keep = sigmoid(into[0] + over[0]), sigmoid(into[1] + over[1])
        hidden = (1 - keep) * np.tanh(into[2] + reset * over[2]) + keep * hidden
        states.append(hidden)
    return np.array(states)


@pytest.mark.parametrize("spec", [IMAGE, SERIES, TOKENS], ids=lambda spec: spec.kind)
@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "lstm", "pooling": "last"},
        {"cell": "gru", "pooling": "last", "layers": 2, "bidirectional": True},
        {"cell": "lstm", "pooling": "mean", "bidirectional": True, "wide": True, "pairs": PAIRS},
        {"cell": "gru", "pooling": "max", "layers": 2, "wide": True},
    ],
    ids=["last", "last-both-ways", "mean-wide", "max-wide"],
)
def test_a_recurrent_network_reads_the_real_steps_only(spec: InputSpec, settings: dict[str, Any]) -> None:
    network = RecurrentNet(spec, (3,), hidden=4, embedding=5, dropout=0.5, input_dropout=0.5, **settings)
    weights = ready(network)
    cells, both_ways = {"lstm": lstm, "gru": gru}[settings["cell"]], settings.get("bidirectional", False)
    pools: dict[str, Any] = {"mean": lambda states: states.mean(0), "max": lambda states: states.max(0)}

    def expected(steps: np.ndarray) -> np.ndarray:
        states = steps
        for layer in range(settings.get("layers", 1)):
            onward = cells(states, weights, f"onward_cells.{layer}")
            back = cells(states[::-1], weights, f"backward_cells.{layer}")[::-1] if both_ways else onward[:, :0]
            states = np.concatenate([onward, back], axis=1)
        last = np.concatenate([onward[-1], back[0]])  # the state that has read everything, of each direction
        pooled = pools[settings["pooling"]](states) if settings["pooling"] in pools else last
        bagged = [steps.sum(0) / math.sqrt(len(steps))] if settings.get("wide") else []
        return affine(np.concatenate([pooled, *bagged]), weights, "last")

    x, examples = steps_of(spec, weights, settings.get("pairs", 0))
    agree(network, x, [expected(steps) for steps in examples])


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def stage(steps: np.ndarray, weights: Weights, name: str, sizes: list[int]) -> np.ndarray:
    """Convolve (time, channels) by each size, zeros beyond the ends, then normalise every step by itself."""
    branches = []
    for number, size in enumerate(sizes):
        kernel = weights[f"{name}.branches.{number}.weight"]
        around = np.pad(steps, (((size - 1) // 2, size // 2), (0, 0)))
        found = [np.einsum("oct,tc->o", kernel, around[at : at + size]) for at in range(len(steps))]
        branches.append(np.array(found) + weights[f"{name}.branches.{number}.bias"])
    values = np.concatenate(branches, axis=1)
    normed = (values - values.mean(1, keepdims=True)) / np.sqrt(values.var(1, keepdims=True) + 1e-5)
    return gelu(normed * weights[f"{name}.norm.weight"] + weights[f"{name}.norm.bias"])


@pytest.mark.parametrize("spec", [IMAGE, SERIES, TOKENS], ids=lambda spec: spec.kind)
@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "both", "kernel_sizes": [1, 2, 4], "widths": [3]},
        {"pooling": "max", "kernel_sizes": [3], "widths": [3, 2], "wide": True, "pairs": PAIRS},
        {"pooling": "mean", "kernel_sizes": [2, 3], "widths": [2, 3]},
    ],
    ids=["both", "max-wide", "mean"],
)
def test_a_sequence_network_convolves_the_real_steps_only(spec: InputSpec, settings: dict[str, Any]) -> None:
    network = SequenceConvNet(spec, (3,), embedding=5, dropout=0.5, input_dropout=0.5, **settings)
    weights = ready(network)
    pools: dict[str, Any] = {
        "max": lambda found: found.max(0),
        "mean": lambda found: found.mean(0),
        "both": lambda found: np.concatenate([found.max(0), found.mean(0)]),
    }

    def expected(steps: np.ndarray) -> np.ndarray:
        found = steps
        for number in range(len(settings["widths"])):
            found = stage(found, weights, f"stages.{number}", settings["kernel_sizes"])
        bagged = [steps.sum(0) / math.sqrt(len(steps))] if settings.get("wide") else []
        return affine(np.concatenate([pools[settings["pooling"]](found), *bagged]), weights, "last")

    x, examples = steps_of(spec, weights, settings.get("pairs", 0))
    agree(network, x, [expected(steps) for steps in examples])


# Where units are dropped while training, and how embeddings begin


def trained_alike(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a network answers while training, and what it answers when it is asked."""
    with torch.no_grad():
        return network.train()(x), network.eval()(x)


@pytest.mark.parametrize(
    ("network", "spec", "settings"),
    [
        (MLP, TABLE, {"hidden": [6]}),
        (ConvNet, IMAGE, {"widths": [[3]]}),
        (RecurrentNet, SERIES, {"hidden": 4}),
        (RecurrentNet, SERIES, {"hidden": 4, "wide": True}),
        (SequenceConvNet, SERIES, {"widths": [3]}),
    ],
    ids=["mlp", "cnn", "recurrent", "recurrent-wide", "sequence-cnn"],
)
def test_dropout_lies_before_the_last_layer(network: Any, spec: InputSpec, settings: dict[str, Any]) -> None:
    made = network(spec, (3,), dropout=1.0, **settings)
    x = torch.from_numpy(inputs(spec)).float()
    dropped, asked = trained_alike(made, x)
    last = made.layers[-1] if network is MLP else made.last
    torch.testing.assert_close(dropped, last.bias.detach().expand(3, 3))
    assert not torch.allclose(dropped, asked)


@pytest.mark.parametrize("network", [RecurrentNet, SequenceConvNet])
@pytest.mark.parametrize("wide", [False, True])
def test_dropout_of_inputs_lies_before_all_layers(network: Any, wide: bool) -> None:
    made = network(SERIES, (3,), input_dropout=1.0, wide=wide)
    x = torch.from_numpy(inputs(SERIES)).float()
    dropped, asked = trained_alike(made, x)
    torch.testing.assert_close(dropped, trained_alike(made, torch.zeros_like(x))[1])
    assert not torch.allclose(dropped, asked)


def test_dropout_lies_between_recurrent_layers() -> None:
    made = RecurrentNet(SERIES, (3,), hidden=4, layers=2, dropout=1.0)
    x = torch.from_numpy(inputs(SERIES)).float()
    _, real = made.sequence(x)
    with torch.no_grad():
        found = made.train()._states(x, real)
        torch.testing.assert_close(found, made.onward_cells[1](torch.zeros(3, 6, 4))[0])


@pytest.mark.parametrize("network", [ChannelLinear, PatchRecurrent, PatchConv])
def test_a_forecaster_that_drops_everything_forecasts_a_constant_of_its_window(network: Any) -> None:
    settings = {} if network is ChannelLinear else {"patch": 2, "stride": 2}
    made: ChannelForecaster = network(SERIES, (2, 3), dropout=1.0, **settings)
    x = torch.from_numpy(inputs(SERIES)).float()
    dropped, asked = trained_alike(made, x)
    bias = made.last.bias.detach()[None, :, None]  # type: ignore[union-attr, operator, index]
    deviation = (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(dropped, bias * deviation + x.mean(1, keepdim=True))
    assert not torch.allclose(dropped, asked)


def test_a_forecaster_s_blocks_drop_units_of_their_own() -> None:
    made = PatchConv(SERIES, (2, 3), patch=2, stride=2, width=3, blocks=2, dropout=1.0)
    steps = torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(1))
    for block in made.train().blocks:
        torch.testing.assert_close(block(steps), torch.zeros_like(steps))


def test_embeddings_begin_small_and_padding_is_nothing() -> None:
    torch.manual_seed(0)
    made = SequenceInput(InputSpec("tokens", {"time": 7}, vocabulary=5000), 8, pairs=PAIRS)
    assert made.table is not None
    assert made.pairs is not None
    assert made.table.weight[1:].std().item() == pytest.approx(0.1, rel=0.02)
    assert not made.table.weight[0].any()
    assert not made.pairs.weight.any()


def test_a_bag_divides_by_the_root_of_the_number_of_real_steps() -> None:
    steps = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]])
    real = torch.tensor([[True, True, False]])
    torch.testing.assert_close(bag(steps, real), torch.tensor([[4.0, 6.0]]) / math.sqrt(2))


@pytest.mark.parametrize(
    ("network", "spec", "settings", "words"),
    [
        (Linear, TOKENS, {}, "a linear layer takes dense measurements, but the input is 'tokens'"),
        (MLP, TOKENS, {}, "a perceptron takes dense measurements, but the input is 'tokens'"),
        (ConvNet, SERIES, {}, "this network takes images, but the input is 'series'"),
        (ConvNet, IMAGE, {"kernel": 4}, "odd kernel .* kernel is 4"),
        (RecurrentNet, TABLE, {}, "read along time or height, which 'tabular' does not have"),
        (RecurrentNet, SERIES, {"pooling": "sum"}, "pooling is one of last, mean, max, but it is 'sum'"),
        (RecurrentNet, SERIES, {"cell": "rnn"}, "cell is one of lstm, gru, but it is 'rnn'"),
        (SequenceConvNet, TABLE, {}, "read along time or height, which 'tabular' does not have"),
        (SequenceConvNet, SERIES, {"pooling": "sum"}, "pooling is one of max, mean, both, but it is 'sum'"),
        (ChannelLinear, IMAGE, {}, "a forecast continues a series, but the input is 'image'"),
        (ChannelLinear, SERIES, {}, r"a forecast of 3 channels has the shape \(horizon, 3\), not \(3,\)"),
        (PatchConv, IMAGE, {}, "a forecast continues a series, but the input is 'image'"),
        (PatchRecurrent, TOKENS, {}, "a forecast continues a series, but the input is 'tokens'"),
    ],
)
def test_what_a_network_cannot_take_is_refused_by_name(
    network: Any, spec: InputSpec, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        network(spec, (3,), **settings)
