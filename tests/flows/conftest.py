"""What the tests of flows share: a run to compare with."""

from typing import Any

import pytest
from runs import SMALL, ForkedRuns, forking_project

from headframe.config.project import Project


@pytest.fixture(scope="session")
def finished_run(
    forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dict[str, Any], str]:
    """An undisturbed run; tests only read it, or repeat it."""
    project = forking_project(tmp_path_factory.mktemp("finished_run") / "project")
    outcome, stderr = forked_runs.headframe(project, "run", *SMALL)
    return project, outcome, stderr
