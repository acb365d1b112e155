"""Two runs on different versions of one data set, in one folder: nothing is kept under the wrong version."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from runs import ForkedRuns, forking_project, headframe, start

from headframe.config.project import Project

COLOURS = {"few": ["red", "blue"], "many": ["red", "blue", "green"]}
"""The classes of each version, which its file is called after."""
LAUNCHER = """
from forked import Forked
from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.places import Places
from headframe.training.launchers.base import Launcher


class Swapping(Launcher):
    '''Collects the version `many`, as another run would, right before or right after a training.'''

    def __init__(self, moment):
        self.moment = moment

    def launch(self, job, folder, root, threads):
        if self.moment == "before":
            swap(root)
        Forked().launch(job, folder, root, threads)
        if self.moment == "after":
            swap(root)


def swap(root):
    given = ["dataset=paint", "features=tabular", "model=logistic", "baseline=none"]
    plan = load_plan([*given, "dataset.sources.rows.uri=file:many.csv"], Project(root))
    ingest(plan.dataset, Places(root))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a data set of which there are two versions."""
    made = forking_project(tmp_path / "project")
    for name, colours in COLOURS.items():
        rows = [f"{number},{number % 7},{colours[number % len(colours)]}" for number in range(90)]
        (made.root / f"{name}.csv").write_text("\n".join(["width,height,colour", *rows]) + "\n")
    dataset: dict[str, Any] = {
        "name": "paint",
        "title": "Paint",
        "licence": "none",
        "citation": "nobody",
        "sources": {"rows": {"uri": "file:few.csv"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "inputs": ["width", "height"],
        "target": "colour",
        "tasks": ["classification"],
        "split": {
            "_target_": "headframe.datasets.splits.HashSplitter",
            "validation": 0.2,
            "test": 0.3,
            "salt": "paint",
        },
        "contract": {
            "columns": {"width": {"dtype": "float"}, "height": {"dtype": "float"}, "colour": {"dtype": "string"}}
        },
    }
    (made.conf / "dataset" / "paint.yaml").write_text(json.dumps(dataset))
    (made.conf / "launcher" / "swapping.yaml").write_text("_target_: swapping.Swapping\nmoment: before\n")
    (made.root / "src" / "swapping").mkdir(parents=True)
    (made.root / "src" / "swapping" / "__init__.py").write_text(LAUNCHER)
    return made


def overrides(version: str) -> list[str]:
    """Ask for an estimator, on one version of the data."""
    return [
        "dataset=paint", "features=tabular", "model=logistic", "baseline=none", "evaluation.resamples=100",
        f"dataset.sources.rows.uri=file:{version}.csv",
    ]  # fmt: skip


def kept(project: Project) -> dict[str, set[str]]:
    """By digest of the table that a kept training claims to be of, the classes in its predictions."""
    found = {}
    for record in (project.stages / "fit").glob("*/record.json"):
        table = json.loads((record.parent / "result.json").read_bytes())["table"]
        found[table] = set(pq.read_table(record.parent / "predictions.parquet")["target"].to_pylist())
    return found


def test_a_table_that_is_replaced_before_the_program_reads_it_ends_the_run(
    project: Project, forked_runs: ForkedRuns
) -> None:
    code, document, stderr = forked_runs.run(project, "train", *overrides("few"), "launcher=swapping")
    assert code == 3, stderr
    assert "data/paint holds version" in document["error"]
    assert "another run or a restore has replaced it meanwhile; run again" in document["error"]
    assert "Traceback" not in stderr
    assert not kept(project)
    code, document, stderr = forked_runs.run(project, "train", *overrides("few"))
    assert code == 0, stderr
    assert kept(project) == {document["data"]["split"]["table"]["digest"]: set(COLOURS["few"])}


def test_a_table_that_is_replaced_after_training_is_not_measured_on(project: Project, forked_runs: ForkedRuns) -> None:
    swapping = ["launcher=swapping", "launcher.moment=after"]
    code, document, stderr = forked_runs.run(project, "train", *overrides("few"), *swapping)
    assert code == 3, stderr
    assert "data/paint holds version" in document["error"]
    assert list(kept(project).values()) == [set(COLOURS["few"])]
    assert not list(project.stages.glob("evaluate/*/record.json"))
    code, _, stderr = forked_runs.run(project, "train", *overrides("few"))
    assert code == 0, stderr
    assert "fit          estimator" in stderr
    assert [line for line in stderr.splitlines() if line.startswith("fit ") and "reused" in line]


@pytest.mark.slow
def test_two_versions_at_once_leave_each_what_is_its_own(project: Project) -> None:
    alone = "launcher=local"
    processes = [start(project, "train", *overrides(version), alone, "--json") for version in COLOURS]
    for process in processes:
        _, stderr = process.communicate(timeout=500)
        assert process.returncode in {0, 3}, stderr
        if process.returncode:
            assert "another run or a restore has replaced it meanwhile" in stderr.strip().splitlines()[-1]
    versions = {}
    for version, colours in COLOURS.items():
        document, _ = headframe(project, "train", *overrides(version), alone)
        versions[document["data"]["split"]["table"]["digest"]] = set(colours)
    assert len(versions) == 2
    assert kept(project) == versions
