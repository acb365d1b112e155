"""The processes of a service: equal ones for small requests, and one of low priority for large ones.

Reading and computing large requests takes memory, Python's lock and the time of its collector of garbage, for which
small ones would have to wait in the same process. The parent accepts connections and deals them out in turn: processes
that accept for themselves leave none to others, or take one at a time and keep clients waiting.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, cycle, islice
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from headframe.config.plan.serving import ServingConfig
from headframe.errors import HeadframeError
from headframe.processes import describe_exit
from headframe.serving.connections import (
    BoundedConnection,
    Handover,
    most_connections,
    receive_connection,
    send_connection,
)

log = logging.getLogger("headframe")

STOP_SECONDS = 10
"""In which running requests may end when the server is stopped."""

LOWER = 10
"""By which the priority of the process for large requests is lower: it gets a tenth of a core that others want, too."""

STOP = (signal.SIGINT, signal.SIGTERM)

_SOON = 1.0
"""A process that ends within so many seconds would end again."""


class BoundedServer(uvicorn.Server):
    """uvicorn's server, with connections that are bounded in number and time.

    It ends with its parent where that is `serve_in_processes`.

    Args:
        app: the application.
        settings: of the plan.
        handover: of large requests; None: they are handled here.
        arriving: gives connections that other processes have accepted.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServingConfig,
        *,
        handover: Handover | None = None,
        arriving: socket.socket | None = None,
    ) -> None:
        self._arriving = arriving
        self._bounded = partial(BoundedConnection, seconds=settings.seconds, most=most_connections(), handover=handover)
        super().__init__(
            uvicorn.Config(
                app,
                http=self._bounded,
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                timeout_keep_alive=settings.idle_seconds,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        parent = multiprocessing.parent_process()
        if parent is not None:
            loop.add_reader(parent.sentinel, self._end, parent.sentinel)
        if self._arriving is not None:
            loop.add_reader(self._arriving, self._take, self._arriving)

    def _end(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        self.should_exit = True

    def _take(self, arriving: socket.socket) -> None:
        connection, begun = receive_connection(arriving)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        settings = {"config": self.config, "server_state": self.server_state, "app_state": {}, "_loop": loop}
        taken = loop.create_task(
            loop.connect_accepted_socket(lambda: self._bounded(begun=begun, **settings), connection)
        )
        self.server_state.tasks.add(taken)
        taken.add_done_callback(self.server_state.tasks.discard)


def serve_in_processes(app: ASGIApp, settings: ServingConfig, listening: socket.socket, many: int, small: int) -> None:
    """Serve until this process is asked to stop (SIGINT or SIGTERM); a process that ends is replaced.

    Args:
        app: the application, which has computed nothing yet.
        settings: of the plan.
        listening: the socket.
        many: processes for small requests.
        small: bytes up to which a request is small.

    Raises:
        HeadframeError: a process ended as soon as it was started.
    """
    *each_small, to_large = pairs = [socket.socketpair() for _ in range(many + 1)]
    works = [
        *(partial(_serve, app, settings, arriving, Handover(small, to_large[0])) for _, arriving in each_small),
        partial(_serve_large, app, settings, to_large[1]),
    ]
    for ends in pairs:
        ends[0].setblocking(False)
    listening.setblocking(False)
    turns = cycle([to for to, _ in each_small])
    with _stop_requests() as asked:
        running = [_start(work) for work in works]
        try:
            while True:
                ready = wait([asked, listening, *(process.sentinel for process, _ in running)])
                if asked in ready:
                    return
                if listening in ready:
                    _deal(listening, islice(turns, many))
                for place, (process, begun) in enumerate(running):
                    if process.sentinel in ready:
                        process.join()
                        what = f"a process of the service {describe_exit(process.exitcode)}"
                        if time.monotonic() - begun < _SOON:
                            raise HeadframeError(what)
                        log.error("%s; another takes its place", what)
                        running[place] = _start(works[place])
        finally:
            _stop([process for process, _ in running])
            for end in chain.from_iterable(pairs):
                end.close()


def _serve(app: ASGIApp, settings: ServingConfig, arriving: socket.socket, handover: Handover | None) -> None:
    BoundedServer(app, settings, handover=handover, arriving=arriving).run([])


def _serve_large(app: ASGIApp, settings: ServingConfig, arriving: socket.socket) -> None:
    os.nice(LOWER)
    _serve(app, settings, arriving, None)


def _deal(listening: socket.socket, turns: Iterable[socket.socket]) -> None:
    """Accept a connection and send it to the first process that takes it."""
    try:
        connection, _ = listening.accept()
    except OSError:  # the client has left
        return
    with connection:
        for to in turns:
            with suppress(OSError):  # so many wait there that no more are taken
                send_connection(to, connection)
                return


@contextmanager
def _stop_requests() -> Iterator[int]:
    """Yield a descriptor that can be read once this process is asked to stop."""
    asked, ask = os.pipe()
    before = {number: signal.signal(number, lambda *_: os.write(ask, b"1")) for number in STOP}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(asked)
        os.close(ask)


def _start(work: Callable[[], None]) -> tuple[ForkProcess, float]:
    def run() -> None:
        for number in STOP:
            signal.signal(number, signal.SIG_DFL)
        work()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process, time.monotonic()


def _stop(processes: Sequence[ForkProcess]) -> None:
    for process in processes:
        process.terminate()
    latest = time.monotonic() + STOP_SECONDS + _SOON
    for process in processes:
        process.join(max(0, latest - time.monotonic()))
        process.kill()
        process.join()
