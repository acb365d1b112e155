"""Every command of docs/team.md is run, and must print what the document shows."""

import shutil
import tempfile
from pathlib import Path

import pytest
from runs import free_port
from team.scenario import Stage, Step, blocks, perform, stage_in
from team.stack import REPOSITORY, Servers, installed

DOCUMENT = REPOSITORY / "docs" / "team.md"


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.timeout(1200)
def test_the_commands_of_a_team_of_three_print_what_the_document_shows():
    if not installed("initdb"):
        pytest.skip("PostgreSQL is not installed (no initdb)")
    folder = Path(tempfile.mkdtemp(prefix="headframe-scenario-"))
    tracking, database, serving = free_port(), free_port(), free_port()
    stage = stage_in(folder, str(tracking), str(database), str(serving))
    try:
        _, wrong = perform(DOCUMENT, stage)
    finally:
        stage.close()
        Servers(folder / "srv" / "headframe", tracking, database).type("down", str(folder / "srv" / "headframe"))
        shutil.rmtree(folder)
    assert not wrong, "\n\n".join(wrong)


def test_a_document_is_read_as_it_is_written():
    [(_, steps)] = blocks("```console\nanna$ a <<E\n> b\n> E\nc\n...\nben$ d\n```\n```yaml\nanna$ no\n```\n")
    assert steps == [Step("anna", "a <<E\nb\nE", ("c", "...")), Step("ben", "d", ())]


@pytest.mark.parametrize(
    ("shown", "came", "fits"),
    [
        ("took 1.5 s at 2026-11-21T10:00:00Z by 1a2b3c4d", "took 12 s at 2027-01-01T00:00:00Z by 99aabbcc", True),
        ("a\n...\nz", "a\nb\nc\nz", True),
        ("a\n...", "a", True),
        ("a\nz", "a\nb\nz", False),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("version 1 is champion", "version 2 is champion", False),
        ("4", "0", False),
    ],
)
def test_only_what_differs_from_time_to_time_may_differ(shown: str, came: str, fits: bool):
    stage = Stage(Path(), {})
    assert (stage.learn(tuple(shown.splitlines()), came.splitlines()) is not None) is fits


def test_a_digest_of_the_document_stands_for_the_one_that_came():
    stage = Stage(Path("/tmp/x"), {"5000": "41234"})
    stage.learn(("run 1a2b3c4d5e6f",), ["run 99aabbccddee"])
    assert stage.now("fetch runs:/1a2b3c4d5e6f") == "fetch runs:/99aabbccddee"
