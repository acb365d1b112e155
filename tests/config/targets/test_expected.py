"""A `_target_` is called only where it is what its place expects, in a stranger's plan, too."""

import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headframe.config.build import build, look_up
from headframe.config.load import load_plan
from headframe.config.plan.component import Component
from headframe.config.plan.data import GapsConfig, ReaderConfig, SplitConfig
from headframe.config.plan.evaluation import NaturalBaselineConfig
from headframe.config.plan.features import AugmentConfig, EncoderConfig, FramingConfig
from headframe.config.plan.model import EnsembleConfig, ModelConfig
from headframe.config.plan.promotion import ErrorControlConfig, GateConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import LauncherConfig, MethodConfig, OptimizerConfig, SchedulerConfig
from headframe.config.project import Project
from headframe.config.targets.expected import check_derives
from headframe.errors import ConfigurationError

REPOSITORY = Project(Path(__file__).resolve().parents[3])

CLASSES: dict[type[Component], str] = {
    ReaderConfig: "headframe.datasets.readers.delimited.Delimited",
    GapsConfig: "headframe.series.gaps.Interpolate",
    SplitConfig: "headframe.datasets.splits.HashSplitter",
    EncoderConfig: "headframe.features.images.Images",
    FramingConfig: "headframe.examples.framing.RowFraming",
    AugmentConfig: "headframe.examples.augment.TokenDropout",
    TaskConfig: "headframe.tasks.classification.Classification",
    ModelConfig: "sklearn.linear_model.Ridge",
    EnsembleConfig: "headframe.models.ensembles.Mean",
    MethodConfig: "headframe.methods.supervised.Supervised",
    OptimizerConfig: "torch.optim.AdamW",
    SchedulerConfig: "headframe.training.schedules.cosine",
    LauncherConfig: "headframe.training.launchers.local.Local",
    GateConfig: "headframe.gates.minimum.Minimum",
    ErrorControlConfig: "headframe.gates.error_control.addis.Addis",
    NaturalBaselineConfig: "headframe.tasks.baselines.constant.Prior",
}
"""One class that fits, for each kind of place."""

PLACES = {
    "dataset.reader": ReaderConfig,
    "+dataset.gaps": GapsConfig,
    "dataset.split": SplitConfig,
    "features.encoder": EncoderConfig,
    "+features.framing": FramingConfig,
    "+features.augment.x": AugmentConfig,
    "task": TaskConfig,
    "model": ModelConfig,
    "+baseline.model": ModelConfig,
    "method": MethodConfig,
    "optimizer": OptimizerConfig,
    "scheduler": SchedulerConfig,
    "launcher": LauncherConfig,
    "+promotion.gates.x": GateConfig,
    "+promotion.error_control": ErrorControlConfig,
}

CALLED: list[str] = []


class Wire:
    """What is called has left its place."""

    def __init__(self, *_: object, **__: object) -> None:
        CALLED.append("class")


def trip(*_: object, **__: object) -> Wire:
    """Note the call."""
    return Wire()


@pytest.fixture
def called() -> Iterator[list[str]]:
    CALLED.clear()
    yield CALLED
    CALLED.clear()


def subclasses(of: type[Component]) -> set[type[Component]]:
    return {each for direct in of.__subclasses__() for each in (direct, *subclasses(direct))}


def schema(expected: type[Component], target: str, **arguments: Any) -> Component:
    members = {"a": {"model": {"_target_": "x.Y"}}, "b": {"model": {"_target_": "x.Y"}}}
    more = {EnsembleConfig: {"members": members}, TaskConfig: {"kind": "any"}}.get(expected, {})
    return expected.model_validate({"_target_": target, **more, **arguments}, context={"trusted": ("",)})


def test_every_kind_of_place_names_what_it_expects() -> None:
    shipped = {each for each in subclasses(Component) if each.__module__.startswith("headframe.")}
    assert shipped == CLASSES.keys()
    for expected in shipped:
        assert expected.expects
        assert look_up(CLASSES[expected], expected.expects) is not None


@pytest.mark.parametrize("expected", CLASSES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", ["Wire", "trip"])
def test_nothing_else_is_called(expected: type[Component], name: str, called: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="expected a class that derives from "):
        build(schema(expected, f"{__name__}.{name}"))
    assert called == []


@pytest.mark.parametrize("expected", CLASSES, ids=lambda each: each.__name__)
def test_what_fits_another_place_is_not_called_here(expected: type[Component]) -> None:
    for other, target in CLASSES.items():
        if other is not expected:
            with pytest.raises(ConfigurationError, match="expected a class that derives from "):
                build(schema(expected, target))


class Opened:
    """What a pickle of this class does when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return CALLED.append, ("pickle",)


def test_no_pickle_is_opened_by_what_scikit_learn_offers(tmp_path: Path, called: list[str]) -> None:
    """`fetch_california_housing` opens a file of `data_home` by joblib, whatever it holds."""
    (tmp_path / "cal_housing_py3.pkz").write_bytes(pickle.dumps(Opened()))
    for expected in CLASSES:
        with pytest.raises(ConfigurationError):
            build(schema(expected, "sklearn.datasets.fetch_california_housing", data_home=str(tmp_path)))
    assert called == []


def test_no_estimator_that_a_plan_may_name_keeps_a_cache_of_pickles() -> None:
    """`memory: FOLDER` makes joblib open pickles of the folder; whatever takes it is no classifier or regressor."""
    import inspect

    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.utils import all_estimators

    named = [each for _, each in all_estimators() if issubclass(each, ClassifierMixin | RegressorMixin)]
    assert len(named) > 80
    assert [each for each in named if "memory" in inspect.signature(each).parameters] == []


@pytest.mark.parametrize(
    "target", ["headframe.__main__.main", "sklearn.__main__.x", "headframe.training.__main__.main"]
)
def test_programs_are_not_imported(target: str) -> None:
    sys.modules.pop(target.rpartition(".")[0], None)
    with pytest.raises(ConfigurationError, match="is in a program"):
        look_up(target, ModelConfig.expects)
    assert target.rpartition(".")[0] not in sys.modules


@pytest.mark.parametrize(("place", "expected"), PLACES.items(), ids=str)
def test_a_plan_that_names_something_else_is_refused_before_anything_is_imported(
    place: str, expected: type[Component]
) -> None:
    target = "sklearn.datasets.fetch_california_housing"
    more = {"task": ",kind:classification", "model": ",tasks:[classification],takes:[image]"}
    series = ["experiment=etth1_linear"] if place == "+dataset.gaps" else []
    with pytest.raises(ConfigurationError) as refused:
        load_plan([*series, f"{place}={{_target_:{target}{more.get(place, '')}}}"], REPOSITORY)
    key = place.lstrip("+")
    text = str(refused.value)
    assert re.search(rf"{re.escape(key)}\._target_={re.escape(target)}: expected a class that derives from", text), text
    assert all(base in text for base in expected.expects)


@pytest.mark.parametrize("target", ["headframe.digests.file_digest", "headframe.errors.ConfigurationError"])
def test_what_derives_from_nothing_that_is_expected_is_known_by_its_source(target: str) -> None:
    for expected in CLASSES:
        with pytest.raises(ConfigurationError, match=f"x._target_={target}: expected a class"):
            check_derives("x", target, expected.expects, Path())


def test_nothing_is_built_where_no_code_asks_for_it() -> None:
    with pytest.raises(ConfigurationError, match=r"reader\.inner\._target_=sklearn\.svm\.SVC: nothing is built"):
        load_plan(["+dataset.reader.inner={_target_: sklearn.svm.SVC}"], REPOSITORY)
