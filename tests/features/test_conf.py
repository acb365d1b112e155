"""Every file in conf/features and conf/task describes something that can be built, with settings it has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headframe.config.build import build
from headframe.config.plan.features import EncoderConfig, FeaturesConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.project import Project
from headframe.config.targets.signature import check_arguments
from headframe.features.fusion import encoder_of

FIELDS = TaskConfig.model_fields
CONF = Path(__file__).resolve().parents[2] / "conf"


def read(group: str, name: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", Project(CONF.parent).choices("features"))
def test_features_can_be_built_and_give_what_they_say(name: str) -> None:
    tree = read("features", name)
    for node in tree.get("encoders", {"": tree.get("encoder")}).values():
        check_arguments("encoder", node, CONF.parent / "src")
    for path, node in tree["augment"].items():
        check_arguments(path, node, CONF.parent / "src", {"_target_", "tiny", "takes"})
    features = FeaturesConfig.model_validate(tree)
    encoder = encoder_of(features)
    assert encoder.gives == features.gives
    assert bool(encoder.lookback) == (features.examples == "window")
    assert all(callable(build(change)) for change in features.augment.values())


@pytest.mark.parametrize("name", Project(CONF.parent).choices("task"))
def test_tasks_can_be_built_and_are_what_they_say(name: str) -> None:
    tree = read("task", name)
    check_arguments("task", tree, CONF.parent / "src", {field.alias or key for key, field in FIELDS.items()})
    task = build(TaskConfig.model_validate(tree))
    assert task.kind == tree["kind"] == name
    assert bool(task.horizon) == (tree.get("examples") == "window")


def test_a_wrong_setting_is_refused_in_one_sentence() -> None:
    from headframe.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="refuses its settings: lookback is a number of rows"):
        build(EncoderConfig.model_validate({"_target_": "headframe.features.windows.Windows", "lookback": 0}))
