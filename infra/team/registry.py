"""MLflow's server with passwords and roles, hardened, on PostgreSQL; files go through it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
from database import address, require_free
from folder import Settings, TeamFolder, write_secret

from headframe.daemons import Daemon, start_daemon, terminate
from headframe.digests import write_atomically
from headframe.errors import HeadframeError
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


def start(team: TeamFolder, settings: Settings) -> float:
    """Start the server and wait until it responds; return the seconds that this took.

    Raises:
        HeadframeError: its port is taken, or it does not start.
    """
    if process(team) is not None:
        return 0.0
    require_free(settings.host, settings.port, "--port")
    passwords = team.secrets()
    write_secret(
        team.path / "auth.ini",
        _CONFIGURATION.format(
            database=address(settings, "mlflow_auth", passwords["mlflow_auth"], "mlflow_auth"), admin=ADMIN
        ),
    )
    names = [f"{name}:{settings.port}" for name in ("localhost", "127.0.0.1", settings.host)]
    origins = [*(f"http://{name}" for name in names), *(f"https://{name}" for name in settings.allow)]  # behind a proxy
    command = [
        sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth",
        "--host", settings.host, "--port", str(settings.port), "--workers", str(settings.workers),
        "--serve-artifacts", "--artifacts-destination", team.artifacts.as_uri(),
        "--allowed-hosts", ",".join(dict.fromkeys([*names, *settings.allow])),
        "--cors-allowed-origins", ",".join(dict.fromkeys(origins)),
        "--x-frame-options", "DENY", "--enable-workspaces",
    ]  # fmt: skip
    began = time.monotonic()
    with (team.logs / "mlflow.log").open("ab") as log:
        environment = _environment(team, settings, passwords)
        daemon = start_daemon(command, environment=environment, cwd=team.path, log=log)
    write_atomically(team.path / "mlflow.json", daemon.model_dump_json() + "\n")
    while not is_up(settings):
        took = time.monotonic() - began
        if process(team) is None or took > START_SECONDS:
            stop(team)
            lines = (team.logs / "mlflow.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            msg = f"MLflow did not start; the end of {team.logs / 'mlflow.log'} says: {' / '.join(lines[-_LINES:])}"
            raise HeadframeError(msg)
        time.sleep(0.2)
    return time.monotonic() - began


def _environment(team: TeamFolder, settings: Settings, passwords: dict[str, str]) -> dict[str, str]:
    """Return the server's environment, with passwords, since every user of the machine can read a command line."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PG"))}
    return {
        **OFF,
        **inherited,
        "MLFLOW_BACKEND_STORE_URI": address(settings, "mlflow", passwords["mlflow"], "mlflow"),
        "MLFLOW_AUTH_CONFIG_PATH": str(team.path / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": passwords["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": passwords["flask"],
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_RBAC_SEED_DEFAULT_ROLES": "false",
        "PYTHONUNBUFFERED": "1",
    }


def stop(team: TeamFolder) -> None:
    """Stop the server and its workers, and wait until they are gone."""
    daemon = _noted(team)
    if daemon is not None:
        terminate([daemon], _STOP_SECONDS)
    (team.path / "mlflow.json").unlink(missing_ok=True)


def process(team: TeamFolder) -> psutil.Process | None:
    """Return the process that was started; None where it is gone, even if another has its number now."""
    daemon = _noted(team)
    return None if daemon is None else daemon.process()


def _noted(team: TeamFolder) -> Daemon | None:
    try:
        return Daemon.model_validate_json((team.path / "mlflow.json").read_bytes())
    except FileNotFoundError:
        return None


def is_up(settings: Settings) -> bool:
    """Return whether the server responds."""
    try:
        return httpx.get(f"{settings.uri}/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def set_roles(team: TeamFolder, settings: Settings) -> None:
    """Create the roles of the team that are missing, and set their grants."""
    api = _Administrator(team, settings)
    for role, grants in GRANTS.items():
        number = api.roles().get(role)
        if number is None:
            number = api("POST", "roles/create", workspace="default", name=role)["role"]["id"]
        listed = api("GET", f"roles/permissions/list?role_id={number}")["role_permissions"]
        wanted = {(kind, "*", grant) for kind, grant in grants.items()}
        for each in listed:
            present = (each["resource_type"], each["resource_pattern"], each["permission"])
            if present in wanted:
                wanted.remove(present)
            else:
                api("DELETE", "roles/permissions/remove", role_permission_id=each["id"])
        for kind, pattern, grant in sorted(wanted):
            api(
                "POST", "roles/permissions/add",
                role_id=number, resource_type=kind, resource_pattern=pattern, permission=grant,
            )  # fmt: skip


def set_person(team: TeamFolder, settings: Settings, name: str, roles: tuple[str, ...], password: str) -> None:
    """Let a person sign in with these roles and this password, and no others."""
    api = _Administrator(team, settings)
    if api.has_user(name):
        api("PATCH", "users/update-password", username=name, password=password)
    else:
        api("POST", "users/create", username=name, password=password)
    assigned = {each["name"] for each in api("GET", f"users/roles/list?username={name}")["roles"]}
    for role, number in api.roles().items():
        if role in roles and role not in assigned:
            api("POST", "roles/assign", username=name, role_id=number)
        elif role not in roles and role in assigned:
            api("DELETE", "roles/unassign", username=name, role_id=number)


class _Administrator:
    """Requests to MLflow's server by its administrator."""

    def __init__(self, team: TeamFolder, settings: Settings) -> None:
        self.settings = settings
        self.password = team.secrets()["admin"]

    def __call__(self, method: str, path: str, **fields: Any) -> Any:
        url = f"{self.settings.uri}/api/{_version(path)}/mlflow/{path}"
        # No proxies: requests are made on the machine that the server runs on.
        options: dict[str, Any] = {"auth": (ADMIN, self.password), "timeout": 30, "trust_env": False}
        try:
            response = httpx.request(method, url, json=fields or None, **options)
        except httpx.HTTPError as error:
            msg = f"MLflow at {self.settings.uri} does not respond ({error}); start it with `up`"
            raise HeadframeError(msg) from error
        if response.is_error:
            raise HeadframeError(f"MLflow at {self.settings.uri} refused {path}: {response.text.strip()[:300]}")
        return response.json() if response.content else {}

    def roles(self) -> dict[str, int]:
        """Return the ids of the team's roles, by name."""
        listed = self("GET", "roles/list?workspace=default")["roles"]
        return {each["name"]: each["id"] for each in listed if each["name"] in GRANTS}

    def has_user(self, name: str) -> bool:
        """Return whether there is an account of this name."""
        return name in {each["username"] for each in self("GET", "users/list")["users"]}


def _version(path: str) -> str:
    return "3.0" if path.startswith(("roles/", "users/roles")) else "2.0"
