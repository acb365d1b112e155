"""Targets are looked up in one place, and lead nowhere but where they say."""

from __future__ import annotations

import pytest

from headframe.config.build import build, look_up
from headframe.config.plan import Component, Ensemble, Learner, Trainer
from headframe.errors import ConfigurationError

TRAINER = Trainer(max_epochs=2, batch_size=4)


def component(target: str, **arguments: object) -> Component:
    return Component.model_validate({"_target_": target, **arguments})


def test_run_time_objects_arrive_by_identity() -> None:
    import torch

    weights = [torch.nn.Parameter(torch.zeros(2))]
    made = build(component("torch.optim.sgd.SGD", lr=0.5), weights)
    assert made.param_groups[0]["params"][0] is weights[0]
    assert made.defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "target", ["torch.optim.sgd.os.system", "sklearn.utils.warnings.warn", "headframe.record.hashlib.sha256"]
)
def test_a_target_that_only_passes_through_a_trusted_package_is_refused(target: str) -> None:
    with pytest.raises(ConfigurationError):
        look_up(target)


def test_a_constructor_that_refuses_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="Invalid learning rate"):
        build(component("torch.optim.sgd.SGD", lr=-1.0), [])


def learner(model: object) -> Learner:
    return Learner.model_validate(
        {
            "seed": 5,
            "model": model,
            "features": {"gives": "image", "encoder": {"_target_": "headframe.features.image.Pixels"}},
            "optimizer": {"_target_": "torch.optim.sgd.SGD"},
            "scheduler": {"_target_": "headframe.training.schedules.Constant"},
            "trainer": TRAINER,
        }
    )


MODEL = {"_target_": "headframe.models.cnn.ConvNet", "tasks": ["classification"], "inputs": ["image"]}


def test_members_differ_from_the_plan_only_where_they_say_so() -> None:
    ensemble = {
        "_target_": "headframe.models.ensembles.Mean",
        "members": {"a": {"model": MODEL}, "b": {"model": MODEL, "trainer": {"max_epochs": 7}}},
    }
    members = learner(ensemble).members()
    assert list(members) == ["a", "b"]
    assert members["a"].trainer == TRAINER
    assert members["b"].trainer.max_epochs == 7
    assert members["b"].trainer.batch_size == 4
    assert {member.seed for member in members.values()} == {5}


def test_copies_get_seeds_of_their_own_and_the_first_keeps_the_plans() -> None:
    ensemble = {
        "_target_": "headframe.models.ensembles.Mean",
        "members": {"a": {"model": MODEL}},
        "copies": 3,
        "bootstrap": True,
    }
    members = learner(ensemble).members()
    assert list(members) == ["a-0", "a-1", "a-2"]
    assert members["a-0"].seed == 5
    assert len({member.seed for member in members.values()}) == 3
    assert all(member.bootstrap for member in members.values())


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="combines nothing"):
        Ensemble.model_validate({"_target_": "headframe.models.ensembles.Mean", "members": {"a": {"model": MODEL}}})
