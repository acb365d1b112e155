"""The documents keep their word: what they tell a user to type is typed, and what they show is what comes."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import ForkedRuns, fresh_project, offer_forked_launcher
from sklearn.datasets import load_digits

from headframe.cli.main import main
from headframe.config.project import Project

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "conf/README.md", "flows/README.md", "infra/README.md", "tests/README.md")
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\d+\.\d+(e[+-]\d+)?|\b\d+(?= s\b| are needed)"
)
"""Times, digests, measured figures and seconds: they differ between days and kinds of processors."""


FinishedRun = tuple[Project, str, str]
"""A project, and what the run in it printed to standard error and to standard output."""


def blocks(document: str) -> list[list[str]]:
    """The lines of each fenced block."""
    return [found.splitlines() for found in FENCE.findall((REPOSITORY / document).read_text(encoding="utf-8"))]


def commands() -> list[tuple[str, str]]:
    """Every line that calls headframe, comments left out, with the document it stands in."""
    return [
        (document, line.removeprefix("$ "))
        for document in DOCUMENTS
        for lines in blocks(document)
        for line in lines
        if line.removeprefix("$ ").startswith("headframe ")
    ]


def arguments_of(command: str) -> list[str]:
    return shlex.split(command.split(";", maxsplit=1)[0], comments=True)[1:]


def user_of(root: Path) -> dict[str, str]:
    """What the environment of a user called anna holds."""
    return {"LOGNAME": "anna", "HEADFRAME_KEYS": str(root.with_name("keys"))}


def environment_of(root: Path) -> dict[str, str]:
    """The environment of that user, without servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return {**kept, "PREFECT_HOME": "/nonexistent", **user_of(root)}


def shown_after(beginning: str) -> list[str]:
    """The lines of the README's block that begins with a line."""
    (found,) = [lines for lines in blocks("README.md") if lines and lines[0].startswith(beginning)]
    return found


def mistakes() -> list[tuple[str, str]]:
    """Each command of the block on mistakes with the message that is shown."""
    lines = shown_after("$ headframe run model=cn")
    found: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), ""))
        else:
            command, message = found[-1]
            found[-1] = (command, f"{message} {line}".strip())
    return found


