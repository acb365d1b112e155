"""MLflow's server with passwords and roles, hardened, on PostgreSQL; files go through it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import psutil
from database import address, require_free
from place import Place, Settings, write_secret

from headframe.digests import write_atomically
from headframe.errors import HeadframeError
from headframe.telemetry import OFF

ADMIN = "admin"
START_SECONDS = 180.0
_STOP_SECONDS = 20.0
_SAME_PROCESS_SECONDS = 1.0
_LINES = 5

# What the parts of a run or a model are, to MLflow; a grant on one of them decides alone, so that who made an
# experiment or a model, which MLflow lets them manage, still removes nothing from it.
_PARTS = ("run", "logged_model", "registered_model_version")
GRANTS: dict[str, dict[str, str]] = {
    "reader": {"experiment": "READ", "registered_model": "READ"},
    "author": {"workspace": "USE", "experiment": "EDIT", "registered_model": "EDIT", **dict.fromkeys(_PARTS, "EDIT")},
    "approver": {
        "experiment": "READ",
        "run": "EDIT",  # which holds the reports of a version's gates; to start one takes more
        "registered_model": "EDIT",
        "registered_model_version": "EDIT",
    },
}
"""What each role of the team may do to all resources of a kind."""

_CONFIGURATION = """\
# written by infra/team at every start
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {database}
admin_username = {admin}
# A password is hashed at most once a minute for each user and worker, not at each request, which makes logging a run
# several times as fast; one that was changed is therefore still taken for up to a minute.
auth_cache_ttl_seconds = 60
"""


def start(place: Place, settings: Settings) -> float:
    """Start the server and wait until it answers; gives the seconds that this took.

    Raises:
        HeadframeError: its port is taken, or it does not start.
    """
    if process(place) is not None:
        return 0.0
    require_free(settings.host, settings.port, "--port")
    passwords = place.secrets()
    write_secret(
        place.folder / "auth.ini",
        _CONFIGURATION.format(
            database=address(settings, "mlflow_auth", passwords["mlflow_auth"], "mlflow_auth"), admin=ADMIN
        ),
    )
    names = [f"{name}:{settings.port}" for name in ("localhost", "127.0.0.1", settings.host)]
    command = [
        sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth",
        "--host", settings.host, "--port", str(settings.port), "--workers", str(settings.workers),
        "--serve-artifacts", "--artifacts-destination", place.artifacts.as_uri(),
        "--allowed-hosts", ",".join(dict.fromkeys([*names, *settings.allow])),
        "--cors-allowed-origins", ",".join(dict.fromkeys(f"http://{name}" for name in names)),
        "--x-frame-options", "DENY", "--enable-workspaces",
    ]  # fmt: skip
    began = time.monotonic()
    with (place.logs / "mlflow.log").open("ab") as log:
        started = subprocess.Popen(
            command, cwd=place.folder, env=_environment(place, settings, passwords),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    started.returncode = 0  # nobody waits for it: it outlives this process
    note = {"pid": started.pid, "created": psutil.Process(started.pid).create_time()}
    write_atomically(place.folder / "mlflow.json", json.dumps(note) + "\n")
    while not answers(settings):
        took = time.monotonic() - began
        if process(place) is None or took > START_SECONDS:
            stop(place)
            said = (place.logs / "mlflow.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            msg = f"MLflow did not start; the end of {place.logs / 'mlflow.log'} says: {' / '.join(said[-_LINES:])}"
            raise HeadframeError(msg)
        time.sleep(0.2)
    return time.monotonic() - began


def _environment(place: Place, settings: Settings, passwords: dict[str, str]) -> dict[str, str]:
    """What the server is told; passwords go this way, since everybody on the machine can read a command line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PG"))}
    return {
        **OFF,
        **kept,
        "MLFLOW_BACKEND_STORE_URI": address(settings, "mlflow", passwords["mlflow"], "mlflow"),
        "MLFLOW_AUTH_CONFIG_PATH": str(place.folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": passwords["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": passwords["flask"],
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_RBAC_SEED_DEFAULT_ROLES": "false",
        "PYTHONUNBUFFERED": "1",
    }


def stop(place: Place) -> None:
    """Stop the server and its workers, and wait until they are gone."""
    leader = process(place)
    if leader is not None:
        family = [leader, *leader.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.terminate()
        _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for each in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)
    (place.folder / "mlflow.json").unlink(missing_ok=True)


def process(place: Place) -> psutil.Process | None:
    """Give the process that was started; None where it is gone, even if another has its number now."""
    try:
        note = json.loads((place.folder / "mlflow.json").read_bytes())
        found = psutil.Process(note["pid"])
        same = abs(found.create_time() - note["created"]) < _SAME_PROCESS_SECONDS
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None


def answers(settings: Settings) -> bool:
    """Say whether the server answers."""
    try:
        with _opener.open(f"{settings.uri}/health", timeout=2):
            return True
    except OSError:
        return False


def allow(place: Place, settings: Settings) -> None:
    """Make the roles of the team with their grants, whatever of them is missing."""
    ask = _Administrator(place, settings)
    for role, grants in GRANTS.items():
        number = ask.roles().get(role)
        if number is None:
            number = ask("POST", "roles/create", workspace="default", name=role)["role"]["id"]
        listed = ask("GET", f"roles/permissions/list?role_id={number}")["role_permissions"]
        wanted = {(kind, "*", grant) for kind, grant in grants.items()}
        for each in listed:
            has = (each["resource_type"], each["resource_pattern"], each["permission"])
            if has in wanted:
                wanted.remove(has)
            else:
                ask("DELETE", "roles/permissions/remove", role_permission_id=each["id"])
        for kind, pattern, grant in sorted(wanted):
            ask(
                "POST", "roles/permissions/add",
                role_id=number, resource_type=kind, resource_pattern=pattern, permission=grant,
            )  # fmt: skip


def give(place: Place, settings: Settings, name: str, roles: tuple[str, ...], password: str) -> None:
    """Let a person sign in with these roles and this password, and no others."""
    ask = _Administrator(place, settings)
    if ask.knows(name):
        ask("PATCH", "users/update-password", username=name, password=password)
    else:
        ask("POST", "users/create", username=name, password=password)
    has = {each["name"] for each in ask("GET", f"users/roles/list?username={name}")["roles"]}
    for role, number in ask.roles().items():
        if role in roles and role not in has:
            ask("POST", "roles/assign", username=name, role_id=number)
        elif role not in roles and role in has:
            ask("DELETE", "roles/unassign", username=name, role_id=number)


class _Administrator:
    """What MLflow's administrator may ask its server."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.settings = settings
        told = f"{ADMIN}:{place.secrets()['admin']}".encode()
        self.headers = {"Authorization": f"Basic {base64.b64encode(told).decode()}", "Content-Type": "application/json"}

    def __call__(self, method: str, path: str, **fields: Any) -> Any:
        body = json.dumps(fields).encode() if fields else None
        url = f"{self.settings.uri}/api/{_version(path)}/mlflow/{path}"
        try:
            request = urllib.request.Request(url, body, self.headers, method=method)  # noqa: S310 - ours, and http
            with _opener.open(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()
            msg = f"MLflow at {self.settings.uri} refused {path}: {said[:300]}"
            raise HeadframeError(msg) from error
        except OSError as error:
            msg = f"MLflow at {self.settings.uri} does not answer ({error}); start it with `up`"
            raise HeadframeError(msg) from error

    def roles(self) -> dict[str, int]:
        """Number the roles of the team."""
        listed = self("GET", "roles/list?workspace=default")["roles"]
        return {each["name"]: each["id"] for each in listed if each["name"] in GRANTS}

    def knows(self, name: str) -> bool:
        """Say whether somebody of this name has an account."""
        return name in {each["username"] for each in self("GET", "users/list")["users"]}


def _version(path: str) -> str:
    return "3.0" if path.startswith(("roles/", "users/roles")) else "2.0"


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Knows no proxies: the servers are asked on the machine that they run on."""
