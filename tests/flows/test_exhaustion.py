"""A full disk, or a limit on files, in any stage is one sentence, and the next run goes on."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kill_points import FILLER
from runs import STAGES, ForkedRuns, digests, forking_project, registered

from headframe.config.project import Project

TINY = ("model=linear", "baseline=logistic", "trainer.max_epochs=2", "evaluation.resamples=100")
WITHOUT = ("split", "smoke-test")
"""What may need no room: its files are in the temporary folder, or it writes none."""


@pytest.fixture(scope="module")
def undisturbed(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of the plan on a machine that lacks nothing."""
    project = forking_project(tmp_path_factory.mktemp("calm") / "project")
    code, outcome, stderr = forked_runs.run(project, "run", *TINY)
    assert code in (0, 4), stderr
    return outcome


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with 32 MiB; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "headframe", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a disk: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def lacking(project: Project, what: str, forked_runs: ForkedRuns) -> dict[str, int]:
    """Run a plan with each stage on a machine that lacks something; return the exit codes."""
    codes = {}
    for stage in STAGES:
        codes[stage], document, stderr = forked_runs.run(project, "run", *TINY, kill=(stage, what))
        (project.root / FILLER).unlink(missing_ok=True)
        if codes[stage] != -signal.SIGKILL:
            assert codes[stage] == 1, stderr
            assert "Traceback" not in stderr
            last = stderr.splitlines()[-1]
            assert last == f"headframe: {document['error']}"
            assert re.search("File too large|limit on files|No space left|disk is full", last), last
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("what", ["limit", "full"])
def test_a_stage_without_room_for_its_files_says_so_and_the_next_run_goes_on(
    what: str, forked_runs: ForkedRuns, undisturbed: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root = request.getfixturevalue("small_disk") if what == "full" else tmp_path
    project = forking_project(root / "project")
    codes = lacking(project, what, forked_runs)
    assert {stage for stage, code in codes.items() if code == 1} >= {*STAGES} - {*WITHOUT}
    _, outcome, stderr = forked_runs.run(project, "run", *TINY)
    assert digests(outcome) == digests(undisturbed), stderr
    assert registered(project) == (1, 1)
