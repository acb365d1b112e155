"""Adding a network, a data set or a task is one Python file (or none) and one YAML, in a project of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from headframe.config.project import Project
from headframe.record import file_digest

LIBRARY = Path(__file__).resolve().parents[1] / "src" / "headframe"

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


def headframe(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "headframe", *arguments], cwd=project.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def files(root: Path, *folders: str) -> dict[str, str]:
    """The digest of every file that somebody wrote in some folders; byte code is Python's own."""
    found = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): file_digest(path) for path in found if path.suffix != ".pyc"}


def test_a_network_a_data_set_and_a_task_are_files_and_nothing_else(project: Project) -> None:
    root = project.root
    before, library = files(root, "conf", "flows", "src"), files(LIBRARY, ".")
    assert library
    added = {
        "src/mine/__init__.py": "",  # once for all that is in the package
        "src/mine/wide.py": NETWORK,
        "conf/model/wide.yaml": NETWORK_YAML,
        "conf/dataset/flowers.yaml": DATASET_YAML,
        "src/mine/worst.py": TASK,
        "conf/task/worst_class.yaml": TASK_YAML,
    }
    for name, text in added.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    rows = [f"{i % 7 + 0.25 + i / 1000},{'red' if i % 2 else 'blue'},{'rose' if i % 2 else 'iris'}" for i in range(400)]
    (root / "flowers.csv").write_text("length,colour,kind\n" + "\n".join(rows) + "\n")

    listed = headframe(project, "list", "--json").stdout
    assert all(f'"{name}"' in listed for name in ("wide", "flowers", "worst_class"))
    done = headframe(
        project, "train", "--json", "dataset=flowers", "features=tabular", "model=wide", "task=worst_class",
        "trainer.max_epochs=12", "trainer.batch_size=16",
    )  # fmt: skip
    evaluated = json.loads(done.stdout)["evaluated"]
    assert evaluated["lead"] == "worst_recall"
    assert evaluated["metrics"]["worst_recall"]["value"] > 0.9

    after = files(root, "conf", "flows", "src")
    assert after.keys() - before.keys() == added.keys()
    assert {name: digest for name, digest in after.items() if name not in added} == before
    assert files(LIBRARY, ".") == library
