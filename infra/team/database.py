"""PostgreSQL: a cluster of its own, three databases that do not see each other, and what each person may do."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Literal, LiteralString

import psycopg
from folder import Settings, TeamFolder
from psycopg import sql
from psycopg.conninfo import make_conninfo

from headframe.errors import ConfigurationError, HeadframeError

SUPERUSER = "postgres"
LEDGER = "headframe_ledger"
DATABASES = {"mlflow": "mlflow", "mlflow_auth": "mlflow_auth", LEDGER: "headframe_owner"}
"""The role that owns each database."""

ROLES = ("reader", "author", "approver")
_SECONDS = "60"


def group(role: str) -> str:
    """Return the database's name of a role of the team."""
    return f"headframe_{role}"


def start(team: TeamFolder, settings: Settings) -> None:
    """Start the cluster, which is created at the first start.

    Raises:
        HeadframeError: PostgreSQL is not installed, cannot reach the folder, or does not start.
    """
    if is_running(team):
        return
    if not (team.cluster / "PG_VERSION").is_file():
        _make(team)
    require_free(settings.host, settings.database_port, "--database-port")
    _configure(team, settings)
    log = team.cluster / "log"
    done = _as_owner(_program("pg_ctl"), "start", "-D", str(team.cluster), "-l", str(log), "-w", "-t", _SECONDS)
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
        msg = f"PostgreSQL did not start; the end of {log} says: {' / '.join(lines[-3:]) or done.stderr.strip()}"
        raise HeadframeError(msg)


def stop(team: TeamFolder) -> None:
    """Stop the cluster, after what is being written, and wait until it is gone."""
    if is_running(team):
        done = _as_owner(_program("pg_ctl"), "stop", "-D", str(team.cluster), "-m", "fast", "-w", "-t", _SECONDS)
        if done.returncode:
            raise HeadframeError(f"PostgreSQL in {team.cluster} did not stop: {done.stderr.strip()}")


def is_running(team: TeamFolder) -> bool:
    """Return whether the cluster runs."""
    if not (team.cluster / "PG_VERSION").is_file():
        return False
    return _as_owner(_program("pg_ctl"), "status", "-D", str(team.cluster)).returncode == 0


