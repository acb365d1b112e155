"""Data sets as their YAML files have them, tables collected once a session, and a small table of our own."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fake_data
import pytest
import yaml

from headframe.config.plan.data import DatasetConfig
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.places import Places
from headframe.records import TableRecord

PEOPLE = """name,age,height,city
Ada,36,1.65,London
Grace,85,1.7,New York
Ada,36,1.65,Paris
小明,12,1.4,北京
Zoë 😀,41,,Zürich
"""


@pytest.fixture(scope="session")
def shipped(repository: Project) -> Callable[[str], DatasetConfig]:
    """Read `conf/dataset/<name>.yaml`."""

    def read(name: str) -> DatasetConfig:
        return DatasetConfig.model_validate(yaml.safe_load((repository.conf / "dataset" / f"{name}.yaml").read_text()))

    return read


class Collection(NamedTuple):
    """A data set that was collected; for reading only."""

    dataset: DatasetConfig
    record: TableRecord
    root: Path
    mirror: Path | None

    @property
    def table(self) -> Table:
        return Table.open(self.root / self.record.folder)


@pytest.fixture(scope="session")
def collected(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[str], DatasetConfig]
) -> Callable[..., Collection]:
    """Collect a shipped data set once a session, from its fake files, its package, or its real files."""
    collections: dict[tuple[str, bool], Collection] = {}

    def collect_once(name: str, *, real: bool = False) -> Collection:
        if (name, real) not in collections:
            dataset = shipped(name) if real else DatasetConfig.model_validate(fake_data.settings(name))
            mirror = request.getfixturevalue("real_data") if real else fake_data.mirror(name)
            root = tmp_path_factory.mktemp("collected")
            collections[name, real] = Collection(dataset, ingest(dataset, Places(root, mirror)), root, mirror)
        return collections[name, real]

    return collect_once


def people_settings() -> dict[str, Any]:
    return {
        "name": "people",
        "title": "People",
        "licence": "CC0-1.0",
        "citation": "made up",
        "sources": {"people": {"uri": "file:people.csv"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "inputs": ["name", "age", "height"],
        "target": "city",
        "tasks": ["classification"],
        "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2},
        "contract": {
            "columns": {
                "name": {"dtype": "string"},
                "age": {"dtype": "int"},
                "height": {"dtype": "float", "nullable": True},
                "city": {"dtype": "string"},
            }
        },
    }


@pytest.fixture
def people(tmp_path: Path) -> Callable[..., DatasetConfig]:
    """Write `people.csv` into `tmp_path` and give a data set of it; keywords replace settings."""

    def make(text: str | bytes = PEOPLE, *, checked: bool = False, **settings: Any) -> DatasetConfig:
        raw = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "people.csv").write_bytes(raw)
        made = {**people_settings(), **settings}
        if checked:
            made["sources"] = {"people": {"uri": "file:people.csv", "sha256": hashlib.sha256(raw).hexdigest()}}
        return DatasetConfig.model_validate(made)

    return make
