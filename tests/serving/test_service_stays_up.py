"""Whatever a client sends, and however slowly: others are answered, connections end, no request is a fault of ours."""

import json
import os
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_data
import httpx
import pytest
from scorer import Scorer, scorer
from starlette.testclient import TestClient

from headframe.config.plan.serving import ServingConfig
from headframe.errors import ConfigurationError
from headframe.prediction.predictor import Predictor
from headframe.registry.versions import ModelVersion
from headframe.serving import app, connections
from headframe.serving.app import make_app
from headframe.serving.limits import prepare_threads, request_bytes
from headframe.serving.server import _listen
from headframe.serving.workers import BoundedServer

SECONDS, IDLE = 1.0, 0.4
SOON = 10.0  # on a machine that does much else
IMAGE = [[[(7 * y + x) % 17] for x in range(8)] for y in range(8)]
ONE = json.dumps(IMAGE).encode()
HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
FUZZ = int(os.environ.get("HEADFRAME_FUZZ", "200"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    root = tmp_path_factory.mktemp("digits")
    return scorer(fake_data.settings("digits"), root, fake_data.mirror("digits"), "image", "classification")


@contextmanager
def served(made: Scorer, **changes: Any) -> Iterator[int]:
    """Serve in a thread of this process; give the port."""
    settings = ServingConfig(max_rows=2000, seconds=SECONDS, idle_seconds=IDLE, **changes)
    application = make_app(
        made.predictor,
        ModelVersion("digits", 1),
        max_rows=settings.max_rows,
        max_bytes=settings.max_bytes,
        seconds=settings.seconds,
    )
    with _listen("127.0.0.1", 0) as listening:
        server = BoundedServer(application, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def port(digits: Scorer) -> Iterator[int]:
    with served(digits, max_bytes=30 * 2**20) as port:
        yield port


def post(port: int, content: Any, **settings: Any) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.post(f"http://127.0.0.1:{port}/invocations", content=content, headers=headers, timeout=60, **settings)


def until_closed(connection: socket.socket) -> bytes:
    """Return what comes until the other end closes the connection."""
    connection.settimeout(SOON)
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def is_ended_while(send: Callable[[], Any]) -> bool:
    """Return whether the other end closes the connection while more and more is sent."""
    end = time.monotonic() + 3 * SOON
    try:
        while time.monotonic() < end:
            send()
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200"),
        (b"POST /invocations HT", b"HTTP/1.1 408"),
        (HEAD + b"Content-Length: 100\r\n\r\n{", b"HTTP/1.1 408"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"HTTP/1.1 408"),
    ],
    ids=["nothing", "a request and then nothing", "half a line", "half a body", "a chunk"],
)
def test_a_client_that_does_not_go_on_is_ended(port: int, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        found = until_closed(connection)
    assert found.startswith(status)
    if status.endswith(b"408"):
        assert f"did not arrive within {SECONDS:g} seconds".encode() in found


@pytest.mark.parametrize("head", [b"POST /invocations HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 1000000\r\n\r\n"])
def test_a_client_that_goes_on_slowly_is_ended_all_the_same(port: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head)
        assert is_ended_while(lambda: (connection.sendall(b"1"), time.sleep(0.1)))


def test_a_client_that_does_not_read_is_ended(port: int) -> None:
    body = json.dumps({"inputs": [IMAGE] * 2000}).encode()
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        assert is_ended_while(lambda: connection.sendall(request))


def test_a_connection_may_live_as_long_as_its_requests_are_in_time(port: int) -> None:
    body = json.dumps({"inputs": [IMAGE] * 2000}).encode()
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    begun, answered = time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:
        while time.monotonic() < begun + 2.5 * SECONDS:
            connection.sendall(request)
            head = list(iter(stream.readline, b"\r\n"))
            [length] = [int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length")]
            assert (head[0], len(stream.read(length))) == (b"HTTP/1.1 200 OK\r\n", length)
            answered += 1
            time.sleep(IDLE / 4)
    assert answered > 2


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_comes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        found = until_closed(connection)
    assert found.startswith(b"HTTP/1.1 413")
    assert b"the body is larger than 31,457,280 bytes; send fewer rows at once" in found


def test_a_body_that_is_not_announced_is_counted(port: int) -> None:
    assert post(port, (b" " * 2**16 for _ in range(2**15))).status_code == 413


@pytest.mark.parametrize(
    ("start", "part", "status"),
    [
        (b'{"inputs": [', b"[],", 400),
        (b'{"inputs": ', b"[", 400),
        (b'{"inputs": [' + ONE + b",", b"[[]],", 400),
        (b'{"dataframe_records": [', b'{"image": ' + ONE + b', "more": [' + b"[]," * 5000 + b"0]},", 400),
        (b'{"inputs": {"more": [', b"0,", 413),
        (b'{"dataframe_split": {"columns": ["image"], "data": [', b"[],", 400),
        (b'{"dataframe_split": {"data": [', b"[],", 413),
        (b'{"dataframe_split": {"columns": [', b'"a",', 413),
        (b"{", b'"":0,', 400),
        (b'{"inputs": {', b'"a":[],', 413),
        (b'{"inputs": ["', b"a", 413),
        (b'{"inputs": [', b"1" * 5000 + b",", 400),
    ],
)  # fmt: skip
def test_others_are_answered_beside_a_hostile_body(port: int, start: bytes, part: bytes, status: int) -> None:
    """One of 60 MB of nested lists kept all others waiting for 59 seconds."""
    body = start + part * ((20 * 2**20) // len(part))
    once = httpx.Limits(max_keepalive_connections=0)  # a connection that Python leaves idle too long is closed rightly
    with ThreadPoolExecutor(1) as pool, httpx.Client(limits=once) as client:
        hostile = pool.submit(post, port, body)
        longest = 0.0
        while not hostile.done():
            begun = time.monotonic()
            client.get(f"http://127.0.0.1:{port}/ping", timeout=60)
            longest = max(longest, time.monotonic() - begun)
        assert hostile.result().status_code == status, hostile.result().text
    assert longest < 2


@pytest.mark.parametrize(
    "body",
    [
        b"text\n" + b"1\n" * 10**6,
        b"text\n" + b"\n" * 10**7,
        b"," * 10**7,
        b'text\n"' + b"a\n" * 10**6,
        b"a,a\n" * 10**6,
    ],
    ids=["rows", "blank lines", "one line", "an open quote", "headers"],
)  # fmt: skip
def test_csv_is_bounded_too(tmp_path: Path, body: bytes) -> None:
    made = scorer(fake_data.settings("sms_spam"), tmp_path, fake_data.mirror("sms_spam"), "tokens", "classification")
    begun = time.monotonic()
    application = make_app(made.predictor, ModelVersion("m", 1), max_rows=1000, max_bytes=10**8)
    found = TestClient(application).post("/invocations", content=body, headers={"content-type": "text/csv"})
    assert found.status_code in (400, 413), found.text
    assert time.monotonic() - begun < SOON


def test_more_connections_than_allowed_are_refused_and_the_others_served(
    digits: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    with served(digits) as port, httpx.Client() as client:
        client.get(f"http://127.0.0.1:{port}/ping").raise_for_status()
        others = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        assert until_closed(others[2]).startswith(b"HTTP/1.1 503")
        client.get(f"http://127.0.0.1:{port}/ping").raise_for_status()
        for each in others:
            each.close()


@pytest.mark.parametrize(
    ("files", "most"), [(resource.RLIM_INFINITY, 1024), (65_536, 1024), (1152, 1024), (1151, 1023), (129, 1), (64, 1)]
)
def test_open_files_bound_the_connections(files: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (files, resource.RLIM_INFINITY))
    assert connections.most_connections() == most


@pytest.mark.parametrize(
    ("setting", "sentence"), [("MOST_WAITING", "too many requests wait"), ("HELD", "too many large")]
)
def test_more_than_can_wait_or_be_held_is_refused(
    digits: Scorer, monkeypatch: pytest.MonkeyPatch, setting: str, sentence: str
) -> None:
    monkeypatch.setattr(app, setting, 0)
    found = digits.post(json.dumps({"inputs": [IMAGE]}).encode(), "application/json")
    assert (found.status_code, sentence in found.json()["error"]) == (503, True)


def test_a_request_that_waits_too_long_is_not_computed(digits: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = Predictor.predict

    def slowly(self: Predictor, rows: Any) -> Any:
        time.sleep(1.5 * SECONDS)
        return predict(self, rows)

    monkeypatch.setattr(Predictor, "predict", slowly)
    with served(digits) as port, ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: post(port, json.dumps({"inputs": [IMAGE]})), range(2)))
    assert sorted(each.status_code for each in found) == [200, 503]


def test_the_bytes_of_a_request_follow_from_its_rows_and_columns(digits: Scorer) -> None:
    allowed = request_bytes(digits.predictor.schema, 1000)
    largest = json.dumps({"dataframe_records": [{"image": [[[16.0]] * 8] * 8}] * 1000})
    assert len(largest) < allowed < 2 * len(largest)


def test_more_threads_than_cores_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"serving\.threads is 1000, but this machine has"):
        prepare_threads(1000)


def test_threads_that_wait_for_each_other_leave_their_cores_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a new process: OpenMP reads its settings when torch is imported, and shows them on request."""
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    program = "from headframe.serving.limits import prepare_threads; prepare_threads(1); import torch"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "GOMP_SPINCOUNT = '0'" in shown.stderr  # of GNU's, which waits in this way 300,000 times otherwise


def test_malformed_requests_are_no_fault_of_ours(digits: Scorer) -> None:
    """There are ten times as many of them as `HEADFRAME_FUZZ` says."""
    draw = random.Random(7)
    bodies = [
        json.dumps(content).encode()
        for content in (
            {"dataframe_split": {"columns": ["image"], "data": [[IMAGE], [IMAGE]], "index": [0, 1]}},
            {"dataframe_records": [{"image": IMAGE, "more": [1, {"a": None}]}]},
            {"inputs": {"image": [IMAGE]}, "params": {"output": "columns"}},
            {"instances": [IMAGE, IMAGE]},
        )
    ]
    tokens = [
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"null",
        b"true",
        b"1e999",
        b"-",
        b"NaN",
        b"\\ud800",
        b"\xff",
        b"\0",
    ]
    tokens += [b"9" * 400, b'"image"', b'"params":', b"[[[[", b'{"":', b"0.5", b"-1", b"17", b" ", b"\xef\xbb\xbf"]
    application = make_app(digits.predictor, ModelVersion("digits", 1), max_rows=50, max_bytes=10**6)
    seen: dict[int, int] = {}
    with TestClient(application, raise_server_exceptions=False) as client:
        for _ in range(10 * FUZZ):
            body = bytearray(draw.choice(bodies))
            for _ in range(draw.randint(1, 4)):
                start = draw.randrange(len(body) + 1)
                body[start : start + draw.choice([0, 0, 1, 2, 5, 40])] = draw.choice(tokens) * draw.choice([1, 1, 2, 9])
            kind = draw.choice(["application/json"] * 9 + ["text/csv", "", "application/json; charset=utf-16"])
            found = client.post("/invocations", content=bytes(body), headers={"content-type": kind})
            seen[found.status_code] = seen.get(found.status_code, 0) + 1
            assert found.status_code in (200, 400, 413, 415), (found.status_code, bytes(body))
            assert found.status_code == 200 or list(found.json()) == ["error"]
    assert seen[400] > FUZZ


def test_malformed_http_is_no_fault_of_ours(port: int) -> None:
    draw = random.Random(7)
    body = json.dumps({"inputs": [IMAGE]}).encode()
    whole = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(FUZZ):
        raw = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            start = draw.randrange(len(HEAD) + 30)
            raw[start : start + draw.randint(0, 9)] = bytes(draw.randrange(256) for _ in range(draw.randint(0, 4)))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            found = until_closed(connection)
        assert not found.startswith(b"HTTP/1.1 5"), bytes(raw)
    assert post(port, body).status_code == 200
