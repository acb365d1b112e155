"""The servers of one project on this machine: Prefect and MLflow, on loopback, with SQLite in the project's folder.

They are for one person who wants to look: runs that end while they are up are seen there, and stay visible
without them. Teams run their own servers and name them in PREFECT_API_URL and MLFLOW_TRACKING_URI.
"""

import contextlib
import http.client
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from headframe.config.project import Project
from headframe.daemons import Daemon, start_daemon, terminate
from headframe.digests import Record, load_json, write_atomically
from headframe.errors import ConfigurationError, HeadframeError
from headframe.exhaustion import require_files, require_memory
from headframe.server_access import HEADER, HEALTH, HOST, ServerAccess
from headframe.telemetry import OFF
from headframe.tracking.credentials import LOCAL_SERVER, LOCAL_USER, PASSWORD, USER

log = logging.getLogger("headframe")

START_SECONDS = 300.0
"""A first start fills fresh databases, which takes some 20 s, and several times that on a busy machine."""

_STOP_SECONDS = 15.0
_PROBE_SECONDS = 0.03

_TAIL = 5
"""Lines of a log that are quoted when a server fails."""

Name = Literal["prefect", "mlflow"]
PORTS: dict[Name, int] = {"prefect": 4200, "mlflow": 5000}
_FOREIGN = {
    "PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_UI_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH",
    "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_REGISTRY_STORE_URI",
    "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_DEFAULT_ARTIFACT_ROOT",
}  # fmt: skip
"""Settings of other servers, which must not leak into ours."""


class Server(Record):
    """One local server.

    `up` responds, `starting` has a process that does not respond yet, `died` was started and is gone, `down`
    was not started.
    """

    name: Name
    state: Literal["up", "starting", "died", "down"]
    address: str = ""
    pid: int | None = None
    log: str = ""  # relative to the project's folder
    link: str = ""  # lets a browser in, once and within ten minutes

    def __str__(self) -> str:
        text = {
            "up": f"{self.address} (process {self.pid})",
            "starting": f"starting at {self.address} (process {self.pid}, log {self.log})",
            "died": f"died; its log is {self.log}, `headframe up` starts it again",
            "down": "down",
        }
        return f"{self.name:8}{text[self.state]}"


class _Entry(Daemon):
    """A process in `servers.json`."""

    port: int
    guarded: bool = False  # an earlier version started servers that let everybody in

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def up(root: Path, *, prefect_port: int | None = None, mlflow_port: int | None = None) -> list[Server]:
    """Start what is not up yet, side by side, and wait until both respond.

    Without a port of its own a server takes that of `PORTS`, or stays where it is up already.

    Raises:
        ConfigurationError: both ports are the same, or a server is up already on another port than the wanted one.
        HeadframeError: a port is taken, or a server does not start; the other one is stopped again. Or they may open
            fewer files, or use less memory, than they need.
    """
    require_files()
    require_memory()
    wanted: dict[Name, int | None] = {"prefect": prefect_port, "mlflow": mlflow_port}
    ports = {name: PORTS[name] if port is None else port for name, port in wanted.items()}
    if ports["prefect"] == ports["mlflow"]:
        msg = f"--prefect-port and --mlflow-port are both {ports['mlflow']}; give each server a port of its own"
        raise ConfigurationError(msg)
    state = Project(root).state
    try:
        state.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"{state} cannot be created ({error.strerror}), but the servers' databases belong there"
        raise HeadframeError(msg) from error
    with FileLock(state / "servers.lock"):
        recorded = _entries(root)
        entries = {name: entry for name, entry in recorded.items() if entry.guarded and entry.process() is not None}
        # What an earlier version started would let everybody in; a server that was killed may have left children,
        # which still hold its port and write to its database.
        terminate([entry for name, entry in recorded.items() if name not in entries], _STOP_SECONDS)
        for name, entry in entries.items():
            if wanted[name] not in (None, entry.port):
                msg = f"{name} is up already on port {entry.port}; to use {wanted[name]}: headframe down, then up"
                raise ConfigurationError(msg)
        missing = {name: port for name, port in ports.items() if name not in entries}
        if not missing and all(_responds(name, entry.port) for name, entry in entries.items()):
            log.info("both servers are up already")
            return status(root)
        for name, port in missing.items():
            _require_free(name, port)
        started: dict[Name, _Entry] = {}
        try:
            for name, port in missing.items():
                started[name] = _start(root, name, port)
                # Recorded at once: if this process is killed while it waits, `down` still finds what it started.
                _record(root, {**entries, **started})
            _wait(root, {**entries, **started})
        except BaseException:
            terminate(started.values(), _STOP_SECONDS)
            _record(root, entries)
            raise
    return status(root)


def down(root: Path) -> list[Server]:
    """Stop the processes that `up` started, and no other, and wait until they are gone."""
    if not Project(root).state.is_dir():
        return status(root)
    with FileLock(Project(root).state / "servers.lock"):
        entries = _entries(root)
        terminate(entries.values(), _STOP_SECONDS)
        _record(root, {})
    return status(root)


def status(root: Path) -> list[Server]:
    """Return for each server whether it runs and responds."""
    entries = _entries(root)
    return [_server(root, name, entries.get(name)) for name in PORTS]


