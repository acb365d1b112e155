"""Killed inside any stage and started again, a run ends as if nothing had happened."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from given_overrides import last_of_each
from runs import STAGES, ForkedRuns, digests, forking_project, fresh_project, headframe, registered, start

from headframe.config.project import Project

TINY = (
    "model=cnn_lstm_mean",
    "model.members.cnn.model.widths=[[4]]",
    "model.members.lstm.model.hidden=8",
    "baseline=logistic",
    "trainer.max_epochs=2",
    "trainer.batch_size=256",
    "evaluation.resamples=100",
    "~promotion.gates.validation",  # the tiny networks lose to the baseline, and shall be champion
    "promotion.gates.baselines.alpha=1e-200",  # as above
)
"""An ensemble of two tiny networks and a baseline: every stage that there is."""
POINTS = ("begun", "half", "written")
"""Where a stage is killed: as it begins, in its middle, and when only its record is missing; see `kill_points.py`."""


def recorded(project: Project, stage: str) -> list[Path]:
    """The records of a stage that is finished."""
    return sorted((project.stages / stage).glob("*/record.json"))


def reused(stderr: str) -> list[str]:
    """The stages that a run reused."""
    return [line.split(" ")[0] for line in stderr.splitlines() if "(reused " in line]


@pytest.fixture(scope="module")
def undisturbed(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of the plan when nothing happens to it."""
    code, outcome, stderr = forked_runs.run(forking_project(tmp_path_factory.mktemp("calm") / "project"), "run", *TINY)
    assert code == 0, stderr
    assert not reused(stderr)
    return outcome


def kill_everywhere(stage: str, forked_runs: ForkedRuns, project: Project) -> None:
    """Kill a run at each point of a stage, again and again."""
    before = list(STAGES[: STAGES.index(stage)])
    for number, point in enumerate(POINTS):
        finished = [name for name in before if recorded(project, name)]
        code, _, stderr = forked_runs.run(project, "run", *TINY, kill=(stage, point))
        assert code == -signal.SIGKILL, stderr
        assert any(path.is_dir() for path in (project.stages / stage).iterdir()), "the stage never began"
        assert not recorded(project, stage), "the stage was over"
        assert all(recorded(project, name) for name in before)
        assert reused(stderr) == finished
        assert finished == before or not number


def continues(forked_runs: ForkedRuns, project: Project, undisturbed: dict[str, Any], stage: str) -> None:
    """Run what was killed in a stage to its end, and compare it with a run to which nothing happened."""
    code, outcome, stderr = forked_runs.run(project, "run", *TINY)
    assert code == 0, stderr
    assert reused(stderr) == list(STAGES[: STAGES.index(stage)])
    assert digests(outcome) == digests(undisturbed)
    assert registered(project) == (1, 1)


def test_a_run_killed_at_every_point_of_every_stage_continues_to_the_same_end(
    forked_runs: ForkedRuns, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    project = forking_project(tmp_path / "project")
    for stage in STAGES:
        kill_everywhere(stage, forked_runs, project)
    continues(forked_runs, project, undisturbed, STAGES[-1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_inside_a_stage_continues_to_the_same_end(
    stage: str, forked_runs: ForkedRuns, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    project = forking_project(tmp_path / "project")
    kill_everywhere(stage, forked_runs, project)
    continues(forked_runs, project, undisturbed, stage)


@pytest.mark.slow
def test_a_command_killed_from_outside_while_a_member_trains_continues_to_the_same_end(tmp_path: Path) -> None:
    longer = last_of_each(*TINY, "trainer.max_epochs=100")
    calm, _ = headframe(fresh_project(tmp_path / "calm"), "run", *longer)
    project = fresh_project(tmp_path / "killed")
    process = start(project, "run", *longer)
    try:
        while not list(project.stages.glob("fit/*/members/*/.checkpoint/last.ckpt")):
            assert process.poll() is None, "the members were trained before they could be killed"
            time.sleep(0.01)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may be over, which the loop above has checked then
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not recorded(project, "train")
    outcome, stderr = headframe(project, "run", *longer)
    assert "resuming from step" in stderr
    assert reused(stderr) == list(STAGES[: STAGES.index("fit")])
    assert digests(outcome) == digests(calm)
    assert registered(project) == (1, 1)
