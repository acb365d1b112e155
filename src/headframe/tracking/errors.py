"""MLflow's errors as one sentence with what came and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

from headframe.environment import variable
from headframe.errors import HeadframeError, Unavailable
from headframe.exhaustion import exhausted, full_disk
from headframe.tracking.address import is_server, sqlite_file
from headframe.tracking.credentials import PASSWORD, USER

_REQUEST = re.compile(r"(?:endpoint /?api/|for url: \S+?/api/)[0-9.]+/(?:mlflow/)?(?P<what>[a-z-]+(?:/[a-z-]+)?)")
"""What was requested, in the message of MLflow's client."""

_ADVICE = {
    "out-of-date database schema": "; another version of MLflow made this database: back it up, "
    "then run: mlflow db upgrade {uri}",
    "readonly database": "; make the file and its folder writable",
}
"""What to do, by a phrase of MLflow's message."""


@contextmanager
def readable_errors(uri: str) -> Iterator[None]:
    """Raise what MLflow raises inside as one sentence.

    Raises:
        Unavailable: a server failed at a request, or went away.
        HeadframeError: anything else inside raised a `MlflowException`, or files could not be sent or downloaded.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs seconds
    from requests.exceptions import RequestException  # noqa: PLC0415 - MLflow does not wrap it where files are sent

    try:
        yield
    except MlflowException as error:
        lack = None if is_server(uri) else exhausted(error) or full_disk(sqlite_file(uri).parent)
        if lack is not None:
            raise HeadframeError(f"MLflow's database {uri} cannot be used: {lack}") from error
        raise request_error(uri, error.get_http_status_code(), str(error.message)) from error
    except RequestException as error:
        status = HTTPStatus.INTERNAL_SERVER_ERROR if error.response is None else error.response.status_code
        raise request_error(uri, status, str(error)) from error


def request_error(uri: str, status: int, message: str) -> HeadframeError:
    """Return the error for a request that MLflow refused with this HTTP status and message, with what to do."""
    lines = message.strip().splitlines() or ["no reason given"]
    if is_server(uri) and status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(uri)
    if is_server(uri) and status == HTTPStatus.FORBIDDEN:
        return _forbidden(uri, message)
    kind = Unavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_server(uri) else HeadframeError
    advice = next((each for phrase, each in _ADVICE.items() if phrase in " ".join(lines)), "")
    return kind(f"MLflow at {uri} refused: {lines[0]}{advice.format(uri=uri)}")


def _unauthorized(uri: str) -> HeadframeError:
    user = variable(USER)
    if user and variable(PASSWORD):
        return HeadframeError(
            f"MLflow at {uri} does not know user {user!r} with this password (401); "
            f"correct {USER} and {PASSWORD}, or ask the server's administrator for a new one"
        )
    return HeadframeError(f"MLflow at {uri} asks who you are (401); set {USER} and {PASSWORD}")


def _forbidden(uri: str, message: str) -> HeadframeError:
    if "Invalid Host header" in message:
        return HeadframeError(
            f"MLflow at {uri} does not serve the name {urlsplit(uri).netloc} (403); "
            "start the server with that name among its allowed hosts"
        )
    who = variable(USER) or "you"
    request = _REQUEST.search(message)
    what = f" ({request['what']})" if request else ""
    return HeadframeError(
        f"MLflow at {uri} does not allow this to {who}{what}: 403; it takes another role, which the server's "
        "administrator can grant"
    )
