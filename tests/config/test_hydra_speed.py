"""Composition that is made faster comes to what Hydra comes to by itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import defaults_list
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from omegaconf import OmegaConf

from headframe.config import hydra_speed
from headframe.config.project import Project


def composed(folder: Path, *overrides: str) -> str:
    with initialize_config_dir(config_dir=str(folder), version_base="1.3", job_name="headframe"):
        tree: Any = OmegaConf.to_container(compose("plan", overrides=list(overrides), return_hydra_config=True))
    return json.dumps(tree)  # in the same order, too


def by_hydra(folder: Path, *overrides: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults_list, "_create_interpolation_map", hydra_speed._map_of_choices)
        patch.setitem(SourcesRegistry.instance().types, "file", file_config_source.FileConfigSource)
        return composed(folder, *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("experiment=digits_ensemble",),
        ("experiment=adult_mlp", "trainer.max_epochs=7", "dataset.contract.columns.age.max=99"),
        ("dataset=etth1", "features=windows", "task=forecasting", "model=channel_linear"),
        ("+tracking.more=1", "~serving.port"),
    ],
)
def test_plans_are_the_same_and_read_again_they_still_are(overrides: tuple[str, ...], repository: Project) -> None:
    hydra_speed.speed_up()
    expected = by_hydra(repository.conf, *overrides)
    assert [composed(repository.conf, *overrides) for _ in range(2)] == [expected] * 2


def test_a_choice_that_names_another_and_a_changed_file_are_seen(tmp_path: Path) -> None:
    hydra_speed.speed_up()
    (tmp_path / "plan.yaml").write_text("defaults:\n  - size: small\n  - colour: ${size}\n  - _self_\n")
    for group, name in (("size", "small"), ("size", "large"), ("colour", "small"), ("colour", "large")):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(f"# @package _global_\n{group}: {name}\n")
    for overrides in ((), ("size=large",), ("size=large", "colour=small")):
        assert composed(tmp_path, *overrides) == by_hydra(tmp_path, *overrides)
    assert json.loads(composed(tmp_path, "size=large"))["colour"] == "large"
    (tmp_path / "colour" / "large.yaml").write_text("hue: 3\n")
    assert json.loads(composed(tmp_path, "size=large"))["colour"] == {"hue": 3}
