"""The serving application: MLflow's scoring protocol, with a message of one sentence for each error."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from mlflow.version import VERSION
from starlette.requests import ClientDisconnect

from headframe.errors import ConfigurationError, DataError
from headframe.prediction.predictor import Predictor
from headframe.prediction.threads import limit_threads
from headframe.processes import cores
from headframe.registry.versions import ModelVersion
from headframe.serving import protocol
from headframe.serving.json_stream import TooLarge

log = logging.getLogger("headframe")

MAX_BYTES = 64 * 2**20  # of one request's body
STATUS: dict[type[Exception], int] = {protocol.UnsupportedContentType: 415, TooLarge: 413}
"""Of HTTP, for some errors of a request; 400 for the others."""


def make_app(
    predictor: Predictor,
    version: ModelVersion,
    *,
    max_rows: int,
    threads: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> FastAPI:
    """Return the application: `/ping`, `/health`, `/version`, `/invocations`.

    Invalid requests get a status of 400 to 415 and `{"error": MESSAGE}`. Each response has headers that name the
    version.

    Args:
        predictor: has no state that predicting changes, so as many requests are computed at once as there are cores.
        version: the one that the predictor is.
        max_rows: in one request.
        threads: that one request is computed with; None: as this process is set.
        max_bytes: of the body of one request.
    """
    app = FastAPI(title=f"{version.model} version {version.number}", openapi_url=None)
    headers = {"X-Headframe-Model": version.model, "X-Headframe-Version": str(version.number)}
    workers = ThreadPoolExecutor(
        max(1, cores() // (threads or 1)),
        thread_name_prefix="invocations",
        initializer=None if threads is None else partial(limit_threads, threads),
    )

    def refused(status: int, message: str) -> Response:
        # A message quotes the request, which may hold lone surrogates that UTF-8 cannot encode.
        plain = " ".join(message.split()).encode(errors="backslashreplace").decode()
        return JSONResponse({"error": plain}, status_code=status, headers=headers)

    async def ping() -> Response:
        return Response("\n", media_type="application/json", headers=headers)

    app.get("/ping")(ping)
    app.get("/health")(ping)

    @app.get("/version")
    async def protocol_version() -> Response:
        return Response(VERSION, media_type="application/json", headers=headers)

    def respond(body: bytes, content_type: str) -> Response:
        rows, output = protocol.parse_request(body, content_type, predictor.schema, predictor.reader, max_rows)
        predictions = predictor.scores(rows).tolist() if output == "scores" else predictor.predict(rows).to_pylist()
        content = json.dumps({"predictions": predictions}, default=str, allow_nan=False)
        return Response(content, media_type="application/json", headers=headers)

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        try:
            body = await _body(request, max_bytes)
        except ClientDisconnect:
            return refused(400, "the client disconnected before its request was complete")
        if body is None:
            return refused(413, f"the body is larger than {max_bytes:,} bytes; send fewer rows at once")
        content_type = request.headers.get("content-type", "")
        try:
            return await asyncio.get_running_loop().run_in_executor(workers, respond, body, content_type)
        except (DataError, ConfigurationError) as error:
            return refused(STATUS.get(type(error), 400), str(error))

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


async def _body(request: Request, max_bytes: int) -> bytes | None:
    """Read a body; None as soon as it is longer than `max_bytes`, whatever its header says."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > max_bytes:
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            return None
        parts.append(part)
    return b"".join(parts)
