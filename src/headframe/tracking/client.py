"""MLflow's client, ready to use: what must hold before it is used, and downloads of the files that MLflow keeps."""

from __future__ import annotations

import http.client
import logging
import os
import re
import shutil
import socket
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headframe.environment import variable
from headframe.errors import HeadframeError, Unavailable, first_line
from headframe.loopback import bypass_proxies
from headframe.telemetry import switch_off
from headframe.tracking.address import artifact_location, is_server, local_path, sqlite_file
from headframe.tracking.credentials import PASSWORD, TOKEN, USER, use_credentials_for
from headframe.tracking.database import artifacts_of_run, require_database, tags_of_run
from headframe.tracking.errors import readable_errors, request_error

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_SECONDS = 5.0  # in which a server must accept a connection
LEVELS = {"mlflow": logging.ERROR, "mlflow.store.db.utils": logging.CRITICAL, "alembic": logging.WARNING}
"""From which level on a message of MLflow's is shown."""
_FAULT = re.compile(
    r"\b5\d\d (?:Server Error|error responses)|ConnectionError|Connection \w+|Max retries|[Tt]imed? ?out"
)
_SEVERAL = "The following failures occurred"  # first line of MLflow's error about several files


class ArtifactMissing(HeadframeError):
    """A file is not where MLflow keeps it, or cannot be read; the text is the reason alone."""


def require_access(uri: str) -> None:
    """Check, before anything long is done, that its results can be tracked; takes milliseconds.

    Raises:
        Unavailable: the server does not respond.
        HeadframeError: the server refuses this user, or the file is there and cannot be read or written.
    """
    if is_server(uri):
        _require_server(uri)
        _require_account(uri)
    elif sqlite_file(uri).exists():
        require_database(sqlite_file(uri))


def make_client(uri: str) -> MlflowClient:
    """Return a client for runs and registry at `uri`; an SQLite file is created where there is none.

    Raises:
        HeadframeError: the server does not respond, or the file cannot be created, read or written.
    """
    switch_off()
    bypass_proxies()
    _silence()
    if is_server(uri):
        _require_server(uri)
    else:
        require_database(sqlite_file(uri))
    from mlflow import MlflowClient  # noqa: PLC0415 - costs seconds; a server that is down is reported before

    with readable_errors(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def open_client(uri: str) -> Iterator[MlflowClient]:
    """Yield a client as `make_client` returns it; what MLflow raises inside is raised as `readable_errors` has it."""
    client = make_client(uri)
    with readable_errors(uri):
        yield client


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of an experiment, which is created where there is none; of several processes one creates it.

    Raises:
        HeadframeError: the experiment was deleted in MLflow, or cannot be created.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see `make_client`

    # A server decides itself where a new experiment keeps its files.
    place = None if is_server(uri) else artifact_location(sqlite_file(uri))
    with readable_errors(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=place))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise HeadframeError(
            f"experiment {name!r} was deleted in MLflow at {uri}; restore it there or choose another name "
            "with tracking.experiment=NAME"
        )
    return str(found.experiment_id)


def artifacts_uri(run_id: str, uri: str) -> str:
    """Return the address of a run's artifacts; an SQLite file is read directly."""
    if not is_server(uri) and (known := artifacts_of_run(uri, run_id)) is not None:
        return known
    with open_client(uri) as client:
        return str(client.get_run(run_id).info.artifact_uri)


def run_tag(run_id: str, name: str, uri: str) -> str | None:
    """Return the value of a run's tag; an SQLite file is read directly."""
    if not is_server(uri) and (known := tags_of_run(uri, run_id)):
        return known.get(name)
    with open_client(uri) as client:
        value: str | None = client.get_run(run_id).data.tags.get(name)
    return value


def download(location: str, uri: str, folder: Path | None = None) -> Path:
    """Download a file or a folder that MLflow keeps; without a `folder` what is on this machine is not copied.

    Raises:
        Unavailable: the server does not respond now.
        ArtifactMissing: there is no such file, or it cannot be read.
    """
    if not is_server(uri) and (kept := local_path(location)) is not None:
        return _copy(kept, folder)
    make_client(uri)
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - `make_client` imported MLflow
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - `make_client` imported MLflow

    target = None if folder is None else str(folder)
    try:
        return Path(download_artifacts(artifact_uri=location, tracking_uri=uri, registry_uri=uri, dst_path=target))
    except (OSError, MlflowException) as error:  # what `requests` raises is an OSError, too
        reason = _reason(error)
        if is_server(uri) and _is_fault(error):
            msg = f"the MLflow server at {uri} failed to send {location} ({reason}); try again in a minute"
            raise Unavailable(msg) from error
        raise ArtifactMissing(reason) from error


def download_bytes(location: str, uri: str) -> bytes:
    """Return the content of a file; see `download`."""
    with tempfile.TemporaryDirectory() as scratch:
        return download(location, uri, Path(scratch)).read_bytes()


def _copy(kept: Path, folder: Path | None) -> Path:
    """Copy a file or a folder without MLflow, whose import and threads cost more; see `download`."""
    if not kept.exists():
        raise ArtifactMissing(f"No such artifact: '{kept}'")
    if folder is None:
        return kept
    try:
        if kept.is_dir():
            return Path(shutil.copytree(kept, folder / kept.name, dirs_exist_ok=True))
        return Path(shutil.copyfile(kept, folder / kept.name))
    except shutil.Error as error:  # one tuple for each file of a folder that could not be copied
        raise ArtifactMissing(str(error.args[0][0][-1])) from error
    except OSError as error:
        raise ArtifactMissing(first_line(error)) from error


def _is_fault(error: Exception) -> bool:
    """Return whether a server failed; MLflow reports several files in one error, which has no status of its own."""
    response = getattr(error, "response", None)
    if response is not None:
        return bool(response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR)
    return _FAULT.search(f"{type(error).__name__} {error}") is not None


def _reason(error: Exception) -> str:
    """Return the line that says what failed; of several files that of the first one."""
    first = first_line(error)
    if not first.startswith(_SEVERAL):
        return first
    return next((line for line in str(error).splitlines()[1:] if line.strip() and not line.startswith("#")), first)


def _require_server(uri: str) -> None:
    """Raise at once if no server listens; MLflow's own client would retry for minutes before it does."""
    use_credentials_for(uri)
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS):
            return
    except OSError as error:
        raise Unavailable(
            f"the MLflow server at {uri} does not respond ({error}); start it (headframe up) "
            "or unset tracking.uri and MLFLOW_TRACKING_URI"
        ) from None


def _require_account(uri: str) -> None:
    """Raise at once if the password is wrong, not after an hour of training.

    Only what the environment holds is tried; where MLflow may find other credentials, it is left to MLflow.
    """
    elsewhere = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", TOKEN)
    if any(variable(name) for name in elsewhere) or (Path.home() / ".mlflow" / "credentials").is_file():
        return
    parts = urlsplit(uri)
    if parts.scheme == "https":  # whose certificate MLflow's client checks, by settings of its own
        return
    user, password = variable(USER), variable(PASSWORD)
    credentials = b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"} if user and password else {}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=4 * CONNECT_SECONDS)
    try:
        path = f"{parts.path.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise request_error(uri, response.status, response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        msg = f"the MLflow server at {uri} does not respond ({reason}); see whether it is MLflow that listens there"
        raise Unavailable(msg) from None
    finally:
        connection.close()


def _silence() -> None:
    """Keep MLflow's own messages off the terminal; what goes wrong is raised."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # It would print a run's address on stdout, which belongs to the output of the command.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        if logger.level != level:  # setting one makes all loggers forget what they know
            logger.setLevel(level)
