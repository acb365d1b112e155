"""A project that holds the digits, and small tables of its own."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from trainings import TrainingProject

from headframe.config.load import load_plan
from headframe.datasets.ingest import ingest
from headframe.places import Places

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def training_project(tmp_path_factory: pytest.TempPathFactory) -> TrainingProject:
    """A project that holds the digits."""
    root = tmp_path_factory.mktemp("training") / "project"
    shutil.copytree(REPOSITORY / "conf", root / "conf")
    made = TrainingProject(root)
    ingest(made.plan().dataset, Places(root))
    return made


@pytest.fixture
def table_of(training_project: TrainingProject, tmp_path: Path) -> Iterator[Callable[[Sequence[str]], list[str]]]:
    """Make a data set `made` of lines `number,label`; gives the overrides that ask for it."""

    def make(lines: Sequence[str]) -> list[str]:
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "made" / "rows.csv").write_text("number,other,label,part\n" + "\n".join(lines) + "\n")
        yaml = {
            "name": "made",
            "title": "made",
            "licence": "none",
            "citation": "none",
            "sources": {"rows": {"uri": "file:made/rows.csv"}},
            "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
            "inputs": ["number", "other"],
            "target": "label",
            "tasks": ["classification"],
            "split": {"_target_": "headframe.datasets.splits.PredefinedSplitter", "column": "part"},
            "contract": {
                "columns": {
                    "number": {"dtype": "float", "nullable": True},
                    "other": {"dtype": "float", "nullable": True},
                    "label": {"dtype": "string"},
                    "part": {"dtype": "string"},
                }
            },
        }
        (training_project.root / "conf" / "dataset" / "made.yaml").write_text(json.dumps(yaml))
        overrides = ["dataset=made", "features=tabular", "model=mlp", "trainer.max_epochs=2"]
        ingest(load_plan(overrides, training_project.project).dataset, Places(training_project.root, tmp_path))
        return overrides

    yield make
    shutil.rmtree(training_project.root / "data" / "made", ignore_errors=True)
    (training_project.root / "conf" / "dataset" / "made.yaml").unlink(missing_ok=True)
