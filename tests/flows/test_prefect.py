"""The same files through a real Prefect server: equal digests, visible runs."""

import functools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runs import SMALL, ForkedRuns, digests, forking_project, free_port, fresh_project, headframe, start

from headframe.config.project import Project

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, dict[str, str]]]:
    """A project whose servers are up, and what a shell is given for them."""
    project = forking_project(tmp_path_factory.mktemp("served") / "project")
    ports = ("--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
    try:
        headframe(project, "up", *ports)
        yield project, headframe(project, "status", "--export")[0]
    finally:
        headframe(project, "down")


def test_a_life_through_prefect_is_the_same_life_and_is_visible(
    served: tuple[Project, dict[str, str]],
    finished_run: tuple[Project, dict[str, Any], str],
    forked_runs: ForkedRuns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project, variables = served
    outcome, stderr = forked_runs.headframe(project, "run", *SMALL)
    assert "engine: Prefect at" in stderr
    assert "Traceback" not in stderr
    assert digests(outcome) == digests(finished_run[1])

    post = functools.partial(httpx.post, headers=json.loads(variables["PREFECT_CLIENT_CUSTOM_HEADERS"]))
    api = variables["PREFECT_API_URL"]
    runs = post(f"{api}/flow_runs/filter", json={}).json()
    assert [(run["state_type"], run["parameters"]["overrides"]) for run in runs] == [("COMPLETED", list(SMALL))]
    tasks = post(f"{api}/task_runs/filter", json={}).json()
    names = {task["name"].rsplit("-", 1)[0] for task in tasks}
    assert names == {
        "ingest",
        "validate",
        "split",
        "commit",
        "fit",
        "evaluate",
        "register",
        "promote",
        "smoke-test",
    }
    logs = post(f"{api}/logs/filter", json={"limit": 200}).json()
    assert any("expectations met" in line["message"] for line in logs)

    forked_runs.headframe(project, "run", "model=cn", code=2)
    assert len(post(f"{api}/flow_runs/filter", json={}).json()) == len(runs)  # a typing mistake is no failed run
    paths = [path for path in project.state.rglob("*") if not path.is_symlink()]
    assert [path for path in paths if path.stat().st_mode & 0o077 and path.stat().st_mode & 0o777 != 0o444] == []

    from mlflow import MlflowClient

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, variables[name])
    version = MlflowClient(variables["MLFLOW_TRACKING_URI"]).get_model_version_by_alias("digits", "champion")
    assert version.run_id == outcome["result"]["registered"]["run_id"]


def test_what_was_done_through_prefect_is_reused_inline(served: tuple[Project, dict[str, str]]) -> None:
    project, _ = served
    _, stderr = headframe(project, "ingest", "dataset=digits", PREFECT_API_URL="", MLFLOW_TRACKING_URI="")
    assert stderr.count("reused") == 4


def test_a_users_mistake_fails_at_once_with_one_sentence(
    served: tuple[Project, dict[str, str]], forked_runs: ForkedRuns
) -> None:
    project, _ = served
    document, stderr = forked_runs.headframe(project, "ingest", "+dataset.contract.columns.digit.max=5", code=3)
    assert "digit" in document["error"]
    assert "Traceback" not in stderr


def test_an_api_that_does_not_respond_is_no_silent_inline_run(tmp_path: Path) -> None:
    project = fresh_project(tmp_path / "project")
    document, _ = headframe(project, "ingest", code=1, PREFECT_API_URL=f"http://127.0.0.1:{free_port()}/api")
    assert "is not reachable" in document["error"]


@pytest.mark.slow
def test_a_server_that_dies_in_mid_run_is_reported_in_a_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    project = fresh_project(tmp_path / "project")
    servers, _ = headframe(project, "up", "--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
    try:
        process = start(project, "run", "--json", *SMALL, PREFECT_CLIENT_MAX_RETRIES="1")
        while not list(project.stages.glob("split/*/record.json")):
            assert process.poll() is None, "the run was over before its server could be killed"
            time.sleep(0.05)
        os.kill(next(server["pid"] for server in servers if server["name"] == "prefect"), signal.SIGKILL)
        output, stderr = process.communicate(timeout=500)
        assert process.returncode == 1, stderr
        assert "was lost" in json.loads(output)["error"]
        assert "Traceback" not in stderr
    finally:
        headframe(project, "down")
    outcome, stderr = headframe(project, "run", *SMALL)
    assert stderr.count("reused") >= 3
    assert outcome["decision"]["state"] == "champion"
