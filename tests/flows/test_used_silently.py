"""What was changed on the disk is named, healed or not used, and never used silently; see `campaign.py`."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from campaign import COMMANDS, Campaign, Edit, edits, files_of, flip
from leftovers import git
from runs import ForkedRuns, forking_project

from headframe.config.project import Project

CORE = (
    "data/digits/table.parquet",
    "data/digits/rejected.parquet",
    "data/digits/dataset.json",
    "stages/evaluate/*/record.json",
    "stages/evaluate/*/metrics.json",
    "stages/validate/*/validation.json",
    "stages/split/*/record.json",
    "stages/fit/*/history.json",
    "stages/fit/*/probe.parquet",
    "stages/fit/*/result.json",
    "dvc-remote/files/md5/*/*",
)
"""Kinds of files that a fast test flips a bit of; the campaign takes all."""


@pytest.fixture(scope="module")
def campaign(
    finished_run: tuple[Project, dict[str, Any], str], forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory
) -> Campaign:
    """A finished run of its own, to be changed."""
    folder = tmp_path_factory.mktemp("campaign")
    shutil.copytree(finished_run[0].root, folder / "project")
    return begin(folder, forked_runs)


def begin(folder: Path, forked_runs: ForkedRuns) -> Campaign:
    """A campaign in `folder`, whose `project` is finished and may have been moved there."""
    made = Campaign(Project(folder / "project"), folder / "pristine", forked_runs)
    code, _, stderr = forked_runs.run(made.project, *COMMANDS["verify"])
    assert code == 0, stderr
    shutil.copytree(folder / "project", folder / "pristine")
    return made


@pytest.mark.parametrize("kind", CORE)
def test_a_flipped_bit_is_noticed_by_the_next_run(campaign: Campaign, kind: str) -> None:
    found = campaign.ask(kind, flipping(kind), f"core {kind}", ("run",))
    assert found["run"] in ("named", "healed")


@pytest.mark.parametrize("kind", ["labels of data/*/table.parquet", "stages/evaluate/*/record.json"])
def test_a_value_with_its_checksums_put_right_is_noticed_by_the_next_run(campaign: Campaign, kind: str) -> None:
    asked = ("run", "predict") if kind.startswith("labels") else ("run",)
    found = campaign.ask(kind, edits(campaign.project.root)[kind], f"core {kind}", asked)
    assert {*found.values()} <= {"named", "healed"}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_nothing_is_used_silently(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    """FLIPS and EDITS say how many are made, SEED which."""
    project = forking_project(tmp_path / "project")
    (project.root / ".gitignore").write_text("/.headframe/\n/data/\n*.parquet\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Begin"]):
        git(project.root, *arguments)
    code, _, stderr = forked_runs.run(project, *COMMANDS["run"])
    assert code == 0, stderr
    campaign = begin(tmp_path, forked_runs)
    flips, edited, seed = (int(os.environ.get(name, default)) for name, default in CAMPAIGN.items())
    draw = random.Random(seed)
    kinds, known = sorted(files_of(campaign.pristine)), edits(campaign.pristine)
    try:
        for number in range(flips):
            kind = kinds[number % len(kinds)]
            campaign.ask(kind, flipping(kind), f"{seed} flip {number}", commands(number, draw))
        for number in range(edited):
            kind = sorted(known)[number % len(known)]
            campaign.ask(f"edit: {kind}", known[kind], f"{seed} edit {number}", commands(number, draw))
    finally:
        print(campaign.table(), *campaign.silent, sep="\n")
    assert campaign.silent == []


CAMPAIGN = {"FLIPS": "60", "EDITS": "30", "SEED": "1"}


def commands(number: int, draw: random.Random) -> tuple[str, ...]:
    """What is asked after a change: mostly a run, since it reads most; training takes longest, so it is rare."""
    return ("reproduce",) if number % 20 == 19 else (draw.choice(["run", "run", "predict", "serve", "verify"]),)


def flipping(kind: str) -> Edit:
    """Flip a bit of a file of a kind."""
    return lambda root, draw: flip(draw.choice(files_of(root)[kind]), draw)
