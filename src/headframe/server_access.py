"""Who gets into the servers of `headframe up`: programs by a secret, browsers by a one-time link, and nobody else.

Prefect lets everybody run commands who reaches its port, another user of the machine as well as any web page. So each
server runs behind a guard: `python -m headframe.server_access NAME PORT`, in the project's folder.
"""

import base64
import binascii
import hashlib
import hmac
import http
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

from headframe.config.project import Project
from headframe.loopback import why_foreign
from headframe.permissions import keep_private

HOST = "127.0.0.1"
HEADER = "X-Headframe-Secret"
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
"""Paths that need no secret: whether a server responds is asked before it is known that it is ours."""

_OPEN = "/headframe-open"
_COOKIE = "headframe"
_COOKIE_SECONDS = 30 * 24 * 3600
_LINK_SECONDS = 600
_SAFE = (b"content-security-policy", b"frame-ancestors 'self'"), (b"referrer-policy", b"same-origin")

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


@dataclass(frozen=True)
class ServerAccess:
    """What opens one server.

    Attributes:
        name: of the server.
        port: of the server.
        key: of the project, from which the secrets of its servers are derived.
    """

    name: str
    port: int
    key: str

    @classmethod
    def of(cls, root: Path, name: str, port: int) -> "ServerAccess":
        """Read the key of a project's servers, which the first call draws."""
        file = Project(root).state / "servers.key"
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(32))
        return cls(name, port, file.read_text(encoding="ascii"))

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.key.encode(), f"{self.name} {self.port} {purpose}".encode(), hashlib.sha256).hexdigest()

    @property
    def secret(self) -> str:
        """What programs send."""
        return self._derived("secret")

    @property
    def cookie(self) -> str:
        """What a browser sends that was let in."""
        return self._derived("cookie")

    @property
    def page(self) -> str:
        """The address for browsers; its name, which leads to this machine, belongs to this server alone.

        A browser sends a cookie of 127.0.0.1 to every port of it, thus to servers of other users, too.
        """
        return f"http://{self.name}-{self._derived('name')[:16]}.localhost:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What clients may call the server."""
        return (f"{HOST}:{self.port}", f"localhost:{self.port}", self.page.removeprefix("http://"))

    def link(self) -> str:
        """Return an address that lets a browser in, once and within ten minutes."""
        code = f"{int(time.time()) + _LINK_SECONDS}.{secrets.token_hex(8)}"
        return f"{self.page}{_OPEN}?{code}.{self._derived(code)}"

    def link_expires(self, query: str) -> int | None:
        """Return when the link with this query expires (seconds since 1970); None where it is no link of ours."""
        code, _, mark = query.rpartition(".")
        if not hmac.compare_digest(mark.encode(), self._derived(code).encode()):
            return None
        expires = int(code.partition(".")[0])
        return expires if expires > time.time() else None


class Guard:
    """An ASGI application in front of a server's own."""

    def __init__(self, app: _App, access: ServerAccess) -> None:
        self.app = app
        self.access = access
        self._used: dict[str, int] = {}

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Pass on what may come in, and refuse the rest."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        foreign = why_foreign(headers.get("host", ""), headers.get("origin"), self.access.hosts)
        if foreign is not None:
            await _refuse(scope, send, http.HTTPStatus.FORBIDDEN, foreign)
        elif scope["type"] == "http" and scope["path"] == _OPEN:
            await self._open(scope, headers, send)
        elif self._is_health(scope) or self._is_known(headers):
            await self.app(scope, receive, _closed(send))
        else:
            advice = "for a browser: `headframe status` prints a link; for programs: headframe status --export"
            await _refuse(scope, send, http.HTTPStatus.UNAUTHORIZED, f"this server is its owner's alone; {advice}")

    def _is_health(self, scope: _Message) -> bool:
        return scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == HEALTH[self.access.name]

    def _is_known(self, headers: dict[str, str]) -> bool:
        shown = [headers.get(HEADER.lower(), "")]
        kind, _, credentials = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                shown.append(base64.b64decode(credentials).decode().partition(":")[2])
            except (binascii.Error, UnicodeDecodeError):
                return False
        return any(hmac.compare_digest(each.encode(), self.access.secret.encode()) for each in shown) or (
            hmac.compare_digest(_cookie(headers).encode(), self.access.cookie.encode())
        )

    async def _open(self, scope: _Message, headers: dict[str, str], send: _Send) -> None:
        """Let a browser in; a link that was used is of no use to who reads it in a history or a log."""
        query = scope["query_string"].decode("latin-1")
        expires = self.access.link_expires(query)
        self._used = {used: until for used, until in self._used.items() if until > time.time()}
        to_pages = [(b"location", b"/"), *_SAFE]
        if expires is not None and query not in self._used:
            self._used[query] = expires
            flags = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={_COOKIE_SECONDS}"
            cookie = (b"set-cookie", f"{_COOKIE}={self.access.cookie}; {flags}".encode())
            await _respond(send, http.HTTPStatus.SEE_OTHER, b"", [*to_pages, cookie])
        elif hmac.compare_digest(_cookie(headers).encode(), self.access.cookie.encode()):
            await _respond(send, http.HTTPStatus.SEE_OTHER, b"", to_pages)
        else:
            message = "this link was used or has expired; `headframe status` prints another"
            await _refuse(scope, send, http.HTTPStatus.FORBIDDEN, message)


def _cookie(headers: dict[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _closed(send: _Send) -> _Send:
    """Remove what would let pages of other servers read a response, and what would let them frame it."""

    async def closed(message: _Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(b"access-control-")]
            message["headers"] = [*kept, *_SAFE]
        await send(message)

    return closed


async def _refuse(scope: _Message, send: _Send, status: http.HTTPStatus, message: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message})
    else:
        await _respond(send, status, f"{message}\n".encode(), list(_SAFE))


async def _respond(send: _Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": int(status), "headers": [kind, *headers]})
    await send({"type": "http.response.body", "body": body})


def _mlflow(root: Path, access: ServerAccess) -> str:
    """Prepare MLflow's server, and return where its application is."""
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(access.hosts)  # read at the import
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(f"http://{host}" for host in access.hosts)
    from mlflow.server import constants  # noqa: PLC0415 - seconds

    from headframe.tracking.client import make_client  # noqa: PLC0415 - the guard alone needs no MLflow

    project = Project(root)
    database = f"sqlite:///{project.tracking_database}"
    make_client(database)
    # Experiments made through the server get the same kind of location as those made without it, so that each
    # kind of client reads the other's files; the proxy's own scheme could be read through a server only.
    artifacts = project.artifacts.as_uri()
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: database,
            constants.REGISTRY_STORE_URI_ENV_VAR: database,
            constants.ARTIFACT_ROOT_ENV_VAR: artifacts,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    return "mlflow.server.fastapi_app:app"


def main() -> None:
    """Run one server until it is stopped."""
    import uvicorn  # noqa: PLC0415 - only the program needs it
    from uvicorn.importer import import_from_string  # noqa: PLC0415 - only the program needs it

    name, port, root = sys.argv[1], int(sys.argv[2]), Path.cwd()
    keep_private()
    access = ServerAccess.of(root, name, port)
    if name == "mlflow":
        app = import_from_string(_mlflow(root, access))
    else:
        app = import_from_string("prefect.server.api.server:create_app")(final=True)
    uvicorn.run(Guard(app, access), host=HOST, port=port, log_level="info", access_log=False, server_header=False)


if __name__ == "__main__":
    main()
