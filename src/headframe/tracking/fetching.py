"""Files fetched from where MLflow keeps them; what goes wrong is told apart and said in one line."""

from __future__ import annotations

import re
from pathlib import Path

from headframe.errors import HeadframeError, Unavailable
from headframe.tracking.address import SERVER_FAULT, is_server, open_client

_FAULT = re.compile(
    r"\b5\d\d (?:Server Error|error responses)|ConnectionError|Connection \w+|Max retries|[Tt]imed? ?out"
)
_SEVERAL = "The following failures occurred"  # what MLflow says first where it was to fetch several files


class Missing(HeadframeError):
    """A file is not where it was kept, or cannot be read; its text is the reason alone."""


def fetch_file(address: str, uri: str, folder: Path | None = None) -> Path:
    """Fetch a file or a folder.

    Args:
        address: where MLflow keeps it.
        uri: MLflow's address.
        folder: to fetch into; None gives what lies on this machine where it lies.

    Raises:
        Unavailable: the server does not answer now.
        Missing: there is no such file, or it cannot be read.
    """
    open_client(uri)
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - `open_client` paid for it
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    into = None if folder is None else str(folder)
    try:
        return Path(download_artifacts(artifact_uri=address, tracking_uri=uri, registry_uri=uri, dst_path=into))
    except (OSError, MlflowException) as error:  # what `requests` raises is an OSError, too
        reason = _reason(error)
        if is_server(uri) and _is_fault(error):
            msg = f"the MLflow server at {uri} failed at giving {address} ({reason}); try again in a minute"
            raise Unavailable(msg) from error
        raise Missing(reason) from error


def _is_fault(error: Exception) -> bool:
    """Say whether a server failed; MLflow tells of several files in one error, which has no status of its own."""
    response = getattr(error, "response", None)
    if response is not None:
        return bool(response.status_code >= SERVER_FAULT)
    return _FAULT.search(f"{type(error).__name__} {error}") is not None


def _reason(error: Exception) -> str:
    """Give the line that says what failed; of several files that of the first one."""
    first = first_line(error)
    if not first.startswith(_SEVERAL):
        return first
    return next((line for line in str(error).splitlines()[1:] if line.strip() and not line.startswith("#")), first)


def first_line(error: BaseException) -> str:
    """Give the first line that an error's text has; where it has none, the error's name."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