def _server(root: Path, name: Name, entry: _Entry | None) -> Server:
    if entry is None:
        return Server(name=name, state="down")
    log_file = _log_file(root, name).relative_to(root).as_posix()
    if entry.process() is None:
        return Server(name=name, state="died", address=entry.address, log=log_file)
    state: Literal["up", "starting"] = "up" if _responds(name, entry.port) else "starting"
    link = ServerAccess.of(root, name, entry.port).link() if state == "up" else ""
    return Server(name=name, state=state, address=entry.address, pid=entry.pid, log=log_file, link=link)


def environment(root: Path) -> dict[Name, dict[str, str]]:
    """Return what clients of the servers that are up read, the address first; takes milliseconds.

    A server counts as up if the process that was started is alive and its port takes connections: a health check
    would take longer, and a busy server would be passed over.
    """
    return {
        name: _variables(name, entry, ServerAccess.of(root, name, entry.port))
        for name, entry in _entries(root).items()
        if entry.process() is not None and _listens(entry.port)
    }


def _variables(name: Name, entry: _Entry, access: ServerAccess) -> dict[str, str]:
    if name == "prefect":
        return {
            "PREFECT_API_URL": f"{entry.address}/api",
            "PREFECT_UI_URL": access.page,
            "PREFECT_CLIENT_CUSTOM_HEADERS": json.dumps({HEADER: access.secret}),
        }
    return {"MLFLOW_TRACKING_URI": entry.address, LOCAL_SERVER: f"{entry.address} {access.secret}"}


def exports(root: Path) -> dict[str, str]:
    """Return the variables for a shell from which other programs than Headframe's use the servers that are up."""
    found = environment(root)
    variables = {key: value for each in found.values() for key, value in each.items()}
    if "mlflow" in found:
        variables |= {USER: LOCAL_USER, PASSWORD: variables[LOCAL_SERVER].partition(" ")[2]}
    return variables


def _log_file(root: Path, name: Name) -> Path:
    return Project(root).state / "logs" / f"{name}.log"


def _entries(root: Path) -> dict[Name, _Entry]:
    try:
        content: dict[Name, Any] = load_json(Project(root).servers.read_bytes())
        return {name: _Entry.model_validate(content[name]) for name in PORTS if name in content}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        advice = "stop the servers by their process and delete it"
        raise HeadframeError(f"{Project(root).servers} was changed by hand and cannot be read; {advice}") from error


def _record(root: Path, entries: Mapping[Name, _Entry]) -> None:
    if entries:
        plain = {name: entry.model_dump() for name, entry in entries.items()}
        write_atomically(Project(root).servers, json.dumps(plain, indent=2) + "\n")
    else:
        Project(root).servers.unlink(missing_ok=True)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=_PROBE_SECONDS):
        return True
    return False


def _responds(name: Name, port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)  # knows no proxies, which loopback must not use
    try:
        connection.request("GET", HEALTH[name])
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _require_free(name: Name, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            probe.bind((HOST, port))
        except OverflowError as error:
            raise ConfigurationError(f"--{name}-port {port} is no port; choose one from 1024 to 65535") from error
        except OSError as error:
            msg = f"port {port} for {name} cannot be used ({error.strerror}); choose another with --{name}-port"
            raise HeadframeError(msg) from error


def _start(root: Path, name: Name, port: int) -> _Entry:
    output = _log_file(root, name)
    output.parent.mkdir(parents=True, exist_ok=True)
    log.info("%s: starting at http://%s:%d", name, HOST, port)
    with output.open("wb") as stream:
        daemon = start_daemon(_command(root, name, port), environment=_settings(root, name, port), cwd=root, log=stream)
    return _Entry(pid=daemon.pid, created=daemon.created, port=port, guarded=True)


def _command(root: Path, name: Name, port: int) -> list[str]:
    if name == "mlflow":
        from headframe.tracking.client import require_access  # noqa: PLC0415 - only starting needs it

        # Raises if the database is damaged; corrects its locations if it was moved with the project.
        require_access(f"sqlite:///{Project(root).tracking_database}")
    return [sys.executable, "-m", "headframe.server_access", name, str(port)]


def _settings(root: Path, name: Name, port: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return {
        **OFF,
        **inherited,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "PREFECT_HOME": str(Project(root).state / "prefect"),
        # Prefect's pages use port 4200 by default, whatever port their own server has.
        "PREFECT_SERVER_UI_API_URL": f"{ServerAccess.of(root, name, port).page}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job runner alone takes 8 processes
        "PYTHONUNBUFFERED": "1",
    }


def _wait(root: Path, entries: Mapping[Name, _Entry]) -> None:
    began = time.monotonic()
    waiting = dict(entries)
    while waiting:
        for name, entry in list(waiting.items()):
            took = time.monotonic() - began
            if _responds(name, entry.port):
                log.info("%s: responds at %s after %.0f s", name, entry.address, took)
                del waiting[name]
            elif entry.process() is None:
                raise _failure(root, name, "did not start")
            elif took > START_SECONDS:
                raise _failure(root, name, f"did not respond within {START_SECONDS:.0f} s")
        time.sleep(0.2 if waiting else 0)


def _failure(root: Path, name: Name, what: str) -> HeadframeError:
    path = _log_file(root, name)
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    ours = [line.partition(": ")[2] for line in lines if line.startswith(f"{HeadframeError.__module__}.")]
    if ours:
        return HeadframeError(f"{name} {what}: {ours[-1]}")
    quoted = " / ".join(lines[-_TAIL:]) or "nothing"
    return HeadframeError(f"{name} {what}; the end of {path.relative_to(root).as_posix()} says: {quoted}")
