"""The processes of a service: who computes what, and what happens when one of them ends."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fake_data
import httpx
import psutil
import pytest
from scorer import Scorer, scorer

from headframe.config.plan.serving import ServingConfig
from headframe.errors import HeadframeError
from headframe.registry.versions import ModelVersion
from headframe.serving.app import make_app
from headframe.serving.limits import small_bytes
from headframe.serving.server import _listen
from headframe.serving.workers import LOWER, BoundedServer, serve_in_processes

SOON = 20.0  # on a machine that does much else
IMAGE = [[[(7 * y + x) % 17] for x in range(8)] for y in range(8)]
JSON = {"content-type": "application/json"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes pass each other sockets as Linux does")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    root = tmp_path_factory.mktemp("digits")
    return scorer(fake_data.settings("digits"), root, fake_data.mirror("digits"), "image", "classification")


class Service:
    """A service in processes of its own, two of which take small requests."""

    def __init__(self, made: Scorer) -> None:
        settings = ServingConfig(max_rows=5000)
        app = make_app(made.predictor, ModelVersion("digits", 1), max_rows=settings.max_rows, threads=1)
        with _listen("127.0.0.1", 0) as listening:
            self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            self.port = listening.getsockname()[1]
            self.parent = os.fork()
            if self.parent == 0:
                code = 70
                try:
                    serve_in_processes(app, settings, listening, 2, small_bytes(made.predictor.schema))
                    code = 0
                finally:
                    os._exit(code)
        until(lambda: len(self.processes()) == 3)

    def processes(self) -> list[psutil.Process]:
        """Those for small requests first."""
        return sorted(psutil.Process(self.parent).children(), key=lambda process: (process.nice(), process.pid))

    def post(self, rows: int, **settings: Any) -> httpx.Response:
        return httpx.post(f"{self.address}/invocations", content=body(rows), headers=JSON, timeout=60, **settings)

    def stop(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.parent, number)
        return os.waitstatus_to_exitcode(os.waitpid(self.parent, 0)[1])


@pytest.fixture
def service(digits: Scorer) -> Iterator[Service]:
    made = Service(digits)
    try:
        yield made
    finally:
        if psutil.pid_exists(made.parent):
            assert made.stop() == 0


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def body(rows: int) -> bytes:
    return json.dumps({"inputs": [IMAGE] * rows}).encode()


def raw(rows: int) -> bytes:
    content = body(rows)
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def predictions(stream: Any) -> list[Any]:
    """Read one response."""
    head = list(iter(stream.readline, b"\r\n"))
    [length] = [int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length")]
    assert head[0] == b"HTTP/1.1 200 OK\r\n"
    return json.loads(stream.read(length))["predictions"]


def test_requests_of_every_size_get_their_answers_in_order(service: Service, digits: Scorer) -> None:
    """On one connection, sent one after the other, all at once, and in chunks."""
    one, many = ({rows: digits.post(body(rows), JSON["content-type"]).json()["predictions"]} for rows in (1, 3000))
    expected = one | many
    with socket.create_connection(("127.0.0.1", service.port)) as connection, connection.makefile("rb") as stream:
        for rows in (1, 3000, 1, 3000):
            connection.sendall(raw(rows))
            assert predictions(stream) == expected[rows]
    order = (1, 1, 3000, 1, 3000, 3000, 1)
    with (
        socket.create_connection(("127.0.0.1", service.port)) as connection,
        connection.makefile("rb") as stream,
        ThreadPoolExecutor(1) as pool,
    ):
        sent = pool.submit(connection.sendall, b"".join(map(raw, order)))
        assert [predictions(stream) == expected[rows] for rows in order] == [True] * len(order)
        sent.result()
    with httpx.Client() as client:
        for rows in (1, 3000, 1):
            content = body(rows)
            parts = (content[start : start + 5000] for start in range(0, len(content), 5000))
            found = client.post(f"{service.address}/invocations", content=parts, headers=JSON, timeout=60)
            assert found.json()["predictions"] == expected[rows]


def test_small_requests_do_not_wait_for_large_ones(service: Service) -> None:
    large = service.processes()[-1]
    assert large.nice() == min(19, os.nice(0) + LOWER)
    large.suspend()
    try:
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(service.post, 3000) for _ in range(2)]
            for _ in range(50):
                assert service.post(1).status_code == 200
            assert not any(each.done() for each in waiting)
            large.resume()
            assert [each.result().status_code for each in waiting] == [200, 200]
    finally:
        large.resume()


def test_connections_are_dealt_out_in_turn(service: Service) -> None:
    with httpx.Client() as one, httpx.Client() as other:
        for client in (one, other):
            client.get(f"{service.address}/ping").raise_for_status()
        held = [len(process.net_connections("tcp")) for process in service.processes()[:2]]
        assert held == [held[0]] * 2


def test_a_process_that_ends_is_replaced(service: Service) -> None:
    time.sleep(1)  # so that none ends as soon as it was started
    before = service.processes()
    for process in before:
        process.kill()
    until(lambda: len(service.processes()) == 3 and not {*before} & {*service.processes()})
    for rows in (1, 1, 3000):
        assert service.post(rows).status_code == 200


def test_a_process_that_ends_at_once_ends_the_service(digits: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedServer, "run", lambda *_: os._exit(3))
    app = make_app(digits.predictor, ModelVersion("digits", 1), max_rows=1)
    with (
        _listen("127.0.0.1", 0) as listening,
        pytest.raises(HeadframeError, match="a process of the service ended with code 3"),
    ):
        serve_in_processes(app, ServingConfig(), listening, 1, 10)


def test_no_process_outlives_a_service_that_is_killed(service: Service) -> None:
    service.post(1)
    processes = service.processes()
    assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    _, alive = psutil.wait_procs(processes, timeout=SOON)
    assert not alive


def test_a_service_that_is_stopped_leaves_no_process_and_no_open_port(service: Service) -> None:
    processes = service.processes()
    assert service.stop() == 0
    assert not any(process.is_running() for process in processes)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port))
