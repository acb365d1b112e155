"""What was changed on the disk is named, healed or not used, and never used silently; see `campaign.py`."""

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from campaign import COMMANDS, Campaign, Edit, Finding, edits, files_of, flip, table
from leftovers import git
from runs import ForkedRuns, forking_project
from snapshot import Snapshot

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
    project, document, _ = finished_run
    shutil.copytree(project.root, folder / "project")
    result = document["result"]
    validated = Path(result["data"]["validated"]["report"]).parent
    for place in (result["trained"]["folder"], result["evaluated"]["folder"], validated):
        made = folder / "project" / place
        for other in made.parent.iterdir():  # of other plans, which tests that ran before have run in this project
            if other.is_dir() and other != made:
                shutil.rmtree(other)
    return begin(folder, forked_runs)


def begin(folder: Path, forked_runs: ForkedRuns) -> Campaign:
    """A campaign in `folder`, whose `project` is finished and may have been moved there."""
    project = Project(folder / "project")
    code, _, stderr = forked_runs.run(project, *COMMANDS["verify"])
    assert code == 0, stderr
    return Campaign(project, Snapshot(project.root, folder / "pristine"), forked_runs)


@pytest.mark.parametrize("kind", CORE)
def test_a_flipped_bit_is_noticed_by_the_next_run(campaign: Campaign, kind: str) -> None:
    (found,) = campaign.ask(kind, flipping(kind), f"core {kind}", ("run",))
    assert found.outcome in ("named", "healed")


@pytest.mark.parametrize("kind", ["labels of data/*/table.parquet", "stages/evaluate/*/record.json"])
def test_a_value_with_its_checksums_put_right_is_noticed_by_the_next_run(campaign: Campaign, kind: str) -> None:
    asked = ("run", "predict") if kind.startswith("labels") else ("run",)
    found = campaign.ask(kind, edits(campaign.project.root)[kind], f"core {kind}", asked)
    assert {each.outcome for each in found} <= {"named", "healed"}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_nothing_is_used_silently(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    """Change one file, ask every command, put it back; again and again.

    FLIPS and EDITS say how many changes are made, SEED which, KINDS of which kinds of files (a regular expression).
    With LOG, a file, what comes of each is kept there, and a campaign that was interrupted goes on. A change takes 6 s
    of CPU time; two halves at once, on two cores:

        FLIPS=250 EDITS=50 SEED=1 LOG=1.jsonl pytest -m slow -s tests/flows/test_used_silently.py
        FLIPS=250 EDITS=50 SEED=2 LOG=2.jsonl pytest -m slow -s tests/flows/test_used_silently.py
    """
    project = forking_project(tmp_path / "project")
    (project.root / ".gitignore").write_text("/.headframe/\n/data/\n*.parquet\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Begin"]):
        git(project.root, *arguments)
    for command in ("run", "reproduce"):
        code, _, stderr = forked_runs.run(project, *COMMANDS[command])
        assert code == 0, stderr
    campaign = begin(tmp_path, forked_runs)
    flips, edited, seed = (int(os.environ.get(name, default)) for name, default in CAMPAIGN.items())
    log = Path(os.environ.get("LOG", tmp_path / "log.jsonl"))
    if log.exists():
        campaign.found += [Finding(**json.loads(line)) for line in log.read_text().splitlines()]
    known = {(each.what, each.seed) for each in campaign.found}
    for number, (what, change) in enumerate(changes(campaign.project.root, flips, edited, seed)):
        name = f"{seed} {number}"
        if (what, name) not in known:
            found = campaign.ask(what, change, name, commands(number))
            with log.open("a") as stream:
                stream.writelines(json.dumps(each._asdict()) + "\n" for each in found)
    print(table(campaign.found), *campaign.silent(), sep="\n")
    assert campaign.silent() == []


CAMPAIGN = {"FLIPS": "40", "EDITS": "20", "SEED": "1"}


def changes(root: Path, flips: int, edited: int, seed: int) -> Iterator[tuple[str, Edit]]:
    """Yield changes, those of one kind as often as those of another."""
    draw = random.Random(seed)
    flipped = {kind: flipping(kind) for kind in files_of(root)}
    wanted = re.compile(os.environ.get("KINDS", ""))
    for every, times in ((flipped, flips), ({f"edit: {kind}": edit for kind, edit in edits(root).items()}, edited)):
        known = {kind: change for kind, change in every.items() if wanted.search(kind)}
        order = sorted(known)
        for number in range(times if known else 0):
            if number % len(order) == 0:
                draw.shuffle(order)
            yield order[number % len(order)], known[order[number % len(order)]]


def commands(number: int) -> tuple[str, ...]:
    """What is asked after a change; computing all again takes long and differs little, so every third time."""
    return ("run", "predict", "serve", "recompute" if number % 3 == 0 else "verify", "reproduce")


def flipping(kind: str) -> Edit:
    """Flip a bit of a file of a kind."""
    return lambda root, draw: flip(draw.choice(files_of(root)[kind]), draw)
