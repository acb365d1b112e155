"""A life that all tests of flows compare with."""

from __future__ import annotations

from typing import Any

import pytest
from lives import SMALL, fresh_project, headframe

from headframe.config.project import Project


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any], str]:
    """An undisturbed life; tests only read it, or run it again."""
    project = fresh_project(tmp_path_factory.mktemp("lived") / "project")
    outcome, said = headframe(project, "run", *SMALL)
    return project, outcome, said
