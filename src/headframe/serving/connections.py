"""Connections that end in time: clients that are idle, or too slow in sending or reading, hold nothing for long."""

import asyncio
import resource
from typing import Any

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

OTHER_FILES = 128
"""Open files that the process may need besides its connections."""

MOST = 1024


def most_connections() -> int:
    """Return how many connections may be open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft - OTHER_FILES))


class BoundedConnection(H11Protocol):
    """uvicorn's connection, which waits without end for a first request, for headers, and for a client to read.

    Args:
        seconds: in which a request must have arrived, and in which its response must have been read.
        most: connections at once; one more is answered with 503 and closed.
        settings: of `H11Protocol`.
    """

    def __init__(self, *, seconds: float, most: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._seconds, self._most = seconds, most
        self._deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(503, "too many connections are open; try again later")
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    @override
    def data_received(self, data: bytes) -> None:
        begins = self.conn.our_state is h11.IDLE and not self.conn.trailing_data[0]
        if begins or self._deadline is None:
            self._wait()
        super().data_received(data)

    @override
    def on_response_complete(self) -> None:
        self._stop_waiting()
        if self.conn.their_state is h11.SEND_BODY or self.transport.get_write_buffer_size():
            self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(self._seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        """End the connection if it waits for its client; else look again later."""
        self._deadline = None
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()  # since the client does not read
        elif self.cycle is not None and not self.cycle.response_complete:
            self._wait()  # the application counts its own time
        elif self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, f"a request did not arrive within {self._seconds:g} seconds")
        elif self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        body = f'{{"error": "{message}"}}'.encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
