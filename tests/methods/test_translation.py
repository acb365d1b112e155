"""Sequences are learned token by token, and searched for as if every one of them was looked at."""

import math
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from headframe.examples.batches import Batch
from headframe.features.spec import InputSpec
from headframe.features.tokens import PADDING
from headframe.methods.translation import SequenceGeneration, beam_search
from headframe.models.seq2seq import Seq2Seq
from headframe.tasks.base import with_truth
from headframe.tasks.translation import TOKENS, Translation

TEXTS = ["I am here.", "You are there!", "He's 3 m tall.", "We were here", "Are you there?", "No.", "I am there, too."]
SOURCE = InputSpec("tokens", {"time": 12}, vocabulary=20)


@pytest.fixture(scope="module")
def task() -> Translation:
    made = Translation(vocabulary=40, min_count=1, length=16)
    made.fit(pa.table({"english": TEXTS}))
    return made


def method(task: Translation, **given) -> SequenceGeneration:
    torch.manual_seed(1)
    network = Seq2Seq(SOURCE, task.outputs, hidden=16, heads=2, dropout=0.0)
    for weight in network.parameters():  # far from uniform, so that translations differ
        weight.data.mul_(2.5 if weight.dim() > 1 else 1.0)
    network.eval()
    return SequenceGeneration(network, task, **given)


def sources(rows: int = len(TEXTS)) -> torch.Tensor:
    ids = torch.randint(2, SOURCE.vocabulary, (rows, 12), generator=torch.Generator().manual_seed(2))
    return ids.masked_fill(torch.arange(12) >= torch.arange(rows)[:, None] % 12 + 1, PADDING)


def batch(task: Translation) -> Batch:
    targets = task.targets(pa.table({"english": TEXTS}))
    return Batch(sources(), {name: torch.from_numpy(each) for name, each in targets.items()})


# A chain of three tokens (0, 1, end) whose probabilities depend on row, place and the token before.
END, LONGEST = 2, 3
CHAIN = torch.log_softmax(torch.randn((5, LONGEST + 1, 3, 3), generator=torch.Generator().manual_seed(3)).double(), 3)


def chain(tokens, states, rows):
    place = torch.zeros_like(tokens) if states is None else states[0]
    return CHAIN[rows[:, None], place, tokens], [place + 1]


def every_sequence(row: int, power: float) -> dict[tuple[int, ...], float]:
    found = {}
    for length in range(LONGEST + 1):
        for tokens in product((0, 1), repeat=length):
            total, before = 0.0, END
            for place, token in enumerate((*tokens, END)):
                total += float(CHAIN[row, place, before, token])
                before = token
            found[tokens] = total / (length + 1) ** power
    return found


def search(beam: int, power: float) -> list[tuple[tuple[int, ...], float]]:
    ids, scores = beam_search(chain, torch.arange(5), end=END, beam=beam, longest=LONGEST, power=power)
    found = [tuple(token for token in row if token != END) for row in ids.tolist()]
    assert all(
        row[len(tokens) :] == [END] * (LONGEST + 1 - len(tokens))
        for row, tokens in zip(ids.tolist(), found, strict=True)
    )
    return list(zip(found, scores.tolist(), strict=True))


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(power: float) -> None:
    for row, (tokens, score) in enumerate(search(20, power)):
        every = every_sequence(row, power)
        assert tokens == max(every, key=lambda each: every[each])
        assert score == pytest.approx(every[tokens])


def test_what_is_found_has_the_score_of_a_plain_loop_at_any_width() -> None:
    for beam in (1, 2, 3):
        for row, (tokens, score) in enumerate(search(beam, 1.0)):
            assert score == pytest.approx(every_sequence(row, 1.0)[tokens])


def test_a_beam_of_one_takes_the_most_probable_token_each_time() -> None:
    for row, (tokens, _) in enumerate(search(1, 1.0)):
        expected, before = [], END
        while len(expected) < LONGEST and (token := int(CHAIN[row, len(expected), before].argmax())) != END:
            expected.append(token)
            before = token
        assert list(tokens) == expected


def test_hypotheses_that_cannot_go_on_are_no_candidates() -> None:
    never = torch.tensor([-math.inf, -math.inf, 0.0]).double()
    found = beam_search(
        lambda tokens, states, rows: (never.expand(*tokens.shape, 3), [tokens]),
        torch.arange(2),
        end=2,
        beam=4,
        longest=3,
        power=1.0,
    )
    assert found[0].tolist() == [[2, 2, 2, 2]] * 2
    assert found[1].tolist() == [0.0, 0.0]


def test_each_token_is_learned_behind_the_true_ones_before_it(task: Translation) -> None:
    learner, given = method(task, label_smoothing=0.0, buckets=3), batch(task)
    expected = []
    for source, target in zip(given.inputs, given.targets[TOKENS], strict=True):
        before = [task.end]
        for token in target[target != PADDING].tolist():
            features = learner.network(source[None], torch.tensor([before]))
            scores = learner.network.scores(features)[0, -1].detach()
            expected.append(functional.cross_entropy(scores, torch.tensor(token)))
            before.append(token)
    loss = learner.losses("network", given)["cross_entropy"].detach()
    assert float(loss) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    with torch.inference_mode():
        assert learner.validate([given])[0] == pytest.approx(float(loss), rel=1e-6)


