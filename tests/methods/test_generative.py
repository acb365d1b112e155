"""Methods that learn to generate images from noise: an autoencoder, and a generator against its discriminator."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from headframe.examples.batches import Batch
from headframe.features.spec import InputSpec
from headframe.methods.gan import Gan
from headframe.methods.vae import Vae
from headframe.models.generative import AdversarialPair, VariationalAutoencoder
from headframe.tasks.generation import Generation

NOISE, IMAGE = InputSpec("noise", {"feature": 3}), (1, 6, 5)
PAIRS = {
    Vae: partial(VariationalAutoencoder, hidden=(12, 8)),
    Gan: partial(AdversarialPair, widths=(4, 6)),
}


@pytest.fixture(scope="module")
def task() -> Generation:
    random = np.random.default_rng(1)
    images = random.integers(0, 90, (64, 6, 5, 1)).astype(np.uint8)
    labels = np.arange(64) % 2
    images[labels == 1, 2] += 120
    made = Generation(labels="kind", features=3)
    made.fit(pa.table({"photo": pa.FixedShapeTensorArray.from_numpy_ndarray(images), "kind": labels}))
    return made


def made(kind: type, task: Generation, **settings: float):
    torch.manual_seed(0)
    return kind(PAIRS[kind](NOISE, IMAGE), task, **settings)


def batch(task: Generation, rows: int = 32) -> Batch:
    noise = torch.randn(rows, 3, generator=torch.Generator().manual_seed(2))
    return Batch(noise, {"images": torch.from_numpy(task.images_[:rows].copy())})


def steps(method, examples: Batch, count: int) -> list[dict[str, float]]:
    optimizers = {move: torch.optim.Adam(weights, 0.01, betas=(0.5, 0.999)) for move, weights in method.moves().items()}
    found = []
    for step in range(count):
        torch.manual_seed(step)
        losses = {}
        for move, optimizer in optimizers.items():
            optimizer.zero_grad()
            lowered = method.losses(move, examples)
            sum(lowered.values()).backward()
            optimizer.step()
            losses |= {name: loss.item() for name, loss in lowered.items()}
        found.append(losses)
    return found


def test_the_bound_of_an_autoencoder_is_that_of_torch_distributions(task: Generation) -> None:
    method, examples = made(Vae, task, divergence=0.5), batch(task)
    method.network.eval()
    images = method.images(examples)
    assert images.shape == (32, 1, 6, 5)
    assert images[3, 0].numpy() == pytest.approx(task.images_[3, ..., 0] / 255)
    mean, log_variance = method.network.encoder(2 * images - 1).chunk(2, dim=1)
    codes = torch.distributions.Normal(mean, (log_variance / 2).exp())
    logits = method.network.decoder(mean + codes.stddev * examples.inputs)
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    expected = {
        "reconstruction": functional.binary_cross_entropy_with_logits(logits, images).item() * 30,
        "divergence": 0.5 * torch.distributions.kl_divergence(codes, prior).sum(dim=1).mean().item(),
    }
    found = {name: loss.item() for name, loss in method.losses("network", examples).items()}
    assert found == pytest.approx(expected, rel=1e-4)


def test_each_move_of_the_pair_lowers_its_own_loss_and_changes_its_own_weights(task: Generation) -> None:
    method, examples = made(Gan, task), batch(task)
    moves = method.moves()
    assert list(moves) == ["discriminator", "generator"]
    assert not {*map(id, moves["discriminator"])} & {*map(id, moves["generator"])}
    method.network.eval()
    made_up = method.network.generator(examples.inputs).tanh()
    judged, real = (method.network.discriminator(each) for each in (made_up, 2 * method.images(examples) - 1))
    ones, zeros = torch.ones(32, 1), torch.zeros(32, 1)
    entropy = functional.binary_cross_entropy_with_logits
    found = {move: {name: loss.item() for name, loss in method.losses(move, examples).items()} for move in moves}
    expected = {
        "discriminator": {"real": entropy(real, ones).item(), "generated": entropy(judged, zeros).item()},
        "generator": {"generator": entropy(judged, ones).item()},
    }
    for move, losses in expected.items():
        assert found[move] == pytest.approx(losses, rel=1e-5)
    method.network.train()
    sum(method.losses("discriminator", examples).values()).backward()
    assert all(weight.grad is None for weight in moves["generator"]), "its graph is not even kept"


def test_images_come_from_the_average_of_the_generator_that_trains(task: Generation) -> None:
    method, examples = made(Gan, task, memory=0.5), batch(task)
    parts = [name for name, weight in method.network.named_parameters() if weight.requires_grad]
    assert {name.partition(".")[0] for name in parts} == {"generator", "discriminator"}
    name = "0.weight"
    seen = []
    for step in range(3):
        seen.append(method.network.generator.state_dict()[name].clone())
        steps(method, examples, 1)
        assert step < 0 or not torch.equal(seen[-1], method.network.generator.state_dict()[name])
    expected = seen[0]
    for each in seen:
        expected = 0.5 * expected + 0.5 * each
    torch.testing.assert_close(method.network.average.state_dict()[name], expected)
    method.network.eval()
    before = {key: each.clone() for key, each in method.network.state_dict().items()}
    with torch.inference_mode():
        found = method.predict(examples.inputs)
        method.validate([examples])
    assert all(torch.equal(before[key], each) for key, each in method.network.state_dict().items())
    levels = (method.network.average(examples.inputs).tanh() + 1) * 127.5
    images = found["image"].combine_chunks().to_numpy_ndarray()
    assert images == pytest.approx(levels.detach().permute(0, 2, 3, 1).numpy(), abs=1e-3)


@pytest.mark.parametrize("kind", [Vae, Gan])
def test_every_weight_learns_and_noise_is_drawn_in_training_alone(kind: type, task: Generation) -> None:
    method, examples = made(kind, task), batch(task)
    before = {name: weight.clone() for name, weight in method.network.named_parameters() if weight.requires_grad}
    first, second = steps(method, examples, 2)
    assert first.keys() == second.keys()
    after = dict(method.network.named_parameters())
    assert [name for name, weight in before.items() if torch.equal(weight, after[name])] == []
    method.network.eval()
    with torch.inference_mode():
        (one, predictions), (two, again) = (method.validate([examples, examples]) for _ in range(2))
        assert predictions.slice(32).equals(method.predict(examples.inputs))
    assert one == two
    assert predictions.equals(again)
    total = sum(float(loss.detach()) for move in method.moves() for loss in method.losses(move, examples).values())
    assert one == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("kind", [Vae, Gan])
def test_a_row_alone_gets_the_image_that_it_gets_among_others(kind: type, task: Generation) -> None:
    method, examples = made(kind, task), batch(task)
    steps(method, examples, 3)
    method.network.eval()
    with torch.inference_mode():
        whole = method.predict(examples.inputs)["image"].combine_chunks().to_numpy_ndarray()
        for place in (0, 17):
            alone = method.predict(examples.inputs[place : place + 1])["image"].combine_chunks().to_numpy_ndarray()
            assert alone[0] == pytest.approx(whole[place], abs=1e-3)


@pytest.mark.parametrize("kind", [Vae, Gan])
def test_training_brings_generated_images_nearer_to_real_ones(kind: type, task: Generation) -> None:
    method, examples = made(kind, task), batch(task)
    method.network.eval()

    def fid() -> float:
        with torch.inference_mode():
            found = method.validate([examples])[1]
        real = task.truth({"images": examples.targets["images"].numpy()})
        return task.measure(pa.table([*real.columns, *found.columns], names=["target", "image"]), ["fid"])["fid"]

    before = fid()
    method.network.train()
    steps(method, examples, 150)
    method.network.eval()
    assert fid() < before / 2


def test_what_is_not_finite_gives_no_predictions(task: Generation) -> None:
    method = made(Vae, task)
    with torch.no_grad():
        method.network.decoder[0].weight.fill_(float("nan"))
    with torch.inference_mode():
        method.network.eval()
        assert method.validate([batch(task)])[1] is None


def test_networks_refuse_what_is_no_noise_and_no_image() -> None:
    with pytest.raises(ValueError, match="makes images of noise, but the input is 'tabular'; take features=noise"):
        AdversarialPair(InputSpec("tabular", {"feature": 3}), IMAGE)
    with pytest.raises(ValueError, match=r"makes images, but outputs of shape \(4,\) are asked for"):
        VariationalAutoencoder(NOISE, (4,))
