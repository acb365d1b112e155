"""What the tests of flows share: a run to compare with."""

from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, ForkedRuns, forking_project
from shared import made_once

from headframe.config.project import Project


@pytest.fixture(scope="session")
def finished_run(forked_runs: ForkedRuns) -> tuple[Project, dict[str, Any], str]:
    """An undisturbed run; tests only read it, or repeat it."""

    def run(folder: Path) -> tuple[Project, dict[str, Any], str]:
        project = forking_project(folder / "project")
        return project, *forked_runs.headframe(project, "run", *SMALL)

    return made_once("finished_run", run)
