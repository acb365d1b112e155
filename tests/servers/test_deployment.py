"""What infra/README.md says of deployments is done, word by word, on free ports."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runs import SMALL, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def commands() -> list[str]:
    """The lines of the block on deployments."""
    text = (REPOSITORY / "infra" / "README.md").read_text(encoding="utf-8").partition("## Deployments")[2]
    found = re.search(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1].splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project with what deployments need; its servers are stopped afterwards."""
    folder = tmp_path / "project"
    for name in ("conf", "flows", "infra"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    yield folder
    call(folder, "headframe down", environment_of(folder))


def environment_of(root: Path) -> dict[str, str]:
    """The environment of a user whose shell finds the commands; Prefect keeps its own things in the project."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    path = os.pathsep.join([str(BIN), inherited.get("PATH", "")])
    return {**inherited, "PATH": path, "OMP_NUM_THREADS": "1", "PREFECT_HOME": str(root.with_name("prefect-home"))}


def post(address: str, content: dict[str, Any], environment: dict[str, str]) -> httpx.Response:
    """Send a request with the secret that the shell got."""
    return httpx.post(address, json=content, headers=json.loads(environment["PREFECT_CLIENT_CUSTOM_HEADERS"]))


def call(root: Path, command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.flow
def test_a_deployment_runs_to_its_end_through_a_worker(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    up, export, pool, deploy, worker, run = commands()
    environment = environment_of(root)
    ports = {"4200": str(free_port()), "5000": str(free_port())}
    call(root, f"{up} --prefect-port {ports['4200']} --mlflow-port {ports['5000']}", environment)
    for line in call(root, export.partition("$(")[2].rstrip('")'), environment).splitlines():
        name, _, value = shlex.split(line)[1].partition("=")
        environment[name] = value
        if name.startswith("MLFLOW_TRACKING_"):
            monkeypatch.setenv(name, value)

    call(root, pool, environment)
    call(root, deploy, environment)
    log = root.with_name("worker.log")
    with log.open("w") as output:
        process = subprocess.Popen(
            shlex.split(worker), cwd=root, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        command = shlex.split(run)
        command[-1] = f"overrides={json.dumps(SMALL)}"
        call(root, shlex.join(command), environment)
        api = environment["PREFECT_API_URL"]
        flow_run = _wait(environment, "lifecycle", {"COMPLETED"}, process, log)
        assert flow_run["parameters"] == {"overrides": list(SMALL)}
        tasks = post(f"{api}/task_runs/filter", {}, environment).json()
        assert {task["state_type"] for task in tasks} == {"COMPLETED"}
        deployments = {one["name"]: one for one in post(f"{api}/deployments/filter", {}, environment).json()}
        assert deployments.keys() == {"lifecycle", "ingest", "train", "predict", "promote"}
        assert [one["active"] for one in deployments["lifecycle"]["schedules"]] == [False]

        from mlflow import MlflowClient

        version = MlflowClient(environment["MLFLOW_TRACKING_URI"]).get_model_version_by_alias("digits", "champion")
        assert version.version == "1"
        _approve_in_the_pages(root, environment, process, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


ENDS = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def _wait(
    environment: dict[str, str], flow: str, states: set[str], worker: subprocess.Popen[bytes], log: Path
) -> dict[str, Any]:
    """Wait until the only run of a flow comes to one of these states, or to an end, and give it."""
    api = environment["PREFECT_API_URL"]
    query = {"flows": {"name": {"any_": [flow]}}}
    run: dict[str, Any] = {}
    for _ in range(300):
        [run] = post(f"{api}/flow_runs/filter", query, environment).json()
        if run["state_type"] in states | ENDS:
            break
        assert worker.poll() is None, log.read_text()
        time.sleep(1)
    assert run["state_type"] in states, log.read_text()
    return run


def _approve_in_the_pages(root: Path, environment: dict[str, str], worker: subprocess.Popen[bytes], log: Path) -> None:
    """Let a run suspend itself until somebody fills its form with an approval that was signed elsewhere."""
    from mlflow import MlflowClient

    rules = ["promotion.model=ours", "promotion.approvals.needed=1", "promotion.approvals.four_eyes=false"]
    call(root, shlex.join(["headframe", "train", *SMALL, *rules]), environment)
    named = ["--param", 'model="ours/1"', "--param", f"overrides={json.dumps(rules)}"]
    call(root, shlex.join(["prefect", "deployment", "run", "promote/promote", *named]), environment)
    api = environment["PREFECT_API_URL"]
    run = _wait(environment, "promote", {"PAUSED"}, worker, log)
    assert run["state_name"] == "Suspended"
    approve = ["headframe", "models", "approve", "ours/1", *rules, "--reason", "looked at its page", "--print"]
    approval = call(root, shlex.join(approve), environment)
    response = post(f"{api}/flow_runs/{run['id']}/resume", {"run_input": {"approval": approval}}, environment)
    assert response.json()["status"] == "ACCEPT", response.text
    _wait(environment, "promote", {"COMPLETED"}, worker, log)
    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    assert client.get_model_version_by_alias("ours", "champion").version == "1"
    history = json.loads(call(root, "headframe models history ours --json", environment))
    assert history["periods"][0]["approvals"][0]["reason"] == "looked at its page"
