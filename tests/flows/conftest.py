"""What the tests of flows share: a run to compare with, and runs in forked processes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, ForkedRuns, environment, fresh_project, headframe

from headframe.config.project import Project


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any], str]:
    """An undisturbed run; tests only read it, or repeat it."""
    project = fresh_project(tmp_path_factory.mktemp("finished_run") / "project")
    outcome, stderr = headframe(project, "run", *SMALL)
    return project, outcome, stderr


@pytest.fixture(scope="session")
def forked_runs() -> Iterator[ForkedRuns]:
    """A program that runs the command line in forked processes."""
    program = Path(__file__).with_name("kill_points.py")
    with subprocess.Popen(
        [sys.executable, str(program)], env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield ForkedRuns(process)
