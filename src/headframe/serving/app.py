"""The serving application: MLflow's scoring protocol, with a message of one sentence for each error."""

import asyncio
import json
import logging
import math
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
from mlflow.version import VERSION
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from headframe.errors import ConfigurationError, DataError, Unavailable
from headframe.loopback import why_foreign
from headframe.prediction.predictor import Predictor
from headframe.prediction.schema import json_rows, json_value
from headframe.prediction.threads import limit_threads
from headframe.registry.versions import ModelVersion
from headframe.serving import protocol
from headframe.serving.json_stream import TooLarge
from headframe.serving.limits import LONGEST, release_memory, request_bytes, small_bytes

log = logging.getLogger("headframe")

SECONDS = 30.0
"""In which a request must have arrived and its computation must have begun."""

QUICK = 0.005
"""Seconds up to which a computation is expected to take no longer than others may wait for it; see `_Application`."""

HELD = 4
"""Bodies of the largest size that may be held at once, or many more that are smaller."""

MOST_WAITING = 256
"""Requests that may wait until they are computed."""

LINGER = 0.5
"""Seconds in which a client that is still sending may read why it is refused, before the connection is closed."""

ROWS = 256
"""Rows of a response that are written at once, since other requests wait in the meantime."""

STATUS: dict[type[Exception], int] = {protocol.UnsupportedContentType: 415, TooLarge: 413, Unavailable: 503}
"""Of HTTP, for some errors of a request; 400 for the others."""

LAST = {408, 413, 503}
"""After these the connection is closed, so that nothing more of the request need be read."""

PATHS = {"/invocations": "POST", "/ping": "GET", "/health": "GET", "/version": "GET"}


class _Response(NamedTuple):
    status: int
    body: bytes


