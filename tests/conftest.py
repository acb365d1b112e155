"""What all tests share: the raw data, and projects of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from headframe.config.project import Project

# Two workers share the cores, and a forked child of a process whose OpenMP has threads would wait for them for ever.
os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with the raw files of public data sets."""
    named = os.environ.get("HEADFRAME_MIRROR")
    if named:
        assert Path(named).is_dir(), f"HEADFRAME_MIRROR is {named}, but that is no folder"
        return Path(named)
    beside = REPOSITORY.parent / "shared" / "data"
    if not beside.is_dir():
        pytest.skip("needs raw data sets; HEADFRAME_MIRROR is not set and ../shared/data is missing")
    return beside


@pytest.fixture(scope="session")
def repository() -> Project:
    """This repository as the project it is; for reading only."""
    return Project(REPOSITORY)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project with the shipped `conf/` and `flows/`, and nothing else."""
    root = tmp_path / "project"
    for name in ("conf", "flows"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(root)
