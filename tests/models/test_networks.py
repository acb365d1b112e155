"""What networks that compute an array from inputs alone compute, whatever the sizes of both.

Everything in conf/model is trained in `promises/test_every_choice.py`, and asked whether all its weights learn.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from headframe.config.build import build, look_up
from headframe.config.plan.model import ModelConfig
from headframe.config.project import Project
from headframe.features.spec import InputSpec

REPOSITORY = Project(Path(__file__).resolve().parents[2])
SPECS = {
    "image": InputSpec("image", {"channel": 1, "height": 8, "width": 8}),
    "series": InputSpec("series", {"time": 24, "channel": 3}),
    "tokens": InputSpec("tokens", {"time": 12}, vocabulary=20),
    "tabular": InputSpec("tabular", {"feature": 6}),
    "noise": InputSpec("noise", {"feature": 6}),
}
SPECS["fused"] = InputSpec("fused", {}, parts=dict(SPECS))
OTHER_SIZES = {
    "image": InputSpec("image", {"channel": 3, "height": 13, "width": 7}),
    "series": InputSpec("series", {"time": 33, "channel": 1}),
    "tokens": InputSpec("tokens", {"time": 1}, vocabulary=5),
    "tabular": InputSpec("tabular", {"feature": 1}),
    "noise": InputSpec("noise", {"feature": 1}),
}
OTHER_SIZES["fused"] = InputSpec("fused", {}, parts=dict(OTHER_SIZES))


def model(name: str) -> ModelConfig | None:
    """The model of a file; None for an ensemble."""
    content: dict[str, Any] = yaml.safe_load((REPOSITORY.conf / "model" / f"{name}.yaml").read_text())
    return ModelConfig.model_validate(content) if "defaults" not in content and "members" not in content else None


PLAIN = {"classification", "regression", "forecasting", "anomaly", "clustering", "generation"}
"""Tasks whose networks compute an array from the inputs alone, so that the same can be asked of all of them."""

NETWORKS = [
    pytest.param(found, kind, id=f"{name}-{kind}")
    for name in REPOSITORY.choices("model")
    if (found := model(name)) is not None and found.target.startswith("headframe.models.") and PLAIN & {*found.tasks}
    for kind in found.takes
]
each_network = pytest.mark.parametrize(("found", "kind"), NETWORKS)


def supervised(found: ModelConfig) -> bool:
    return bool({"classification", "regression", "forecasting"} & {*found.tasks})


def generates(found: ModelConfig) -> bool:
    return "generation" in found.tasks


def outputs_for(found: ModelConfig, spec: InputSpec) -> tuple[int, ...]:
    if generates(found):
        return (2, 7, 5) if spec.shape == (6,) else (1, 4, 9)
    if not supervised(found):
        return ()  # it restores its inputs
    return (5, spec.axes["channel"]) if "forecasting" in found.tasks and "time" in spec.axes else (3,)


def network(found: ModelConfig, spec: InputSpec) -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = build(found.shrunk(), spec, outputs_for(found, spec))
    return made


def examples(spec: InputSpec, count: int) -> Any:
    if spec.parts:
        return {name: examples(each, count) for name, each in spec.parts.items()}
    generator = torch.Generator().manual_seed(1)
    if spec.vocabulary:
        return torch.randint(1, spec.vocabulary, (count, *spec.shape), generator=generator)
    return torch.randn(count, *spec.shape, generator=generator)


@each_network
@pytest.mark.parametrize("specs", [SPECS, OTHER_SIZES], ids=["usual", "odd"])
def test_it_scores_each_example_once_whatever_the_size(
    found: ModelConfig, kind: str, specs: dict[str, InputSpec]
) -> None:
    spec = specs[kind]
    assert network(found, spec)(examples(spec, 4)).shape == (4, *(outputs_for(found, spec) or spec.shape))


@each_network
def test_it_memorises_a_handful_of_examples(found: ModelConfig, kind: str) -> None:
    spec = SPECS[kind]
    net, x = network(found, spec), examples(spec, 6)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    outputs = outputs_for(found, spec)
    target = torch.randn(6, *outputs, generator=torch.Generator().manual_seed(2)) if outputs else x
    first = None
    for _ in range(300):
        optimizer.zero_grad()
        loss = (net(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        first = first or loss.item()
    net.eval()
    # A map shared among channels cannot fit noise; nothing else has an excuse.
    bound = 0.9 if len(outputs_for(found, spec)) > 1 else 0.3
    assert (net(x) - target).square().mean().item() < bound * first


SPARSE = InputSpec("sparse", {"feature": 6}, sparse=True)
"""What only estimators take, so that there is something that each network does not."""


@each_network
def test_an_input_it_cannot_take_is_refused_in_a_sentence(found: ModelConfig, kind: str) -> None:
    takes = {*found.takes, *(["noise"] if "tabular" in found.takes else [])}  # numbers in no order as well
    wrong = [spec for name, spec in {**SPECS, "sparse": SPARSE}.items() if name not in takes]
    if not supervised(found) and not generates(found):
        wrong = [spec for spec in wrong if not spec.measured]  # whatever has values can be restored
    for spec in wrong:
        with pytest.raises(
            ValueError, match=f"the input is '{spec.kind}'|'{spec.kind}' (does not have|is one)"
        ) as caught:
            look_up(found.target, found.expects)(spec, (3,) if supervised(found) else (), **found.arguments)
        assert "\n" not in str(caught.value)
    assert SPARSE in wrong


def test_padding_changes_no_score() -> None:
    reading_tokens = [parameter.values[0] for parameter in NETWORKS if parameter.values[1] == "tokens"]
    assert len(reading_tokens) >= 3
    for found in reading_tokens:
        short, long = InputSpec("tokens", {"time": 5}, 20), InputSpec("tokens", {"time": 12}, 20)
        torch.manual_seed(0)
        net = build(found.shrunk(), long, (3,)).eval()
        x = examples(short, 3)
        padded = torch.cat([x, torch.zeros(3, 7, dtype=torch.int64)], dim=1)
        more = torch.cat([x, torch.zeros(3, 2, dtype=torch.int64)], dim=1)
        torch.testing.assert_close(net(padded), net(more), msg=str(found.target))
