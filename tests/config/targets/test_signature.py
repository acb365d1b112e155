"""What is read from source is what the classes themselves accept."""

import dataclasses
import importlib
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from headframe.config.build import build
from headframe.config.plan.component import Component
from headframe.config.plan.model import EnsembleConfig, ModelConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import MethodConfig, OptimizerConfig
from headframe.config.project import Project
from headframe.config.targets.find_definition import components_in, find_definition, module_file
from headframe.config.targets.signature import check_arguments, missing_arguments, parameters_of
from headframe.config.targets.value_types import ANYTHING
from headframe.errors import ConfigurationError

REPOSITORY = Project(Path(__file__).resolve().parents[3])
SOURCE = REPOSITORY.root / "src"


class AnyComponent(Component):
    """A place where everything that is made by a call may stand."""

    expects = ("builtins.object",)


ESTIMATORS = [
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.HistGradientBoostingRegressor",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.RandomForestRegressor",
    "sklearn.linear_model.Lasso",
    "sklearn.linear_model.LogisticRegression",
    "sklearn.linear_model.LogisticRegressionCV",
    "sklearn.linear_model.Ridge",
    "sklearn.linear_model.RidgeClassifierCV",
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.svm.SVC",
]
VALUES = [-1, -0.5, 0, 0.0, 0.3, 1, 1.0, 1.5, 2, 300, 2**32, "sqrt", "balanced", "lbfgs", "auto", "nonsense", None]


