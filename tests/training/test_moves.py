"""Methods with several moves in a step, each with an optimiser of its own, and what their trainings leave."""

import pytest
from safetensors.torch import load_file

METHOD = '''
"""Two moves: an opponent learns to move inputs so that the classifier errs, and the classifier learns from both."""

import torch

from headframe.methods.supervised import Supervised


class Opposed(Supervised):
    """Lowers the error on inputs and on inputs that the opponent has changed."""

    def moves(self):
        """Return the opponent's weights, then the classifier's."""
        parts = {"opponent": self.network.opponent, "classifier": self.network.last}
        return {move: list(part.parameters()) for move, part in parts.items()}

    def losses(self, move, batch):
        """Compute what a move lowers."""
        noise = torch.rand_like(batch.inputs)  # which a resumed step must draw again
        moved = batch.inputs + 0.1 * torch.tanh(self.network.opponent(noise).reshape(batch.inputs.shape))
        target = batch.targets["target"]
        if move == "opponent":
            return {"gain": -self.loss(self.network(moved), target)}
        plain, attacked = self.network(batch.inputs), self.network(moved.detach())
        return {"plain": self.loss(plain, target), "moved": self.loss(attacked, target)}
'''
NETWORK = '''
"""A classifier with its opponent."""

from math import prod

from torch import nn


class Pair(nn.Module):
    """A linear classifier, and a network that changes its inputs."""

    def __init__(self, inputs, outputs):
        super().__init__()
        size = prod(inputs.shape)
        self.opponent = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.ReLU(), nn.Linear(8, size))
        self.last = nn.Sequential(nn.Flatten(), nn.Linear(size, outputs[0]))

    def forward(self, x):
        return self.last(x)
'''


@pytest.fixture
def opposed(training_project):
    """A project with a method of two moves and a network for it."""
    root = training_project.root
    files = {
        "src/duel/__init__.py": "",
        "src/duel/opposed.py": METHOD,
        "src/duel/pair.py": NETWORK,
        "conf/method/opposed.yaml": (
            "_target_: duel.opposed.Opposed\ntasks: [classification]\nparts: [opponent, last]\n"
        ),
        "conf/model/pair.yaml": (
            "_target_: duel.pair.Pair\ntasks: [classification]\ntakes: [image]\nparts: [opponent, last]\n"
        ),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return training_project


def plan_of(project):
    return project.simple("model=pair", "method=opposed", "trainer.checkpoint_steps=2", "trainer.max_epochs=3")


def test_a_killed_training_of_two_optimisers_goes_on_to_the_same_bytes(opposed):
    plan = plan_of(opposed)
    undisturbed = opposed.train_once(plan)
    for kill in ("step 3", "validation 1", "epoch 2", "step 14"):
        killed = opposed.train(plan, "opposed", kill)
        assert killed.code == -9, killed.stderr
    resumed = opposed.train(plan, "opposed")
    assert resumed.code == 0, resumed.stderr
    assert resumed.files() == undisturbed.files()


def test_each_loss_of_an_epoch_is_kept_beside_their_sum(opposed):
    run = opposed.train_once(plan_of(opposed))
    for epoch in run.read("history.json"):
        assert epoch["losses"].keys() == {"gain", "plain", "moved"}
        assert epoch["train_loss"] == pytest.approx(sum(epoch["losses"].values()))
    first, last = (run.read("history.json")[place]["losses"]["plain"] for place in (0, -1))
    assert last < first


def test_only_the_parts_of_a_phase_change(opposed):
    given = ["model=pair", "trainer.keep=last"]
    first = opposed.train_once(opposed.simple(*given, "+phases.all.trainer.max_epochs=1"))
    both = ["+phases.all.trainer.max_epochs=1", "+phases.head.trains=[last]", "+phases.head.trainer.max_epochs=1"]
    run = opposed.train_once(opposed.simple(*given, *both))
    before, after = (load_file(each.folder / "bundle/weights.safetensors") for each in (first, run))
    changed = {name.partition(".")[0] for name in before if not before[name].equal(after[name])}
    assert changed == {"last"}
    assert [epoch["epoch"] for epoch in run.read("history.json")] == [1, 2]