@pytest.fixture(scope="module", params=["forked", pytest.param("process", marks=pytest.mark.slow)])
def finished_run(
    request: pytest.FixtureRequest, forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory
) -> FinishedRun:
    """A project in which the main job has run, its standard error and its standard output.

    A slow one starts processes as a user does; what the other one forks for the same job has everything imported.
    """
    root = tmp_path_factory.mktemp("readme") / "project"
    project = fresh_project(root)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    if request.param == "forked":
        offer_forked_launcher(project)
        code, stdout, stderr = forked_runs.printed(project, "run", "experiment=digits_ensemble", **user_of(root))
        assert code == 0, stderr
        return project, stderr, stdout
    done = subprocess.run(
        [sys.executable, "-m", "headframe", "run", "experiment=digits_ensemble"],
        cwd=root, env=environment_of(root), text=True, capture_output=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return project, done.stderr, done.stdout


@pytest.mark.parametrize(("document", "command"), commands())
def test_every_documented_command_is_one(
    document: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    arguments = arguments_of(command)
    if arguments[0] in {"run", "ingest", "train"} and command not in dict(mistakes()):
        assert main([*arguments, *([] if "--cfg" in arguments else ["--cfg"])]) == 0, f"{document}: {command}"
        assert capsys.readouterr().out.startswith("name:")
    elif arguments[0] not in {"run", "ingest", "train"}:
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--help"])
        assert left.value.code == 0


@pytest.mark.parametrize(("command", "message"), mistakes())
def test_a_mistake_gets_the_message_of_the_readme(
    command: str, message: str, finished_run: FinishedRun, forked_runs: ForkedRuns
) -> None:
    project, _, _ = finished_run
    code, _, stderr = forked_runs.printed(project, *arguments_of(command), **user_of(project.root))
    shows_code = command.endswith("; echo $?")
    expected, expected_code = message.rsplit(" ", 1) if shows_code else (message, "2")
    assert VARYING.sub("#", stderr.strip().splitlines()[-1]) == VARYING.sub("#", expected)
    assert code == int(expected_code)


def test_the_main_job_ends_as_the_readme_shows(finished_run: FinishedRun) -> None:
    _, stderr, printed = finished_run
    wanted = [VARYING.sub("#", line.rstrip()) for line in shown_after("engine: inline")]
    came = [VARYING.sub("#", line.rstrip()) for line in (stderr + printed).splitlines()]
    missing = [line for line in wanted if not line.startswith("response   row") and line not in came]
    assert not missing, "\n".join(came)


def test_the_main_job_again_prints_what_the_readme_shows(finished_run: FinishedRun, forked_runs: ForkedRuns) -> None:
    project, _, _ = finished_run
    code, _, stderr = forked_runs.printed(project, "run", "experiment=digits_ensemble", **user_of(project.root))
    wanted = [VARYING.sub("#", line) for line in shown_after("$ headframe run experiment=digits_ensemble")[1:-1]]
    assert code == 0
    assert [VARYING.sub("#", line) for line in stderr.splitlines()][: len(wanted)] == wanted


def typed(beginning: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the lines that are shown after it but for those left out."""
    command: str = ""
    lines: list[str] = []
    for line in [*shown_after(beginning), "$ "]:
        if line.startswith("$ "):
            if command:
                yield command, lines
            command, lines = line.removeprefix("$ "), []
        elif line != "...":
            lines.append(line.rstrip())


@pytest.mark.parametrize("beginning", ["$ headframe run seed=18", "$ headframe reproduce"])
def test_commands_on_champions_print_what_the_readme_shows(
    beginning: str, finished_run: FinishedRun, forked_runs: ForkedRuns
) -> None:
    project, _, _ = finished_run
    for command, lines in typed(beginning):
        code, printed, stderr = forked_runs.printed(project, *arguments_of(command), **user_of(project.root))
        came = [VARYING.sub("#", line.rstrip()) for line in (stderr + printed).splitlines()]
        wanted = [VARYING.sub("#", line) for line in lines]
        if command.endswith("; echo $?"):
            assert wanted.pop() == str(code)
        else:
            assert code == 0, stderr
        assert not [line for line in wanted if line not in came], "\n".join(came)


def test_the_champion_responds_as_the_readme_says(finished_run: FinishedRun, forked_runs: ForkedRuns) -> None:
    project, _, _ = finished_run
    batch, serve, request = shown_after("headframe predict digits digits")
    assert forked_runs.printed(project, *arguments_of(batch), **user_of(project.root))[0] == 0
    assert (project.root / "scored.parquet").is_file()
    port = int(re.findall(r"localhost:(\d+)", request)[0])
    process = subprocess.Popen(
        [sys.executable, "-m", "headframe", *arguments_of(serve)],
        cwd=project.root, stderr=subprocess.PIPE, text=True, env=environment_of(project.root),
    )  # fmt: skip
    try:
        image = load_digits().images[7].tolist()
        words = shlex.split(request.replace("...", json.dumps(image)))
        header, body = words[words.index("-H") + 1], words[words.index("-d") + 1]
        response = _post(f"http://127.0.0.1:{port}/invocations", header, body, process)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert response["predictions"][0]["prediction"] == 7


def _post(url: str, header: str, body: str, process: subprocess.Popen[str]) -> Any:
    """Send a request until the server, whose start takes seconds, responds."""
    name, value = header.split(": ")
    for _ in range(600):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body.encode(), {name: value})) as response:
                return json.load(response)
        except urllib.error.URLError as error:
            if process.poll() is not None:
                pytest.fail(f"the server ended: {process.communicate()[1]}")
            if isinstance(error, urllib.error.HTTPError):
                raise
            time.sleep(0.1)
    return pytest.fail("the server never responded")