def _targets(node: yaml.Node | None) -> list[yaml.Node]:
    """Return each value of a key `_target_` in a YAML document."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    found = [value for key, value in pairs if key.value == "_target_"]
    return found + [each for _, value in pairs for each in _targets(value)]


def _fields(target: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(target)} if dataclasses.is_dataclass(target) else set()


@pytest.mark.parametrize("target", ESTIMATORS)
def test_estimators_take_what_scikit_learn_lets_them_take(target: str) -> None:
    from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

    module, _, name = target.rpartition(".")
    estimator = getattr(importlib.import_module(module), name)
    read = parameters_of(target, SOURCE)
    assert read is not None
    assert read.keys() == estimator().get_params().keys()
    checked = 0
    for key, expected in read.items():
        constraint = estimator._parameter_constraints.get(key)
        for value in VALUES if constraint is not None and expected is not ANYTHING else ():
            if isinstance(value, str) and "array-like" in constraint:
                continue  # scikit-learn lets a text pass as a sequence of letters here, and stumbles over it later
            try:
                validate_parameter_constraints({key: constraint}, {key: value}, name)
            except InvalidParameterError:
                accepted = False
            else:
                accepted = True
            assert expected.accepts(value) == accepted, (key, value)
            checked += 1
    assert checked > 3 * len(VALUES)


SHARES = [-0.1, 0, 0.0, 0.5, 1, 1.0, 1.1, math.nan, math.inf]
NUMBERS = [-1, 0, 1, 2]
LEARNING = {"network": None, "task": SimpleNamespace(predicts_probabilities=True, class_weighting=lambda: None)}
CHECKED_BY_THEMSELVES: list[tuple[str, dict[str, Any], str, list[Any]]] = [
    ("headframe.datasets.splits.HashSplitter", {"test": 0.0, "validation": 0.0}, "validation", SHARES),
    ("headframe.datasets.splits.PredefinedSplitter", {}, "validation", SHARES),
    ("headframe.datasets.splits.TimeSplitter", {"train": 1, "validation": 1, "test": 1}, "test", NUMBERS),
    ("headframe.examples.augment.RandomShift", {}, "pixels", NUMBERS),
    ("headframe.examples.augment.TokenDropout", {}, "share", SHARES),
    ("headframe.features.windows.Windows", {}, "lookback", NUMBERS),
    ("headframe.features.tabular.Tabular", {}, "max_values", NUMBERS),
    ("headframe.features.tfidf.Tfidf", {"analyzer": "word"}, "ngrams", [[1], [0, 1], [1, 2], [1, 2, 3]]),
    ("headframe.features.tokens.Tokens", {"unit": "word", "length": 3}, "vocabulary", [2, 3, 4]),
    ("headframe.models.ensembles.Stacking", {}, "strength", [-1, 0, 0.1]),
    ("headframe.methods.supervised.Supervised", LEARNING, "label_smoothing", SHARES[:-2]),
    ("headframe.tasks.classification.Classification", {}, "primary_metric", ["accuracy", "brier"]),
    ("headframe.tasks.forecasting.Forecasting", {}, "horizon", NUMBERS),
    ("headframe.training.launchers.local.Local", {}, "minutes", [-1, 0, 0.5, None]),
]


@pytest.mark.parametrize(("target", "others", "key", "values"), CHECKED_BY_THEMSELVES)
def test_annotated_ranges_are_those_that_constructors_keep(
    target: str, others: Mapping[str, Any], key: str, values: list[Any]
) -> None:
    parameters = parameters_of(target, SOURCE)
    assert parameters is not None
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            accepted = False  # no plan may hold it, whether or not a constructor stumbles over it
        else:
            try:
                build(AnyComponent.model_validate({"_target_": target, **others, key: value}))
            except ConfigurationError:
                accepted = False
            else:
                accepted = True
        assert parameters[key].accepts(value) == accepted, value


@pytest.mark.parametrize("target", ["torch.optim.adam.Adam", "torch.optim.AdamW", "torch.optim.SGD"])
def test_what_an_optimiser_refuses_is_refused_before(target: str) -> None:
    import torch

    parameters = parameters_of(target, SOURCE)
    assert parameters is not None
    weights = [torch.nn.Parameter(torch.zeros(2))]
    for key in ("lr", "momentum", "betas", "weight_decay", "eps"):
        for value in (-1, -0.5, [0.9, 1.0], [0.9, 0.99], 0.5) if key in parameters else ():
            try:
                build(OptimizerConfig.model_validate({"_target_": target, key: value}), weights)
            except ConfigurationError:
                assert not parameters[key].accepts(value), (key, value)


def test_names_are_followed_to_where_they_are_defined() -> None:
    found = find_definition("sklearn.linear_model", "LogisticRegression", SOURCE)
    assert found is not None
    assert found.module == "sklearn.linear_model._logistic"
    assert find_definition("headframe.tasks.regression", "ErrorName", SOURCE) == find_definition(
        "headframe.tasks.dense", "ErrorName", SOURCE
    )
    assert find_definition("headframe.tasks.regression", "ndarray", SOURCE) is None


def test_a_class_is_read_through_its_bases_and_without_its_class_variables(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("from .parts import Thing as Renamed\n")
    (package / "parts.py").write_text(
        "from abc import ABC\n"
        "from dataclasses import dataclass\n"
        "from typing import Annotated, ClassVar\n"
        "from pydantic import Field\n"
        "Level = Annotated[int, Field(ge=-2, le=2)]\n"
        "@dataclass\nclass Base(ABC):\n    kind: ClassVar[str] = 'x'\n    level: Level | None = None\n"
        "@dataclass(frozen=True)\nclass Thing(Base):\n    names: tuple[str, ...] = ()\n"
        "class Open:\n    def __init__(self, **rest): ...\n"
    )

    def verdict(**arguments: object) -> str:
        try:
            check_arguments("thing", {"_target_": "mine.Renamed", **arguments}, tmp_path)
        except ConfigurationError as error:
            return str(error)
        return ""

    assert verdict(level=-2, names=["a"]) == verdict(level=None) == ""
    assert verdict(level=3) == "thing.level=3: Renamed expects a whole number (at least -2, at most 2) or null"
    assert verdict(level=True) != ""
    assert verdict(names=["a", 3]).startswith("thing.names=['a', 3]: Renamed expects a list, each text; YAML takes 012")
    assert verdict(kind="y").startswith("thing.kind: Renamed has no such setting")
    check_arguments("thing", {"_target_": "mine.parts.Open", "whatever": 3}, tmp_path)


@pytest.mark.parametrize(
    "file", sorted(REPOSITORY.conf.rglob("*.yaml")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_every_shipped_component_keeps_its_own_ranges(file: Path) -> None:
    def nodes(key: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
        if not isinstance(value, dict):
            return []
        own = [(key, value)] if "_target_" in value else []
        return [*own, *(one for name, inner in value.items() for one in nodes(name, inner))]

    parts = {"task": (TaskConfig,), "method": (MethodConfig,), "model": (ModelConfig, EnsembleConfig)}
    schema = {"defaults"}
    for part in parts.get(file.parent.name, (Component,)):
        schema |= {field.alias or name for name, field in part.model_fields.items()}
    for key, node in nodes(file.parent.name, OmegaConf.to_container(OmegaConf.load(file))):
        augments = {"takes"} if node["_target_"].startswith("headframe.examples.augment") else set()
        check_arguments(key, node, SOURCE, schema | augments)
        assert missing_arguments(key, node, SOURCE) == []


TARGETS = sorted(
    {
        str(node.value)
        for file in REPOSITORY.conf.rglob("*.yaml")
        for mapping in yaml.compose_all(file.read_text())
        for node in _targets(mapping)
    }
)


@pytest.mark.parametrize("target", TARGETS)
def test_arguments_without_a_default_are_those_that_python_asks_for(target: str) -> None:
    module, _, name = target.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    found = parameters_of(target, SOURCE)
    assert found is not None
    assert {key: each.required for key, each in found.items()} == {
        key: parameter.default is parameter.empty for key, parameter in signature.parameters.items()
    }


@pytest.mark.parametrize("module", sorted({target.rpartition(".")[0] for target in TARGETS} | {"torch.optim"}))
def test_what_is_suggested_for_a_misspelt_target_is_of_the_kind(module: str) -> None:
    """Each suggestion is defined in that module, can be built, and has what the others have that a plan names."""
    loaded = importlib.import_module(module)
    shipped = [getattr(loaded, target.rpartition(".")[2]) for target in TARGETS if target.rpartition(".")[0] == module]
    suggested = [getattr(loaded, name) for name in components_in(module, SOURCE)]
    assert {*shipped} <= {*suggested}
    is_package = str(module_file(module, SOURCE)).endswith("__init__.py")
    for each in suggested:
        assert is_package or each.__module__ == module
        assert not inspect.isabstract(each)
        assert all(isinstance(each, type) == isinstance(other, type) for other in shipped)
    methods = [{name for name in dir(each) if not name.startswith("_")} for each in shipped if isinstance(each, type)]
    if methods and not is_package:
        common = set.intersection(*methods) - {"columns", "by_time", "disjoint", *_fields(shipped[0])}
        assert all(common <= {*dir(each)} for each in suggested)


def test_a_splitter_that_is_none_is_refused_with_the_splitters() -> None:
    with pytest.raises(ConfigurationError, match=r"; choose one of HashSplitter, PredefinedSplitter, TimeSplitter$"):
        check_arguments("dataset.split", {"_target_": "headframe.datasets.splits.Zzz"}, SOURCE)


def test_what_training_passes_is_not_asked_for() -> None:
    for key, target, missing in (
        ("optimizer", "torch.optim.adamw.AdamW", []),
        ("scheduler", "headframe.training.schedules.constant", []),
        ("model", "headframe.models.mlp.MLP", []),
        ("baseline.model", "headframe.models.forecast.ChannelLinear", []),
        ("model", "sklearn.ensemble.VotingClassifier", ["model.estimators"]),
        ("features.encoder", "headframe.features.windows.Windows", ["features.encoder.lookback"]),
        ("features.augment.shift", "headframe.examples.augment.RandomShift", ["features.augment.shift.pixels"]),
    ):
        assert missing_arguments(key, {"_target_": target}, SOURCE) == missing


@pytest.mark.parametrize(
    ("key", "target", "argument"),
    [
        ("optimizer", "torch.optim.adamw.AdamW", "params"),
        ("scheduler", "headframe.training.schedules.constant", "optimizer"),
        ("scheduler", "headframe.training.schedules.constant", "total_steps"),
        ("baseline.model", "headframe.models.mlp.MLP", "inputs"),
    ],
)
def test_what_training_passes_is_no_setting_and_not_suggested(key: str, target: str, argument: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{key}\.{argument}: .* has no such setting; ") as refused:
        check_arguments(key, {"_target_": target, argument: 1}, SOURCE)
    assert f"{argument}" not in str(refused.value).partition("; ")[2]