def require_free(host: str, port: int, option: str) -> None:
    """Raise a HeadframeError if the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            msg = f"{host}:{port} cannot be used ({error.strerror}); choose another port with {option}"
            raise HeadframeError(msg) from error


def prepare(team: TeamFolder, settings: Settings) -> None:
    """Create the databases, their owners and the roles of the team that are missing."""
    passwords = team.secrets()
    with connect(team, settings, "postgres") as connection:
        for role in map(group, ROLES):
            _role(connection, role, "NOLOGIN")
        for name, owner in DATABASES.items():
            _role(connection, owner, "LOGIN")
            _set_password(connection, owner, passwords[owner])
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                _run(connection, "CREATE DATABASE {} OWNER {}", name, owner)
            _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
        for role in map(group, ROLES):
            _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", LEDGER, role)
        for name in ("postgres", "template1") if settings.own else ():
            _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)


def set_roles(team: TeamFolder, settings: Settings) -> None:
    """Grant each role of the team its rights on the ledger's tables: read, append, and note where an alias points.

    Only the owner may change or remove what was appended, and no person signs in as the owner.
    """
    with connect(team, settings, LEDGER) as connection:
        _run(connection, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for role in map(group, ROLES):
            _run(connection, "GRANT USAGE ON SCHEMA public TO {}", role)
            _run(connection, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", role)
            _run(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role)
        for role in map(group, ("author", "approver")):
            _run(connection, "GRANT INSERT ON entries TO {}", role)
            _run(connection, "GRANT INSERT, UPDATE ON projected TO {}", role)


def set_person(team: TeamFolder, settings: Settings, name: str, roles: tuple[str, ...], password: str) -> None:
    """Let a person sign in with these roles and this password, and no others."""
    with connect(team, settings, "postgres") as connection:
        _role(connection, name, "LOGIN")
        _set_password(connection, name, password)
        for role in ROLES:
            _run(connection, "GRANT {} TO {}" if role in roles else "REVOKE {} FROM {}", group(role), name)


def address(settings: Settings, user: str, password: str, database: str) -> str:
    """Return the address as SQLAlchemy takes it."""
    return f"postgresql+psycopg://{user}:{password}@{settings.database_host}:{settings.database_port}/{database}"


def connect(team: TeamFolder, settings: Settings, database: str) -> psycopg.Connection:
    """Connect as who may make roles and databases.

    Raises:
        HeadframeError: PostgreSQL does not respond, or does not know the user.
    """
    ours = {"user": SUPERUSER, "password": team.secrets()["postgres"]} if settings.own else {}
    named = make_conninfo(host=settings.database_host, port=settings.database_port, dbname=database, **ours)
    try:
        return psycopg.connect(named, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        advice = "start it with `up`" if settings.own else "set PGUSER and PGPASSWORD of who may make roles"
        where = f"{settings.database_host}:{settings.database_port}"
        msg = f"PostgreSQL at {where} does not let us in ({str(error).strip().splitlines()[-1]}); {advice}"
        raise HeadframeError(msg) from error


def _role(connection: psycopg.Connection, name: str, kind: Literal["LOGIN", "NOLOGIN"]) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
        _run(connection, "CREATE ROLE {} " + kind, name)


def _set_password(connection: psycopg.Connection, name: str, password: str) -> None:
    """Set a password; only its verifier is sent, so that no log of a statement can hold it."""
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier)))


def _run(connection: psycopg.Connection, statement: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _make(team: TeamFolder) -> None:
    """Create the cluster: a password is required of every user, also on this machine, and pages have checksums."""
    with tempfile.TemporaryDirectory() as scratch:
        secret = Path(scratch) / "password"
        secret.touch(mode=0o600)
        secret.write_text(team.secrets()["postgres"] + "\n", encoding="utf-8")
        if os.geteuid() == 0:
            team.cluster.mkdir(mode=0o700, exist_ok=True)
            for each in (team.cluster, Path(scratch), secret):
                shutil.chown(each, SUPERUSER)
        done = _as_owner(
            _program("initdb"), "-D", str(team.cluster), "-U", SUPERUSER, "--pwfile", str(secret),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums",
        )  # fmt: skip
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise HeadframeError(
            f"the cluster in {team.cluster} cannot be created ({lines[-1] if lines else 'no output of initdb'}); "
            "PostgreSQL's user must be able to reach that folder"
        )


def _configure(team: TeamFolder, settings: Settings) -> None:
    """Write where the cluster listens and to whom: the servers' own databases are reached from this machine alone."""
    lines = [
        "# written by infra/team at every start",
        f"listen_addresses = '{settings.host}'",
        f"port = {settings.database_port}",
        "unix_socket_directories = ''",
        "password_encryption = 'scram-sha-256'",
        "logging_collector = off",
    ]
    access = ["# written by infra/team at every start", f"host all all {settings.host}/32 scram-sha-256"]
    if not settings.host.startswith("127."):
        access.append(f"host {LEDGER} all all scram-sha-256")
    _write_as_owner(team.cluster / "team.conf", "\n".join(lines) + "\n")
    _write_as_owner(team.cluster / "pg_hba.conf", "\n".join(access) + "\n")
    main = team.cluster / "postgresql.conf"
    if "include 'team.conf'" not in main.read_text(encoding="utf-8"):
        with main.open("a", encoding="utf-8") as stream:
            stream.write("include 'team.conf'\n")


def _write_as_owner(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(file, SUPERUSER)


def _as_owner(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL's, which refuses root, as the user who may run it."""
    prefix = ("runuser", "-u", SUPERUSER, "--") if os.geteuid() == 0 else ()
    return subprocess.run(
        [*prefix, *command], cwd="/", text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )


def _program(name: str) -> str:
    """Find a program of PostgreSQL's: on the path, else where Debian installs each version."""
    found = shutil.which(name) or max(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=None)
    if found is None:
        msg = f"{name} is not installed; install PostgreSQL, or name a server with PGHOST, PGUSER and PGPASSWORD"
        raise ConfigurationError(msg)
    return found
