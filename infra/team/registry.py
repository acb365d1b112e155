"""MLflow's server with passwords and roles, hardened, on PostgreSQL; files go through it."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
from database import address, require_free
from place import Place, Settings, write_secret

from headframe.digests import write_atomically
from headframe.errors import HeadframeError
from headframe.processes import Daemon, terminate
from headframe.telemetry import OFF

if TYPE_CHECKING:
    import psutil

ADMIN = "admin"
START_SECONDS = 180.0
_STOP_SECONDS = 20.0
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
        environment = _environment(place, settings, passwords)
        daemon = Daemon.start(command, environment=environment, cwd=place.folder, log=log)
    write_atomically(place.folder / "mlflow.json", json.dumps(asdict(daemon)) + "\n")
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
    daemon = _noted(place)
    if daemon is not None:
        terminate([daemon], _STOP_SECONDS)
    (place.folder / "mlflow.json").unlink(missing_ok=True)


def process(place: Place) -> psutil.Process | None:
    """Return the process that was started; None where it is gone, even if another has its number now."""
    daemon = _noted(place)
    return None if daemon is None else daemon.process()


def _noted(place: Place) -> Daemon | None:
    try:
        return Daemon(**json.loads((place.folder / "mlflow.json").read_bytes()))
    except FileNotFoundError:
        return None


def answers(settings: Settings) -> bool:
    """Return whether the server answers."""
    try:
        return httpx.get(f"{settings.uri}/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
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
    """Requests to MLflow's server by its administrator."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.settings = settings
        self.password = place.secrets()["admin"]

    def __call__(self, method: str, path: str, **fields: Any) -> Any:
        url = f"{self.settings.uri}/api/{_version(path)}/mlflow/{path}"
        # No proxies: requests are made on the machine that the server runs on.
        options: dict[str, Any] = {"auth": (ADMIN, self.password), "timeout": 30, "trust_env": False}
        try:
            response = httpx.request(method, url, json=fields or None, **options)
        except httpx.HTTPError as error:
            msg = f"MLflow at {self.settings.uri} does not answer ({error}); start it with `up`"
            raise HeadframeError(msg) from error
        if response.is_error:
            msg = f"MLflow at {self.settings.uri} refused {path}: {response.text.strip()[:300]}"
            raise HeadframeError(msg)
        return response.json() if response.content else {}

    def roles(self) -> dict[str, int]:
        """Return the ids of the team's roles, by name."""
        listed = self("GET", "roles/list?workspace=default")["roles"]
        return {each["name"]: each["id"] for each in listed if each["name"] in GRANTS}

    def knows(self, name: str) -> bool:
        """Return whether there is an account of this name."""
        return name in {each["username"] for each in self("GET", "users/list")["users"]}


def _version(path: str) -> str:
    return "3.0" if path.startswith(("roles/", "users/roles")) else "2.0"
