"""The serving application: MLflow's scoring protocol, with a message of one sentence for each error."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from mlflow.version import VERSION
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from headframe.errors import ConfigurationError, DataError, Unavailable
from headframe.prediction.predictor import Predictor
from headframe.prediction.threads import limit_threads
from headframe.processes import cores
from headframe.registry.versions import ModelVersion
from headframe.serving import protocol
from headframe.serving.json_stream import TooLarge
from headframe.serving.limits import release_memory, request_bytes

log = logging.getLogger("headframe")

SECONDS = 30.0
"""In which a request must have arrived and its computation must have begun."""

LARGE = 2**20
"""Bytes of a body from which on requests are computed one after the other, so that they leave cores to small ones."""

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


class LastResponse(JSONResponse):
    """A response after which the connection is closed, so that nothing more of the request need be read."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await asyncio.sleep(LINGER)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Bodies:
    """Reads the bodies of all requests.

    Attributes:
        held: bytes of all bodies that were read and are not computed yet.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self.held = 0

    async def read(self, request: Request, body: bytearray) -> None:
        """Read a request into `body`; what it holds is counted until the caller subtracts it from `held`.

        Raises:
            TooLarge: it is or will be larger than a body may be.
            Unavailable: all bodies together take too much memory.
            TimeoutError: it did not arrive in time.
            ClientDisconnect: of starlette.
        """
        announced = request.headers.get("content-length", "0")
        size = int(announced) if announced.isdecimal() else 0
        async with asyncio.timeout(self._seconds):
            parts = request.stream()
            while True:
                if max(len(body), size) > self._most:
                    raise TooLarge(f"the body is larger than {self._most:,} bytes; send fewer rows at once")
                if self.held + size - len(body) > HELD * self._most:
                    raise Unavailable("too many large requests are being read; try again later")
                part = await anext(parts, None)
                if part is None:
                    return
                body += part
                self.held += len(part)


def make_app(
    predictor: Predictor,
    version: ModelVersion,
    *,
    max_rows: int,
    threads: int | None = None,
    max_bytes: int | None = None,
    seconds: float = SECONDS,
) -> FastAPI:
    """Return the application: `/ping`, `/health`, `/version`, `/invocations`.

    Invalid requests get a status of 400 to 415 and `{"error": MESSAGE}`; 503 where too many wait. Each response has
    headers that name the version.

    Args:
        predictor: has no state that predicting changes, so as many requests are computed at once as there are cores.
        version: the one that the predictor is.
        max_rows: in one request.
        threads: that one request is computed with; None: as this process is set.
        max_bytes: of the body of one request; None: what `max_rows` of the model's columns need.
        seconds: in which a request must have arrived, and in which its computation must have begun.
    """
    app = FastAPI(title=f"{version.model} version {version.number}", openapi_url=None)
    headers = {"X-Headframe-Model": version.model, "X-Headframe-Version": str(version.number)}
    limited = None if threads is None else partial(limit_threads, threads)
    many = max(1, cores() // (threads or 1))
    small, large = (
        ThreadPoolExecutor(workers, thread_name_prefix="invocations", initializer=limited) for workers in (many, 1)
    )
    bodies = _Bodies(max_bytes or request_bytes(predictor.schema, max_rows), seconds)
    waiting: set[object] = set()

    def refused(status: int, message: str) -> Response:
        # A message quotes the request, which may hold lone surrogates that UTF-8 cannot encode.
        plain = " ".join(message.split()).encode(errors="backslashreplace").decode()
        kind = LastResponse if status in (408, 413, 503) else JSONResponse
        return kind({"error": plain}, status_code=status, headers=headers)

    async def ping() -> Response:
        return Response("\n", media_type="application/json", headers=headers)

    app.get("/ping")(ping)
    app.get("/health")(ping)

    @app.get("/version")
    async def protocol_version() -> Response:
        return Response(VERSION, media_type="application/json", headers=headers)

    def respond(body: bytearray, content_type: str, latest: float) -> Response:
        if time.monotonic() > latest:
            raise Unavailable(f"the request was not computed within {seconds:g} seconds, as too many wait; try later")
        rows, output = protocol.parse_request(body, content_type, predictor.schema, predictor.reader, max_rows)
        predicted = predictor.scores(rows) if output == "scores" else predictor.predict(rows)
        content = f'{{"predictions": [{", ".join(_json_parts(predicted))}]}}'
        return Response(content, media_type="application/json", headers=headers)

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        latest = time.monotonic() + seconds
        body = bytearray()
        waits = object()
        try:
            await bodies.read(request, body)
            if len(waiting) >= MOST_WAITING:
                return refused(503, "too many requests wait; try again later")
            waiting.add(waits)
            content_type = request.headers.get("content-type", "")
            pool = small if len(body) < LARGE else large
            return await asyncio.get_running_loop().run_in_executor(pool, respond, body, content_type, latest)
        except ClientDisconnect:
            return refused(400, "the client disconnected before its request was complete")
        except TimeoutError:
            return refused(408, f"the request did not arrive within {seconds:g} seconds; send fewer rows at once")
        except (DataError, ConfigurationError, Unavailable) as error:
            return refused(STATUS.get(type(error), 400), str(error))
        finally:
            waiting.discard(waits)
            bodies.held -= len(body)
            if len(body) >= LARGE:
                large.submit(release_memory)

    @app.exception_handler(404)
    async def unknown(request: Request, _: Exception) -> Response:
        return refused(404, f"there is no {request.url.path}; use /invocations, /ping, /health or /version")

    @app.exception_handler(405)
    async def wrong_method(request: Request, _: Exception) -> Response:
        method = "POST" if request.url.path == "/invocations" else "GET"
        return refused(405, f"{request.url.path} takes {method}, not {request.method}")

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return refused(500, "the model failed on this request; see the server's log")

    return app


def _json_parts(predicted: Any) -> Iterator[str]:
    """Yield predictions, a table or an array, as JSON without the brackets around them."""
    for start in range(0, len(predicted), ROWS):
        part = predicted[start : start + ROWS]
        rows = part.to_pylist() if hasattr(part, "to_pylist") else part.tolist()
        yield json.dumps(rows, default=str, allow_nan=False)[1:-1]
