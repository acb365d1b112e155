"""Servers of a project: started once, found, stopped, and nothing else touched."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from runs import free_port

from headframe import servers
from headframe.errors import ConfigurationError, HeadframeError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project folder whose servers are stopped afterwards, whatever happens."""
    folder = tmp_path / "a project 矿"
    folder.mkdir()
    yield folder
    servers.down(folder)


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process of somebody else."""
    process = subprocess.Popen(SLEEP)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def note(root: Path, **entries: dict[str, object]) -> None:
    (root / ".headframe").mkdir(exist_ok=True)
    (root / ".headframe" / "servers.json").write_text(json.dumps(entries))


@pytest.mark.flow
def test_both_servers_come_up_respond_and_go_down(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level("INFO", logger="headframe")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    prefect, mlflow = servers.up(root, prefect_port=free_port(), mlflow_port=free_port())
    assert (prefect.state, mlflow.state) == ("up", "up")
    assert f"mlflow: responds at {mlflow.address}" in caplog.text

    found = servers.exports(root)
    assert found["PREFECT_API_URL"] == f"{prefect.address}/api"
    assert found["MLFLOW_TRACKING_URI"] == mlflow.address
    _nobody_else_gets_in(root, prefect, mlflow)
    auth = (found["MLFLOW_TRACKING_USERNAME"], found["MLFLOW_TRACKING_PASSWORD"])
    secret = json.loads(found["PREFECT_CLIENT_CUSTOM_HEADERS"])
    with httpx.Client(trust_env=False, timeout=60, headers=secret) as client:
        assert client.post(f"{found['PREFECT_API_URL']}/flows/", json={"name": "trial"}).status_code == 201
        # Prefect's pages run in a browser and have to know where the server is.
        assert client.get(f"{prefect.address}/ui-settings").json()["api_url"] == f"{found['PREFECT_UI_URL']}/api"
    with httpx.Client(trust_env=False, timeout=60, auth=auth) as client:
        made = client.post(f"{mlflow.address}/api/2.0/mlflow/experiments/create", json={"name": "trial"}).json()
        got = client.get(f"{mlflow.address}/api/2.0/mlflow/experiments/get", params=made).json()["experiment"]
    # A client without the server must be able to read what was logged through it.
    assert got["artifact_location"] == f"{(root / '.headframe' / 'artifacts').as_uri()}/{made['experiment_id']}"

    again = servers.up(root)
    assert [server.pid for server in again] == [prefect.pid, mlflow.pid]
    assert "both servers are up already" in caplog.text
    port = int(mlflow.address.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"mlflow is up already on port {port}.*headframe down"):
        servers.up(root, mlflow_port=free_port())

    assert prefect.pid is not None
    assert mlflow.pid is not None
    variables = psutil.Process(mlflow.pid).environ()
    assert (variables["MLFLOW_DISABLE_TELEMETRY"], variables["HF_HUB_DISABLE_TELEMETRY"]) == ("true", "0")
    family = [psutil.Process(prefect.pid), psutil.Process(mlflow.pid)]
    family += [child for process in family for child in process.children(recursive=True)]
    assert [server.state for server in servers.down(root)] == ["down", "down"]
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    assert servers.environment(root) == {}
    assert (root / ".headframe" / "mlflow.db").is_file()
    assert (root / ".headframe" / "prefect" / "prefect.db").is_file()


def _nobody_else_gets_in(root: Path, prefect: servers.Server, mlflow: servers.Server) -> None:
    """Replay what a web page, or another user of this machine, can send; then open the pages by their links."""
    foreign = {"Origin": "https://evil.example", "Content-Type": "application/json"}
    asked = {
        prefect.address: ("/api/flows/", "/api/deployments/", "/api/deployments/x/create_flow_run", "/docs", "/"),
        mlflow.address: ("/api/2.0/mlflow/experiments/create", "/ajax-api/2.0/mlflow/runs/search", "/graphql", "/"),
    }
    with httpx.Client(trust_env=False, timeout=60) as client:
        for address, paths in asked.items():
            for path in paths:
                for method in ("GET", "POST", "OPTIONS"):
                    refused = client.request(method, address + path, headers=foreign, content=b"{}")
                    assert refused.status_code == 403
                    assert "access-control-allow-origin" not in refused.headers
                    assert client.request(method, address + path, content=b"{}").status_code == 401
                rebound = client.get(address + path, headers={"Host": "10.evil.example"})
                assert rebound.status_code == 403
    for server in (prefect, mlflow):
        page, _, link = server.link.partition("/headframe-open")
        host = {"Host": page.removeprefix("http://")}
        with httpx.Client(trust_env=False, timeout=60, headers=host) as browser:
            opened = browser.get(f"{server.address}/headframe-open{link}")
            assert (opened.status_code, opened.headers["location"]) == (303, "/")
            cookie = {"Cookie": opened.headers["set-cookie"].partition(";")[0]}
            shown = browser.get(f"{server.address}/", headers=cookie, follow_redirects=True)
            assert shown.status_code == 200, shown.text
            assert "<html" in shown.text
            browser.cookies.clear()
            assert browser.get(f"{server.address}/headframe-open{link}").status_code == 403
    assert (root / ".headframe" / "servers.key").stat().st_mode & 0o777 == 0o600


def test_a_server_that_fails_is_quoted_and_the_other_one_stopped(root: Path, monkeypatch: pytest.MonkeyPatch):
    failing = [sys.executable, "-c", "print('first'); print('no such table'); raise SystemExit(3)"]
    monkeypatch.setattr(servers, "_command", lambda root, name, port: SLEEP if name == "prefect" else failing)
    seen: list[dict[str, dict[str, int]]] = []
    wait = servers._wait

    def look_first(root: Path, entries):
        seen.append(json.loads((root / ".headframe" / "servers.json").read_text()))
        wait(root, entries)

    monkeypatch.setattr(servers, "_wait", look_first)
    with pytest.raises(HeadframeError, match=r"mlflow did not start; the end of .*mlflow\.log says: first / no such"):
        servers.up(root, prefect_port=free_port(), mlflow_port=free_port())
    assert not psutil.pid_exists(seen[0]["prefect"]["pid"]) or (
        psutil.Process(seen[0]["prefect"]["pid"]).status() == psutil.STATUS_ZOMBIE
    )
    assert not (root / ".headframe" / "servers.json").exists()


def test_a_sentence_of_our_own_in_a_servers_log_is_the_reason(root: Path):
    log = root / ".headframe" / "logs" / "mlflow.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "Traceback (most recent call last):\n  ...\nheadframe.errors.HeadframeError: the disk is full: stop\n"
    )
    reason = servers._failure(root, "mlflow", "did not start")
    assert str(reason) == "mlflow did not start: the disk is full: stop"


def test_a_busy_port_is_named_with_the_option_that_changes_it(root: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HeadframeError, match=rf"port {port} for mlflow .* choose another with --mlflow-port"):
            servers.up(root, prefect_port=free_port(), mlflow_port=port)
    assert [server.state for server in servers.status(root)] == ["down", "down"]


@pytest.mark.parametrize(("prefect", "mlflow"), [(4200, 4200), (70_000, 5000)])
def test_ports_that_cannot_be_are_wrong_usage(root: Path, prefect: int, mlflow: int):
    with pytest.raises(ConfigurationError, match="--prefect-port"):
        servers.up(root, prefect_port=prefect, mlflow_port=mlflow)


def test_a_process_that_only_has_the_same_number_is_left_alone(root: Path, bystander: psutil.Process):
    entry = {"pid": bystander.pid, "created": bystander.create_time() - 3600, "port": free_port()}
    note(root, prefect=entry)
    prefect, mlflow = servers.status(root)
    assert (prefect.state, mlflow.state) == ("died", "down")
    assert servers.environment(root) == {}
    servers.down(root)
    assert bystander.is_running()
    assert bystander.status() != psutil.STATUS_ZOMBIE
    assert not (root / ".headframe" / "servers.json").exists()


@pytest.mark.parametrize("way", ["down", "up"])
def test_children_of_a_killed_server_are_stopped(root: Path, monkeypatch: pytest.MonkeyPatch, way: str):
    port = free_port()
    child = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('listens'); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-uc', {child!r}])"
    monkeypatch.setattr(servers, "_command", lambda root, name, port: [sys.executable, "-c", parent])
    entry = servers._start(root, "mlflow", port)
    note(root, mlflow=entry.model_dump())
    log = root / ".headframe" / "logs" / "mlflow.log"
    while "listens" not in log.read_text():
        time.sleep(0.02)
    (left,) = psutil.Process(entry.pid).children()
    os.kill(entry.pid, signal.SIGKILL)
    os.waitpid(entry.pid, 0)
    assert left.is_running()
    assert servers.status(root)[1].state == "died"
    if way == "down":
        servers.down(root)
    else:
        monkeypatch.setattr(servers, "_command", lambda root, name, port: [sys.executable, "-c", "raise SystemExit(3)"])
        with pytest.raises(HeadframeError, match="did not start"):  # it came past the port, which was busy
            servers.up(root, prefect_port=free_port(), mlflow_port=port)
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_does_not_respond_yet_is_starting_and_not_used(root: Path, bystander: psutil.Process):
    note(root, mlflow={"pid": bystander.pid, "created": bystander.create_time(), "port": free_port()})
    _, mlflow = servers.status(root)
    assert mlflow.state == "starting"
    assert "starting at http://127.0.0.1" in str(mlflow)
    assert servers.environment(root) == {}
    servers.down(root)
    assert not bystander.is_running() or bystander.status() == psutil.STATUS_ZOMBIE


def test_a_server_of_an_earlier_version_which_lets_everybody_in_is_replaced(
    root: Path, bystander: psutil.Process, monkeypatch: pytest.MonkeyPatch
):
    note(root, mlflow={"pid": bystander.pid, "created": bystander.create_time(), "port": free_port()})
    monkeypatch.setattr(servers, "_command", lambda root, name, port: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(HeadframeError, match="did not start"):
        servers.up(root, prefect_port=free_port(), mlflow_port=free_port())
    assert not bystander.is_running() or bystander.status() == psutil.STATUS_ZOMBIE


def test_a_damaged_record_is_reported(root: Path):
    (root / ".headframe").mkdir()
    (root / ".headframe" / "servers.json").write_text("{]")
    with pytest.raises(HeadframeError, match=r"servers\.json was changed by hand"):
        servers.environment(root)
    (root / ".headframe" / "servers.json").unlink()


def test_a_project_without_servers_pays_nothing(tmp_path: Path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plan.yaml").touch()
    code = (
        "import sys; from headframe.cli.context import open_project; print(open_project().root,"
        "sorted({'psutil', 'prefect', 'mlflow', 'torch', 'sqlalchemy', 'httpx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path), "[]"]
    assert servers.environment(tmp_path) == {}
    assert [server.state for server in servers.down(tmp_path)] == ["down", "down"]
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]
