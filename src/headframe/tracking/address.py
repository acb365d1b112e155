"""Where MLflow is, and a client for it that is ready to use."""

from __future__ import annotations

import base64
import http.client
import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from headframe.config.plan.serving import TrackingConfig
from headframe.config.project import Project
from headframe.errors import ConfigurationError, HeadframeError, Unavailable
from headframe.telemetry import switch_off

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = "sqlite:///"
SERVER = ("http", "https")
NOT_KNOWN = 401  # HTTP status of who gave no password, or a wrong one
NOT_ALLOWED = 403
SERVER_FAULT = 500  # HTTP status from which on the server is at fault, not what it was asked
PATIENCE = 5.0  # seconds in which a server must accept a connection
USER, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
"""What MLflow's client introduces itself with."""

_ASKED = re.compile(r"(?:endpoint /?api/|for url: \S+?/api/)[0-9.]+/(?:mlflow/)?(?P<what>[a-z-]+(?:/[a-z-]+)?)")
"""What was asked for, in what MLflow's client says of a refusal."""

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's tables name the place of files, always absolute; a test looks for others."""


def is_server(uri: str) -> bool:
    """Say whether an address names a server, not a file."""
    return urlsplit(uri).scheme in SERVER


def tracking_uri(tracking: TrackingConfig, root: Path) -> str:
    """Give MLflow's address: the plan's, else `MLFLOW_TRACKING_URI`, else a database in the project's own folder.

    Raises:
        ConfigurationError: the address names neither a server nor an SQLite file, or holds a password.
    """
    uri = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return f"{FILE}{Project(root).tracking_database}"
    scheme = urlsplit(uri).scheme
    if scheme not in (*SERVER, "sqlite"):
        msg = (
            f"tracking.uri (or MLFLOW_TRACKING_URI) is {uri!r}; expected http(s)://HOST:PORT of an MLflow server "
            "or sqlite:////ABSOLUTE/PATH.db"
        )
        raise ConfigurationError(msg)
    if scheme in SERVER and "@" in urlsplit(uri).netloc:  # not quoted: runs, tags and records would hold it, too
        msg = f"tracking.uri (or MLFLOW_TRACKING_URI) holds a password; put it into {USER} and {PASSWORD}"
        raise ConfigurationError(msg)
    if scheme == "sqlite" and not database(uri).is_absolute():
        return f"{FILE}{(root / database(uri)).resolve()}"
    return uri


def place(uri: str, root: Path) -> str:
    """Name the address as it reads on any machine: a file inside the project relative to the project's folder."""
    if is_server(uri):
        return uri
    file = database(uri)
    return f"{FILE}{file.relative_to(root).as_posix()}" if file.is_relative_to(root) else uri


def database(uri: str) -> Path:
    """Give the file of an `sqlite:///` address."""
    return Path(uri.removeprefix(FILE))


def artifacts(uri: str) -> str | None:
    """Give where a new experiment keeps its files: beside an SQLite file; a server decides that itself (None)."""
    if is_server(uri):
        return None
    return (database(uri).parent / "artifacts").as_uri()


def require(uri: str) -> None:
    """Make sure, before anything long is done, that what comes of it can be tracked; takes milliseconds.

    Raises:
        Unavailable: the server does not answer.
        HeadframeError: the server does not know who asks, or the file is there and cannot be read or written.
    """
    if is_server(uri):
        _require_server(uri)
        _require_account(uri)
    elif database(uri).exists():
        _require_database(database(uri))


