"""Adding a network, a data set or a task is one Python file (or none) and one YAML, in a project of one's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headframe.config.project import Project

NETWORK = '''
"""A network of the project's own."""

from torch import Tensor, nn

from headframe.features.spec import InputSpec


class Wide(nn.Module):
    """One hidden layer."""

    def __init__(self, inputs: InputSpec, outputs: tuple[int, ...], *, width: int = 16) -> None:
        super().__init__()
        features = 1
        for size in inputs.shape:
            features *= size
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(features, width), nn.ReLU(), nn.Linear(width, outputs[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, *input) to (batch, classes)."""
        return self.layers(x)
'''
NETWORK_YAML = """
# A network of the project's own.
_target_: mine.wide.Wide
tasks: [classification]
inputs: [image, tabular]
width: 24 # hidden units
"""
DATASET_YAML = """
# Flowers.
name: flowers
title: Flowers
licence: CC0
citation: made up
sources:
  rows: {uri: "file:flowers.csv"}
reader:
  _target_: headframe.datasets.readers.delimited.Delimited
inputs: [length, colour]
target: kind
tasks: [classification]
split: {_target_: headframe.datasets.splits.Hashed, validation: 0.2, test: 0.3}
contract:
  columns:
    length: {dtype: float, min: 0, max: 10}
    colour: {dtype: string, one_of: [red, blue]}
    kind: {dtype: string, one_of: [rose, iris]}
"""
TASK = '''
"""A task of the project's own: classification that is judged by its worst class."""

import numpy as np
import pyarrow as pa

from headframe.tasks.classification import Classification


class WorstClass(Classification):
    """Leads by the recall of the class that is recognised worst."""

    def __init__(self) -> None:
        super().__init__()
        self.lead = "worst_recall"

    def measure(self, predictions: pa.Table) -> dict[str, float]:
        """Add the worst recall."""
        target = np.asarray(predictions["target"].to_pylist())
        hit = target == np.asarray(predictions["prediction"].to_pylist())
        return {**super().measure(predictions), "worst_recall": min(hit[target == one].mean() for one in set(target))}
'''
TASK_YAML = """
# Classification judged by its worst class.
_target_: mine.worst.WorstClass
kind: classification
"""


@pytest.fixture
def own(project: Project) -> Project:
    (project.root / "src" / "mine").mkdir(parents=True)
    (project.root / "src" / "mine" / "__init__.py").touch()
    return project


def headframe(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "headframe", *arguments], cwd=project.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_network_a_data_set_and_a_task_are_files_and_nothing_else(own: Project) -> None:
    root = own.root
    before = files(root)
    (root / "src/mine/wide.py").write_text(NETWORK)
    (root / "conf/model/wide.yaml").write_text(NETWORK_YAML)
    (root / "conf/dataset/flowers.yaml").write_text(DATASET_YAML)
    (root / "src/mine/worst.py").write_text(TASK)
    (root / "conf/task/worst_class.yaml").write_text(TASK_YAML)
    assert len(files(root) - before) == 5  # two for the network, one for the data set, two for the task

    rows = [f"{i % 7 + 0.25},{'red' if i % 2 else 'blue'},{'rose' if i % 2 else 'iris'}" for i in range(400)]
    unique = [
        f"{float(text.split(',')[0]) + number / 1000},{text.split(',', 1)[1]}" for number, text in enumerate(rows)
    ]
    (root / "flowers.csv").write_text("length,colour,kind\n" + "\n".join(unique) + "\n")

    listed = headframe(own, "list", "--json").stdout
    assert all(f'"{name}"' in listed for name in ("wide", "flowers", "worst_class"))
    done = headframe(
        own, "train", "--json", "dataset=flowers", "features=tabular", "model=wide", "task=worst_class",
        "trainer.max_epochs=12", "trainer.batch_size=16",
    )  # fmt: skip
    import json

    evaluated = json.loads(done.stdout)["evaluated"]
    assert evaluated["lead"] == "worst_recall"
    assert evaluated["metrics"]["worst_recall"]["value"] > 0.9
