"""How networks read texts of unequal length."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from headframe.features.spec import InputSpec
from headframe.models.recurrent import RecurrentNet
from headframe.models.sequence import SequenceInput
from headframe.models.sequence_cnn import SequenceConvNet

SPEC = InputSpec("tokens", {"time": 9}, vocabulary=20)


def texts() -> Tensor:
    """Ids of texts of several lengths, the empty one and a full one among them."""
    x = torch.randint(1, 20, (6, 9), generator=torch.Generator().manual_seed(0))
    for row, length in zip(x, (9, 5, 1, 0, 7, 3), strict=True):
        row[length:] = 0
    return x


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_states_are_those_of_packed_sequences(cell: Literal["lstm", "gru"], bidirectional: bool, layers: int) -> None:
    torch.manual_seed(0)
    net = RecurrentNet(SPEC, (3,), cell=cell, hidden=5, layers=layers, bidirectional=bidirectional, embedding=4).eval()
    reference = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](4, 5, layers, batch_first=True, bidirectional=bidirectional)
    weights = {}
    for layer in range(layers):
        for cells, ending in ((net.onward_cells, ""), (net.backward_cells, "_reverse")):
            if layer < len(cells):
                ours = cells[layer].state_dict()
                weights |= {f"{name[:-1]}{layer}{ending}": tensor for name, tensor in ours.items()}
    reference.load_state_dict(weights)
    steps, real = net.sequence(texts())
    packed = pack_padded_sequence(steps, real.sum(1), batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(reference(packed)[0], batch_first=True)
    torch.testing.assert_close(net._states(steps, real) * real.unsqueeze(2), expected)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_a_text_is_read_alike_in_a_batch_with_a_longer_one(pooling: Literal["last", "mean", "max"]) -> None:
    torch.manual_seed(0)
    net = RecurrentNet(SPEC, (3,), hidden=5, bidirectional=True, pooling=pooling, embedding=4, pairs=30).eval()
    nn.init.normal_(net.sequence.pairs.weight)
    together = net(texts())
    for row, text in enumerate(texts()):
        torch.testing.assert_close(net(text[None]), together[row : row + 1])


def test_columns_of_padding_are_not_computed() -> None:
    steps, real = SequenceInput(SPEC, 4)(texts()[[1, 2]])
    assert steps.shape == (2, 5, 4)
    assert real.tolist() == [[True] * 5, [True, False, False, False, False]]
    assert SequenceInput(SPEC, 4)(torch.zeros(2, 9, dtype=torch.int64))[1].tolist() == [[True], [True]]


def test_pairs_tell_the_order_of_tokens() -> None:
    torch.manual_seed(0)
    x = torch.tensor([[3, 4, 5, 0], [5, 4, 3, 0]])
    for pairs, differs in ((0, False), (50, True)):
        net = SequenceConvNet(SPEC, (2,), embedding=4, pairs=pairs, kernel_sizes=[1], pooling="mean").eval()
        if net.sequence.pairs is not None:
            nn.init.normal_(net.sequence.pairs.weight)
        first, second = net(x)
        assert torch.allclose(first, second, atol=1e-6) is not differs


def test_pairs_begin_silent_and_learn() -> None:
    torch.manual_seed(0)
    sequence = SequenceInput(SPEC, 4, pairs=50)
    assert sequence.table is not None
    assert sequence.pairs is not None
    x = texts()[:1]
    steps, _ = sequence(x)
    torch.testing.assert_close(steps, sequence.table(x))
    steps.sum().backward()
    gradient = sequence.pairs.weight.grad
    assert gradient is not None
    assert gradient.sum() == 8 * 4  # nine tokens are eight pairs


def test_few_pairs_share_a_row() -> None:
    sequence = SequenceInput(InputSpec("tokens", {"time": 2}, vocabulary=100_000), 1, pairs=4096)
    assert sequence.pairs is not None
    ids = torch.randint(2, 100_000, (2000, 2), generator=torch.Generator().manual_seed(0))
    sequence(ids)[0].sum().backward()
    assert sequence.pairs.weight.grad is not None
    used = int((sequence.pairs.weight.grad != 0).sum())
    evenly = 4096 * (1 - (1 - 1 / 4096) ** 2000)
    assert abs(used - evenly) < 0.05 * evenly


@pytest.mark.parametrize("network", [RecurrentNet, SequenceConvNet])
def test_a_wide_network_without_its_deep_part_is_linear_in_counts(
    network: type[RecurrentNet | SequenceConvNet],
) -> None:
    torch.manual_seed(0)
    net = network(SPEC, (3,), embedding=4, wide=True).eval()
    assert net.sequence.table is not None
    deep = net.last.in_features - 4
    with torch.no_grad():
        net.last.weight[:, :deep] = 0
    counts = torch.stack([torch.bincount(text, minlength=20) for text in texts()]).float()
    counts[:, 0] = 0  # padding
    lengths = counts.sum(1, keepdim=True).clamp(min=1)
    expected = (counts / lengths.sqrt()) @ net.sequence.table.weight @ net.last.weight[:, deep:].T + net.last.bias
    torch.testing.assert_close(net(texts()), expected)


@pytest.mark.parametrize("network", [RecurrentNet, SequenceConvNet])
def test_a_wide_network_reads_a_text_alike_in_a_batch_with_a_longer_one(
    network: type[RecurrentNet | SequenceConvNet],
) -> None:
    torch.manual_seed(0)
    net = network(SPEC, (3,), embedding=4, pairs=30, wide=True).eval()
    assert net.sequence.pairs is not None
    nn.init.normal_(net.sequence.pairs.weight)
    together = net(texts())
    for row, text in enumerate(texts()):
        torch.testing.assert_close(net(text[None]), together[row : row + 1])


def test_only_a_wide_network_has_more_weights_in_its_last_layer() -> None:
    image = InputSpec("image", {"channel": 2, "height": 8, "width": 5})
    for network in (RecurrentNet, SequenceConvNet):
        plain, wide = network(image, (3,)), network(image, (3,), wide=True)
        assert wide.last.in_features - plain.last.in_features == 2 * 5
        assert wide(torch.zeros(4, 2, 8, 5)).shape == (4, 3)


def test_a_negative_number_of_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="0 for none, but it is -1"):
        SequenceInput(SPEC, 4, pairs=-1)
