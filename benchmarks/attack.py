"""A service beside slow clients and hostile bodies: what others notice of them, and what memory it keeps."""

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.measurement import Measurement, process
from benchmarks.serving import BIN, _free_port, _receive, _server

CLIENTS, SLOW = 64, 200
SECONDS = 10.0  # of each measurement, in turn undisturbed and disturbed
ROUNDS = 3
REQUESTS = 50_000
TIMES = 2.0  # of the undisturbed 99th percentile
GROWTH = 16.0  # MiB of memory over all requests
LARGE = 60 * 2**20  # bytes of a hostile body
ROW = {"dataframe_records": [{"image": [[[(7 * y + x) % 17 for x in range(8)] for y in range(8)]]}]}
HEAD = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "


def measure() -> list[Measurement]:
    """Serve a small model and disturb it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        process([str(BIN / "headframe"), "init", str(folder)], Path(name))
        environment = {"PREFECT_HOME": str(folder / "none"), "PREFECT_API_URL": "", "MLFLOW_TRACKING_URI": ""}
        process([str(BIN / "headframe"), "run"], folder, **environment)
        return disturb(folder)


def disturb(folder: Path) -> list[Measurement]:
    """Measure with version 1 of `digits` in a project, which accepts bodies of the hostile size."""
    port = _free_port()
    command = [str(BIN / "headframe"), "serve", "digits/1", "--port", str(port), f"serving.max_bytes={LARGE + 1000}"]
    alone: list[float] = []
    beside: list[float] = []
    with _server(command, folder, port, MLFLOW_TRACKING_URI="") as server:
        _requests(port, 2000)
        before = _memory(server)
        for _ in range(ROUNDS):
            alone += _load(port)
            with _disturbed(port):
                beside += _load(port)
        after = _memory(server)
        _requests(port, REQUESTS - len(alone) - len(beside))
        time.sleep(3)  # in which the last hostile bodies are refused
        last = _memory(server)
    quiet, loud = _percentile(alone), _percentile(beside)
    return [
        Measurement(
            f"99th percentile of {CLIENTS} clients beside {SLOW} slow ones and hostile bodies of {LARGE >> 20} MiB",
            f"{loud / quiet:.2f} x: {1000 * loud:.0f} ms, longest {1000 * max(beside):.0f} ms, {len(beside)} requests",
            f"undisturbed: {1000 * quiet:.0f} ms, longest {1000 * max(alone):.0f} ms, {len(alone)} requests",
            f"<= {TIMES:g} x",
            loud <= TIMES * quiet,
        ),
        Measurement(
            f"memory after {max(REQUESTS, len(alone) + len(beside)):,} requests and hostile bodies",
            f"{last - before:+.0f} MiB: {last:.0f} MiB, {after:.0f} MiB after the hostile bodies",
            f"{before:.0f} MiB after 2,000 requests",
            f"<= {GROWTH:g} MiB more",
            last - before <= GROWTH,
        ),
    ]


def _bodies() -> list[bytes]:
    """Return bodies that look as if they could be rows until they are read."""
    image = json.dumps(ROW["dataframe_records"][0]["image"]).encode()
    junk = b'{"image": ' + image + b', "more": [' + b"[]," * 2000 + b"[]]}"
    return [
        b'{"inputs": [' + b"[]," * (LARGE // 3 - 100) + b"[]]}",
        b'{"dataframe_records": [' + (junk + b",") * (LARGE // (len(junk) + 1) - 1) + junk + b"]}",
        b'{"more": "' + b"a" * (LARGE - 100) + b'"}',
        b'{"inputs": ' + b"[" * (LARGE - 100),
        b'{"inputs": {"more": [' + b"0," * (LARGE // 2 - 100) + b"0]}}",
    ]


@contextmanager
def _disturbed(port: int) -> Iterator[None]:
    """Send a hostile body a second, and bodies byte by byte, from a process of its own."""
    script = f"from benchmarks.attack import _attack; _attack({port})"
    attacker = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE)
    try:
        assert attacker.stdout is not None
        attacker.stdout.readline()
        yield
    finally:
        attacker.kill()
        attacker.wait()


def _attack(port: int) -> None:
    bodies = _bodies()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(SLOW)]
    for place, each in enumerate(slow):
        each.sendall(HEAD.encode() if place % 2 else f"{HEAD}{2**20}\r\n\r\n".encode())
    print("ready", flush=True)
    number = 0
    while True:
        body = bodies[number % len(bodies)]
        threading.Thread(target=_send, args=(port, body), daemon=True).start()
        for place, each in enumerate(slow):
            try:
                each.sendall(b"1")
            except OSError:
                slow[place] = socket.create_connection(("127.0.0.1", port))
        number += 1
        time.sleep(1)


def _send(port: int, body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        try:
            connection.sendall(f"{HEAD}{len(body)}\r\n\r\n".encode() + body)
            connection.recv(65536)
        except OSError:
            pass  # the server has refused it


def _load(port: int, each: int | None = None) -> list[float]:
    """Return the seconds that requests of all clients took, in a time or, with `each`, so many of each client."""
    body = json.dumps(ROW).encode()
    request = f"{HEAD}{len(body)}\r\n\r\n".encode() + body
    taken: list[float] = []
    end = time.perf_counter() + SECONDS

    def client() -> None:
        done = 0
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (begun := time.perf_counter()) < end if each is None else done < each:
                connection.sendall(request)
                _receive(connection)
                taken.append(time.perf_counter() - begun if each is None else 0.0)
                done += 1

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def _requests(port: int, number: int) -> None:
    if number > 0:
        _load(port, number // CLIENTS + 1)


def _percentile(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.99 * len(seconds))]


def _memory(server: int) -> float:
    """Return the memory of a server's processes, MiB; what they share counts once."""
    processes = [psutil.Process(server), *psutil.Process(server).children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes) / 2**20
