"""Targets are looked up in one place, and lead nowhere but where they say."""

from pathlib import Path

import pytest

from headframe.config.build import build, look_up
from headframe.config.members import member_learners
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import EnsembleConfig
from headframe.config.plan.trainer import OptimizerConfig, TrainerConfig
from headframe.errors import ConfigurationError

TRAINER = TrainerConfig(max_epochs=2, batch_size=4)


NETWORK = ("torch.nn.modules.module.Module",)


def component(target: str, **arguments: object) -> OptimizerConfig:
    return OptimizerConfig.model_validate({"_target_": target, **arguments})


def test_run_time_objects_arrive_by_identity() -> None:
    import torch

    weights = [torch.nn.Parameter(torch.zeros(2))]
    made = build(component("torch.optim.sgd.SGD", lr=0.5), weights)
    assert made.param_groups[0]["params"][0] is weights[0]
    assert made.defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "target", ["torch.optim.sgd.os.system", "sklearn.utils.warnings.warn", "headframe.digests.hashlib.sha256"]
)
def test_a_target_that_only_passes_through_a_trusted_package_is_refused(target: str) -> None:
    with pytest.raises(ConfigurationError):
        look_up(target, NETWORK)


def test_a_constructor_that_refuses_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="Invalid learning rate"):
        build(component("torch.optim.sgd.SGD", lr=-1.0), [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 1\ny = undefined\n", ["line 2", "NameError: name 'undefined'"]),
        ("\n\nimport a_package_that_is_missing\n", ["line 3", "No module named 'a_package_that_is_missing'"]),
        ("from sklearn import nothing_such\n", ["line 1", "cannot import name 'nothing_such' from 'sklearn'"]),
        ("import json\njson.loads('{')\n", ["line 2", "JSONDecodeError"]),
        ("class Net:\n    def f(:\n", ["line 2", "SyntaxError"]),
        ("raise SystemExit(3)\n", ["line 1", "SystemExit: 3"]),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_file_line_and_error(
    content: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path.parent)
    target = f"{tmp_path.name}.net.Net"
    with pytest.raises(ConfigurationError) as caught:
        look_up(target, NETWORK)
    for word in [repr(target), str(tmp_path / "net.py"), *words]:
        assert word in str(caught.value)


def test_an_error_deep_in_an_import_is_placed_in_the_users_own_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text("from .parts import x\n")
    (tmp_path / "parts.py").write_text("import json\n\nx = json.loads('')\n")
    monkeypatch.syspath_prepend(tmp_path.parent)
    with pytest.raises(ConfigurationError, match=r"/parts\.py, line 3: JSONDecodeError"):
        look_up(f"{tmp_path.name}.net.Net", NETWORK)


def learner(model: object) -> LearnerConfig:
    return LearnerConfig.model_validate(
        {
            "seed": 5,
            "model": model,
            "features": {"gives": "image", "encoder": {"_target_": "headframe.features.images.Images"}},
            "method": {"_target_": "headframe.methods.supervised.Supervised"},
            "optimizer": {"_target_": "torch.optim.sgd.SGD"},
            "scheduler": {"_target_": "headframe.training.schedules.Constant"},
            "trainer": TRAINER,
        }
    )


MODEL = {"_target_": "headframe.models.cnn.ConvNet", "tasks": ["classification"], "takes": ["image"]}


def test_members_differ_from_the_plan_only_where_they_say_so() -> None:
    ensemble = {
        "_target_": "headframe.models.ensembles.Mean",
        "members": {"a": {"model": MODEL}, "b": {"model": MODEL, "trainer": {"max_epochs": 7}}},
    }
    members = member_learners(learner(ensemble))
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
    members = member_learners(learner(ensemble))
    assert list(members) == ["a-0", "a-1", "a-2"]
    assert members["a-0"].seed == 5
    assert len({member.seed for member in members.values()}) == 3
    assert all(member.bootstrap for member in members.values())


def leaves(found: LearnerConfig, path: str = "") -> dict[str, LearnerConfig]:
    inner = member_learners(found)
    if not inner:
        return {path: found}
    return {name: leaf for key, member in inner.items() for name, leaf in leaves(member, f"{path}/{key}").items()}


def nested(*copies: int, bootstrap: int = -1) -> object:
    """Ensembles of two members each, one in the other; the outermost is the last of `copies`."""
    model: object = MODEL
    for level, count in enumerate(copies):
        model = {
            "_target_": "headframe.models.ensembles.Mean",
            "members": {"a": {"model": model}, "b": {"model": MODEL}},
            "copies": count,
            "bootstrap": level == bootstrap,
        }
    return model


@pytest.mark.parametrize("copies", [(3,), (2, 2), (3, 4), (2, 3, 2), (1, 5, 2)])
def test_further_copies_anywhere_in_a_plan_have_seeds_of_their_own(copies: tuple[int, ...]) -> None:
    found = leaves(learner(nested(*copies)))
    # Whatever is the first copy all the way keeps the plan's seed: it shall reach the weights that it reaches alone.
    seeds = [one.seed for one in found.values()]
    firsts = [path for path in found if not any(part[2:] not in {"", "0"} for part in path.split("/")[1:])]
    assert {found[path].seed for path in firsts} == {5}
    by_name: dict[str, list[int]] = {}
    for path, one in found.items():
        by_name.setdefault("/".join(part[:1] for part in path.split("/")), []).append(one.seed)
    for alike in by_name.values():
        assert len(set(alike)) == len(alike)
    further = [seed for seed in seeds if seed != 5]
    assert len(further) == len(seeds) - len(firsts)


def test_bagging_reaches_the_members_of_members() -> None:
    assert all(one.bootstrap for one in leaves(learner(nested(2, 2, bootstrap=1))).values())
    inner = leaves(learner(nested(2, 2, bootstrap=0)))
    assert {path: one.bootstrap for path, one in inner.items()} == {path: path.count("/") > 1 for path in inner}


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="combines nothing"):
        EnsembleConfig.model_validate(
            {"_target_": "headframe.models.ensembles.Mean", "members": {"a": {"model": MODEL}}}
        )
