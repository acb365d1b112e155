"""Connections that end in time: clients that are idle, or too slow in sending or reading, hold nothing for long."""

import asyncio
import os
import resource
import socket
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Handover:
    """Where connections with large requests go.

    Attributes:
        above: bytes from which on a request is large.
        to: the socket of the process that reads and computes these.
    """

    above: int
    to: socket.socket


def send_connection(to: socket.socket, connection: socket.socket, begun: bytes | bytearray = b"") -> None:
    """Send a connection to another process, and what was read of its request.

    Raises:
        OSError: too many wait there.
    """
    content = os.memfd_create("request")  # a message would have to be smaller
    try:
        os.write(content, begun)
        socket.send_fds(to, [b"1"], [connection.fileno(), content])
    finally:
        os.close(content)


def receive_connection(arriving: socket.socket) -> tuple[socket.socket, bytes]:
    """Return what `send_connection` sent next, and wait for it if it must."""
    _, (number, content), *_ = socket.recv_fds(arriving, 1, 2)
    with os.fdopen(content, "rb") as stream:
        stream.seek(0)
        return socket.socket(fileno=number), stream.read()


class BoundedConnection(H11Protocol):
    """uvicorn's connection, which waits without end for a first request, for headers, and for a client to read.

    Args:
        seconds: in which a request must have arrived, and in which its response must have been read.
        most: connections at once; one more is answered with 503 and closed.
        handover: of large requests; None: they are handled here.
        begun: what was read of the first request.
        settings: of `H11Protocol`.
    """

    def __init__(
        self, *, seconds: float, most: int, handover: Handover | None = None, begun: bytes = b"", **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._seconds, self._most, self._handover = seconds, most, handover
        self._deadline: asyncio.TimerHandle | None = None
        self._begun = bytearray(begun)  # of the request that is being read
        self._small: Any = None  # the last request that came whole

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(503, "too many connections are open; try again later")
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            if self._begun:
                self.data_received(bytes(self._begun))

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
        if self._handover is not None:
            self._begun += data
        super().data_received(data)

    @override
    def handle_events(self) -> None:
        super().handle_events()
        if self._handover is not None and not self.transport.is_closing() and self._is_large(self._handover.above):
            self._hand_over(self._handover)

    def _is_large(self, above: int) -> bool:
        cycle = self.cycle
        if cycle is None or cycle is self._small or cycle.response_complete:
            return False
        if not cycle.more_body:
            self._small = cycle  # since what follows belongs to other requests
        announced = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        # What is not written yet would be lost with this end of the connection.
        return max(announced, len(self._begun)) > above and not self.transport.get_write_buffer_size()

    def _hand_over(self, handover: Handover) -> None:
        try:
            send_connection(handover.to, self.transport.get_extra_info("socket"), self._begun)
        except OSError:
            self._refuse(503, "too many large requests wait; try again later")
        else:
            self.transport.abort()  # closes this process's end alone
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    @override
    def on_response_complete(self) -> None:
        self._begun = bytearray(self.conn.trailing_data[0])
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