def open_client(uri: str) -> MlflowClient:
    """Give a client for runs and registry at `uri`; an SQLite file is made where there is none.

    Raises:
        HeadframeError: the server does not answer, or the file cannot be made, read or written.
    """
    switch_off()
    _quieten()
    if is_server(uri):
        _require_server(uri)
    else:
        _require_database(database(uri))
    from mlflow import MlflowClient  # noqa: PLC0415 - costs seconds; a server that is down is said before

    with speaking(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def speaking(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one sentence.

    Raises:
        Unavailable: a server failed at what it was asked, or went away.
        HeadframeError: anything else inside raised a `MlflowException`, or files could not be sent or fetched.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see `open_client`
    from requests.exceptions import RequestException  # noqa: PLC0415 - of files MLflow lets it through as it is

    try:
        yield
    except MlflowException as error:
        raise _refusal(uri, error.get_http_status_code(), str(error.message)) from error
    except RequestException as error:
        status = SERVER_FAULT if error.response is None else error.response.status_code
        raise _refusal(uri, status, str(error)) from error


def _refusal(uri: str, status: int, message: str) -> HeadframeError:
    """Say in one sentence what MLflow refused, and what to do."""
    lines = message.strip().splitlines() or ["no reason given"]
    if is_server(uri) and status == NOT_KNOWN:
        return _stranger(uri)
    if is_server(uri) and status == NOT_ALLOWED:
        return _forbidden(uri, message)
    kind = Unavailable if status >= SERVER_FAULT and is_server(uri) else HeadframeError
    return kind(f"MLflow at {uri} refused: {lines[0]}{_advice(' '.join(lines), uri)}")


def _stranger(uri: str) -> HeadframeError:
    user = os.environ.get(USER)
    if user and os.environ.get(PASSWORD):
        return HeadframeError(
            f"MLflow at {uri} does not know user {user!r} with this password (401); "
            f"correct {USER} and {PASSWORD}, or ask whoever runs the server for a new one"
        )
    return HeadframeError(f"MLflow at {uri} asks who you are (401); set {USER} and {PASSWORD}")


def _forbidden(uri: str, message: str) -> HeadframeError:
    if "Invalid Host header" in message:
        return HeadframeError(
            f"MLflow at {uri} does not answer to the name {urlsplit(uri).netloc} (403); "
            "start the server with that name among its allowed hosts"
        )
    who = os.environ.get(USER) or "you"
    asked = _ASKED.search(message)
    what = f" ({asked['what']})" if asked else ""
    return HeadframeError(
        f"MLflow at {uri} does not allow this to {who}{what}: 403; it takes another role, which whoever runs the "
        "server can give"
    )


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """Give the id of an experiment, and make it where there is none; of several processes one makes it.

    Raises:
        HeadframeError: the experiment was deleted in MLflow, or cannot be made.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see `open_client`

    with speaking(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                made: str = client.create_experiment(name, artifact_location=artifacts(uri))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)
            else:
                return made
    if found is None or found.lifecycle_stage != "active":
        msg = (
            f"experiment {name!r} was deleted in MLflow at {uri}; restore it there or choose another name "
            "with tracking.experiment=NAME"
        )
        raise HeadframeError(msg)
    return str(found.experiment_id)


def _require_server(uri: str) -> None:
    """MLflow's own client would retry for minutes before it says that nobody listens."""
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=PATIENCE):
            return
    except OSError as error:
        msg = (
            f"the MLflow server at {uri} does not answer ({error}); start it (headframe up) "
            "or unset tracking.uri and MLFLOW_TRACKING_URI"
        )
        raise Unavailable(msg) from None


def _require_account(uri: str) -> None:
    """A wrong password must be said before an hour of training, not after it.

    Only what the environment holds is tried; where MLflow may find another introduction, it is left to MLflow.
    """
    elsewhere = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", TOKEN)
    if any(os.environ.get(name) for name in elsewhere) or (Path.home() / ".mlflow" / "credentials").is_file():
        return
    parts = urlsplit(uri)
    if parts.scheme == "https":  # whose certificate MLflow's client checks, by settings of its own
        return
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    told = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {told}"} if user and password else {}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=4 * PATIENCE)
    try:
        path = f"{parts.path.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status in (NOT_KNOWN, NOT_ALLOWED):
            raise _refusal(uri, answer.status, answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        msg = f"the MLflow server at {uri} does not answer ({said}); see whether it is MLflow that listens there"
        raise Unavailable(msg) from None
    finally:
        connection.close()


def _require_database(file: Path) -> None:
    """Make sure that an SQLite file is there and can be written.

    A new one is filled under another name and renamed: MLflow's 60 migrations take seconds, and a kill, or a
    second process, in the midst of them would leave a database that MLflow refuses ever after. While nobody
    else can see the file, nothing has to reach the disk after each statement, which halves the time.
    """
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_name(f".{file.name}.lock")):
                if not file.exists():
                    _create_database(file)
        with sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=20) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _follow(connection, file)
        connection.close()
    except (OSError, sqlite3.Error) as error:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        advice = "restore a copy of it, or move it away and a new one is made" if damaged else "make it a writable file"
        msg = (
            f"MLflow's database {file} cannot be opened for writing ({error}); {advice}, "
            "or name another with tracking.uri"
        )
        raise HeadframeError(msg) from error


def _follow(connection: sqlite3.Connection, file: Path) -> None:
    """Have a database that was moved or copied with its files, as a project's folder is, name where they are now."""
    now = str(artifacts(f"{FILE}{file}"))
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return
    first = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    before = first[0].removesuffix("/0") if first else now
    if before == now or not (file.parent / "artifacts").is_dir():
        return
    for table, column in ADDRESSES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) IN (?, ?)",  # noqa: S608
            (now, len(before) + 1, len(before) + 1, before, f"{before}/"),
        )


def _create_database(file: Path) -> None:
    import sqlalchemy  # noqa: PLC0415 - only a new project needs it
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - see `open_client`

    fresh = file.with_name(f".{file.name}.fresh")
    fresh.unlink(missing_ok=True)
    uri = f"{FILE}{fresh}"

    def hurry(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", hurry)
    try:
        with speaking(uri):
            store = SqlAlchemyStore(uri, str(artifacts(f"{FILE}{file}")))
            store.engine.dispose()
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", hurry)
    with fresh.open("rb+") as stream:
        os.fsync(stream.fileno())
    fresh.rename(file)


def _quieten() -> None:
    """Keep MLflow's narration off the terminal; what goes wrong is raised and said once."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # It would tell a run's address on stdout, which belongs to the answer of the command.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _advice(said: str, uri: str) -> str:
    if "out-of-date database schema" in said:
        return f"; another version of MLflow made this database: back it up, then run: mlflow db upgrade {uri}"
    if "readonly database" in said:
        return "; make the file and its folder writable"
    return ""