def test_validation_counts_tokens_and_no_smoothing(task: Translation) -> None:
    learner, given = method(task, label_smoothing=0.3), batch(task)
    rows = [torch.arange(2), torch.arange(2, len(TEXTS))]
    parts = [Batch(given.inputs[each], {name: column[each] for name, column in given.targets.items()}) for each in rows]
    with torch.inference_mode():
        whole, predictions = learner.validate([given])
        in_parts, _ = learner.validate(parts)
    assert in_parts == pytest.approx(whole, rel=1e-6)
    assert predictions is None
    assert float(learner.losses("network", given)["cross_entropy"].detach()) > whole + 0.01


def test_validation_rows_are_translated_where_that_is_asked_for(task: Translation) -> None:
    learner = method(task, translate_validation=True)
    with torch.inference_mode():
        _, found = learner.validate([batch(task)])
    assert found is not None
    assert found.equals(learner.predict(sources()))
    for weight in learner.network.parameters():
        weight.data.fill_(math.nan)
    with torch.inference_mode():
        loss, none = learner.validate([batch(task)])
    assert math.isnan(loss)
    assert none is None


def test_a_translation_does_not_depend_on_what_is_translated_beside_it(task: Translation) -> None:
    learner, given = method(task, beam=3, together=4), sources(40)
    found = learner.predict(given)
    assert len({*found["translation"].to_pylist()}) > 5  # else all are the same anyway
    alone = pa.concat_tables([learner.predict(given[[row]]) for row in range(40)])
    mixed = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    shuffled = learner.predict(given[mixed]).take(pa.array(mixed.argsort().numpy()))
    padded = learner.predict(functional.pad(given, (0, 3))[:, :12])
    for other in (alone, shuffled, padded):
        assert other["translation"].equals(found["translation"])
        np.testing.assert_allclose(other["score"], found["score"], rtol=0, atol=1e-12)


def test_padding_of_sources_and_targets_changes_nothing(task: Translation) -> None:
    network = method(task).network
    short, beside = torch.tensor([[3, 4, 5]]), torch.tensor([[7, 8, 9, 10, 11, 12, 13]])
    both = torch.cat([functional.pad(short, (0, 4)), beside])
    tokens = torch.tensor([[task.end, 5, 6]])
    alone = network(short, tokens)
    torch.testing.assert_close(network(both, tokens.expand(2, 3))[:1], alone)
    torch.testing.assert_close(network(short, functional.pad(tokens, (0, 3)))[:, :3], alone)
    assert not torch.allclose(network(beside, tokens), alone)


def test_states_of_hypotheses_continue_what_steps_compute(task: Translation) -> None:
    network = method(task).network
    source, tokens = sources(3), torch.tensor([[task.end, 5, 6, 7], [task.end, 8, 9, 4], [task.end, 4, 4, 5]])
    memory, states, found = network.memory(source), None, []
    for place in range(4):
        features, states = (
            network.generate(tokens[:, [place, place]], memory, states)
            if place
            else network.generate(tokens[:, :1], memory)
        )
        states = [each.expand(-1, 2, -1) for each in states]
        found.append(features[:, 0])
    torch.testing.assert_close(torch.stack(found, dim=1), network(source, tokens))


def test_nothing_unknown_and_no_padding_is_generated(task: Translation) -> None:
    learner = method(task)
    learner.network.bias.data[:2] = 99.0
    assert not any("[" in text for text in learner.predict(sources(20))["translation"].to_pylist())


def test_a_pair_is_learned_by_heart(task: Translation) -> None:
    learner, given = method(task, beam=2), batch(task)
    optimizer = torch.optim.AdamW(learner.network.parameters(), lr=0.01)
    learner.network.train()
    for _ in range(120):
        optimizer.zero_grad()
        learner.losses("network", given)["cross_entropy"].backward()
        optimizer.step()
    learner.network.eval()
    found = learner.predict(given.inputs)
    assert found["translation"].to_pylist() == TEXTS
    targets = {name: each.numpy() for name, each in given.targets.items()}
    assert task.measure(with_truth(task.truth(targets), found))["bleu"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("inputs", "hidden", "refused"),
    [
        (
            InputSpec("image", {"channel": 1, "height": 2, "width": 2}),
            16,
            "generated for tokens, but the input is 'image'",
        ),
        (SOURCE, 15, "hidden is a multiple of the 4 heads, but it is 15"),
    ],
)
def test_a_network_refuses_what_it_cannot_be(inputs: InputSpec, hidden: int, refused: str) -> None:
    with pytest.raises(ValueError, match=refused):
        Seq2Seq(inputs, (9,), hidden=hidden)


def test_in_half_precision_training_is_nearly_the_same_and_the_search_exactly(task: Translation) -> None:
    learner, given = method(task), batch(task)
    expected = float(learner.losses("network", given)["cross_entropy"].detach())
    translated = learner.predict(given.inputs)
    with torch.autocast("cpu", torch.bfloat16):
        loss = learner.losses("network", given)["cross_entropy"]
        assert learner.predict(given.inputs).equals(translated)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected, rel=0.02)
    assert float(loss.detach()) != expected
    assert all(weight.grad.isfinite().all() for weight in learner.network.parameters())
