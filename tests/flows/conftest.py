"""What the tests of flows share: a life to compare with, and lives in forked processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Pithead, environment, fresh_project, headframe

from headframe.config.project import Project


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any], str]:
    """An undisturbed life; tests only read it, or run it again."""
    project = fresh_project(tmp_path_factory.mktemp("lived") / "project")
    outcome, said = headframe(project, "run", *SMALL)
    return project, outcome, said


@pytest.fixture(scope="session")
def pithead() -> Iterator[Pithead]:
    """The program whose forked processes live."""
    program = Path(__file__).with_name("pithead.py")
    with subprocess.Popen(
        [sys.executable, str(program)], env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Pithead(process)
