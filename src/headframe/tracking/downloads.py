"""Downloads of files that MLflow keeps; an error is a server's or the file's, in one line."""

from __future__ import annotations

import re
from pathlib import Path

from headframe.errors import HeadframeError, Unavailable
from headframe.tracking.address import is_server
from headframe.tracking.client import make_client
from headframe.tracking.errors import SERVER_FAULT, first_line

_FAULT = re.compile(
    r"\b5\d\d (?:Server Error|error responses)|ConnectionError|Connection \w+|Max retries|[Tt]imed? ?out"
)
_SEVERAL = "The following failures occurred"  # first line of MLflow's error about several files


class ArtifactMissing(HeadframeError):
    """A file is not where MLflow keeps it, or cannot be read; the text is the reason alone."""


def download(location: str, uri: str, folder: Path | None = None) -> Path:
    """Download a file or a folder.

    Args:
        location: where MLflow keeps it.
        uri: MLflow's address.
        folder: to download into; with None what is on this machine is not copied.

    Raises:
        Unavailable: the server does not answer now.
        ArtifactMissing: there is no such file, or it cannot be read.
    """
    make_client(uri)
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - `make_client` imported MLflow
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    into = None if folder is None else str(folder)
    try:
        return Path(download_artifacts(artifact_uri=location, tracking_uri=uri, registry_uri=uri, dst_path=into))
    except (OSError, MlflowException) as error:  # what `requests` raises is an OSError, too
        reason = _reason(error)
        if is_server(uri) and _is_fault(error):
            msg = f"the MLflow server at {uri} failed to send {location} ({reason}); try again in a minute"
            raise Unavailable(msg) from error
        raise ArtifactMissing(reason) from error


def _is_fault(error: Exception) -> bool:
    """Return whether a server failed; MLflow reports several files in one error, which has no status of its own."""
    response = getattr(error, "response", None)
    if response is not None:
        return bool(response.status_code >= SERVER_FAULT)
    return _FAULT.search(f"{type(error).__name__} {error}") is not None


def _reason(error: Exception) -> str:
    """Return the line that says what failed; of several files that of the first one."""
    first = first_line(error)
    if not first.startswith(_SEVERAL):
        return first
    return next((line for line in str(error).splitlines()[1:] if line.strip() and not line.startswith("#")), first)