class _Bodies:
    """Reads the bodies of all requests.

    Attributes:
        held: bytes of all bodies that were read and are not computed yet.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self.held = 0

    async def read(self, headers: dict[bytes, bytes], receive: Receive, body: bytearray) -> None:
        """Read a request into `body`; what it holds is counted until the caller subtracts it from `held`.

        Raises:
            TooLarge: it is or will be larger than a body may be.
            Unavailable: all bodies together take too much memory.
            TimeoutError: it did not arrive in time.
            ClientDisconnect: of starlette.
        """
        announced = headers.get(b"content-length", b"0")
        size = int(announced) if announced.isdigit() else 0
        more = True
        async with asyncio.timeout(self._seconds):
            while True:
                if max(len(body), size) > self._most:
                    raise TooLarge(f"the body is larger than {self._most:,} bytes; send fewer rows at once")
                if self.held + size - len(body) > HELD * self._most:
                    raise Unavailable("too many large requests are being read; try again later")
                if not more:
                    return
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                body += part
                self.held += len(part)
                more = message.get("more_body", False)


class _Application:
    """See `make_app`.

    A computation that is expected to be quick is done between two events of the event loop: to hand it to a thread, and
    to wait for Python's lock, would take as long. Others are done in a thread, so that requests are read and refused in
    the meantime; large ones one after the other in a thread of their own, so that small ones need not wait for them.
    """

    def __init__(
        self,
        predictor: Predictor,
        version: ModelVersion,
        max_rows: int,
        *,
        threads: int | None,
        max_bytes: int,
        seconds: float,
        hosts: frozenset[str],
    ) -> None:
        self._predictor, self._max_rows, self._threads = predictor, max_rows, threads
        self._bodies, self._seconds, self._hosts = _Bodies(max_bytes, seconds), seconds, hosts
        self._limited = threading.local()
        self._headers = [
            (b"content-type", b"application/json"),
            (b"x-headframe-model", version.model.encode("latin-1")),
            (b"x-headframe-version", str(version.number).encode()),
        ]
        self._small, self._large = (ThreadPoolExecutor(1, thread_name_prefix="invocations") for _ in range(2))
        self._small_bytes = small_bytes(predictor.schema)
        self._waiting: set[object] = set()
        self._pace = math.inf  # seconds that the last request took, for each byte of its body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request; see ASGI."""
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        try:
            response = await self._respond(scope, receive)
        except ClientDisconnect:
            response = _refusal(400, "the client disconnected before its request was complete")
        except TimeoutError:
            reason = f"the request did not arrive within {self._seconds:g} seconds; send fewer rows at once"
            response = _refusal(408, reason)
        except (DataError, ConfigurationError, Unavailable) as error:
            response = _refusal(STATUS.get(type(error), 400), str(error))
        except Exception:
            log.exception("a request failed")
            response = _refusal(500, "the model failed on this request; see the server's log")
        await self._send(response, send)

    async def _respond(self, scope: Scope, receive: Receive) -> _Response:
        path, method = scope["path"], scope["method"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._hosts:
            host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
            foreign = why_foreign(host, origin if b"origin" in headers else None, self._hosts)
            if foreign is not None:
                return _refusal(403, f"{foreign}; names that are its own are set by serving.hosts")
        if path not in PATHS:
            return _refusal(404, f"there is no {path}; use /invocations, /ping, /health or /version")
        if method != PATHS[path]:
            return _refusal(405, f"{path} takes {PATHS[path]}, not {method}")
        if path == "/version":
            return _Response(200, VERSION.encode())
        if path != "/invocations":
            return _Response(200, b"\n")
        latest = time.monotonic() + self._seconds
        body = bytearray()
        waits = object()
        try:
            await self._bodies.read(headers, receive, body)
            if len(self._waiting) >= MOST_WAITING:
                raise Unavailable("too many requests wait; try again later")
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
            if encoding.lower() != "identity":
                raise protocol.UnsupportedContentType(f"the content encoding is {encoding!r}; send the body as it is")
            if not self._waiting and self._pace * len(body) <= QUICK:
                return self._compute(body, content_type, latest)
            self._waiting.add(waits)
            pool = self._small if len(body) <= self._small_bytes else self._large
            return await asyncio.get_running_loop().run_in_executor(pool, self._compute, body, content_type, latest)
        finally:
            self._waiting.discard(waits)
            self._bodies.held -= len(body)
            if len(body) >= LONGEST:
                self._large.submit(release_memory)

    def _compute(self, body: bytearray, content_type: str, latest: float) -> _Response:
        begun = time.monotonic()
        if begun > latest:
            reason = f"the request was not computed within {self._seconds:g} seconds, as too many wait; try later"
            raise Unavailable(reason)
        if self._threads is not None and not hasattr(self._limited, "number"):
            limit_threads(self._threads)
            self._limited.number = self._threads
        predictor = self._predictor
        rows, output = protocol.parse_request(body, content_type, predictor.schema, predictor.reader, self._max_rows)
        predicted = predictor.predictions(rows) if output == "columns" else predictor.predict(rows)
        content = f'{{"predictions": [{", ".join(_json_parts(predicted))}]}}'.encode()
        self._pace = (time.monotonic() - begun) / len(body)
        return _Response(200, content)

    async def _send(self, response: _Response, send: Send) -> None:
        headers = [*self._headers, (b"content-length", str(len(response.body)).encode())]
        last = response.status in LAST
        if last:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": last})
        if last:
            await asyncio.sleep(LINGER)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def make_app(
    predictor: Predictor,
    version: ModelVersion,
    *,
    max_rows: int,
    threads: int | None = None,
    max_bytes: int | None = None,
    seconds: float = SECONDS,
    hosts: Collection[str] = (),
) -> ASGIApp:
    """Return the application: `/ping`, `/health`, `/version`, `/invocations`.

    Invalid requests get a status of 400 to 415 and `{"error": MESSAGE}`; 503 where too many wait. Each response has
    headers that name the version.

    Args:
        predictor: has no state that predicting changes.
        version: the one that the predictor is.
        max_rows: in one request.
        threads: that one request is computed with; None: as this process is set.
        max_bytes: of the body of one request; None: what `max_rows` of the model's columns need.
        seconds: in which a request must have arrived, and in which its computation must have begun.
        hosts: names of the server, of which a request must use one; empty: any.
    """
    return _Application(
        predictor,
        version,
        max_rows,
        threads=threads,
        max_bytes=max_bytes or request_bytes(predictor.schema, max_rows),
        seconds=seconds,
        hosts=frozenset(hosts),
    )


def _refusal(status: int, message: str) -> _Response:
    # A message quotes the request, which may hold lone surrogates that UTF-8 cannot encode.
    plain = " ".join(message.split()).encode(errors="backslashreplace").decode()
    return _Response(status, json.dumps({"error": plain}, ensure_ascii=False, separators=(",", ":")).encode())


def _json_parts(predicted: pa.Table) -> Iterator[str]:
    """Yield the rows of predictions as JSON without the brackets around them."""
    for start in range(0, predicted.num_rows, ROWS):
        yield json.dumps(json_rows(predicted.slice(start, ROWS)), default=json_value, allow_nan=False)[1:-1]
