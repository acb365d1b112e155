"""A training in phases: each begins where the one before it ended, in the order in which the plan has them."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from headframe.config.load import load_plan
from headframe.config.members import phase_learners
from headframe.config.plan.trainer import Phases
from headframe.digests import canonical, digest
from headframe.errors import ConfigurationError

PER_EPOCH = 9  # steps: 1,119 digits in batches of 128
TWO_PHASES = (
    "experiment=digits_deep_clustering",
    "features=image",
    "model.hidden=[8]",
    "model.code=3",
    "model.dropout=0.1",
    "method.starts=2",
    "phases.pretraining.trainer={max_epochs: 1, batch_size: 128}",
    "trainer.max_epochs=2",
    "trainer.batch_size=128",
    "trainer.checkpoint_steps=4",
    "trainer.accelerator=cpu",
)


@pytest.fixture
def plan(training_project: Any) -> Any:
    return training_project._compose(*TWO_PHASES)


def test_pretraining_comes_first_though_its_name_sorts_last(plan: Any, training_project: Any) -> None:
    assert list(phase_learners(plan.learner)) == ["pretraining", "clustering"]
    run = training_project.train_once(plan)
    lines = [line.split()[0] for line in run.stderr.splitlines() if " epoch " in line]
    assert lines == ["pretraining", "clustering", "clustering"]
    assert [epoch["epoch"] for epoch in run.read("history.json")] == [1, 2, 3]


def test_the_order_survives_json_with_sorted_keys_and_decides_digests(plan: Any) -> None:
    again = type(plan.learner).model_validate(json.loads(canonical(plan.learner.model_dump(mode="json"))))
    assert list(again.phases) == ["pretraining", "clustering"]
    one, other = (TypeAdapter(Phases).validate_python({name: {} for name in names}) for names in ("ab", "ba"))
    assert digest(one) != digest(other)
    first = TypeAdapter(Phases).validate_python({"a": {}, "b": {"order": -1}})
    assert list(first) == ["b", "a"]


def test_a_part_that_a_phase_leaves_out_keeps_its_weights(training_project: Any) -> None:
    from safetensors.torch import load_file

    kept, changed = (
        load_file(
            training_project.train_once(
                training_project._compose(*TWO_PHASES, f"+phases.clustering.trains={trains}")
            ).folder
            / "bundle/weights.safetensors"
        )
        for trains in ("[centres]", "[encoder,centres]")
    )
    assert kept["decoder.0.weight"].equal(changed["decoder.0.weight"])
    assert not kept["encoder.2.weight"].equal(changed["encoder.2.weight"])


@pytest.mark.parametrize(
    "kills",
    [
        [f"step {PER_EPOCH - 3}"],  # within the first phase
        ["epoch 1"],  # after the last checkpoint of the first phase
        [f"step {PER_EPOCH + 6}", f"step {2 * PER_EPOCH - 1}"],  # within the second
        ["step 3", "conclude"],
    ],
    ids=", ".join,
)
def test_a_training_in_phases_that_is_killed_goes_on_to_the_same_bytes(
    plan: Any, training_project: Any, kills: list[str], request: pytest.FixtureRequest
) -> None:
    undisturbed = training_project.train_once(plan)
    name = f"phases-{request.node.callspec.id}".replace(" ", "")
    for kill in kills:
        killed = training_project.train(plan, name, kill)
        assert killed.code == -9, killed.stderr
    resumed = training_project.train(plan, name)
    assert resumed.code == 0, resumed.stderr
    assert resumed.files() == undisturbed.files()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["phases.pretraining.trains=[encoders]"],
            "phases.pretraining.trains names 'encoders', which is no part that ClusteringAutoencoder declares; did you",
        ),
        (
            ["method=supervised"],
            "method Supervised does not learn task clustering: it is for classification or regression or forecasting; ",
        ),
        (
            ["model=autoencoder", "model.tasks=[clustering]"],
            "method DeepClustering trains the centres of a network, which Autoencoder does not declare to have",
        ),
    ],
)
def test_phases_that_do_not_fit_the_network_or_the_task_are_refused(
    training_project: Any, overrides: list[str], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_plan(["experiment=digits_deep_clustering", *overrides], training_project.project)
    assert words in str(caught.value)
