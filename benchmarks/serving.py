"""Single rows over HTTP beside `mlflow models serve` on the same model, for 1, 8 and 64 clients that keep connected."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measurement import Measurement, process

CLIENTS = (1, 8, 64)
SECONDS = 3.0  # of each measurement
ROUNDS = 3  # for each server, in turn
START_SECONDS = 120.0
TIMES = 10  # as many requests per second as the other server
BIN = Path(sys.executable).parent


def measure() -> list[Measurement]:
    """Requests per second of both servers in turn, so that both meet the same load of the machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        process([str(BIN / "headframe"), "init", str(folder)], Path(name))
        environment = {"PREFECT_HOME": str(folder / "none"), "PREFECT_API_URL": "", "MLFLOW_TRACKING_URI": ""}
        process([str(BIN / "headframe"), "run", "experiment=digits_ensemble"], folder, **environment)
        return pair(folder)


def pair(folder: Path) -> list[Measurement]:
    """Measure both servers on version 1 of `digits` in a project."""
    ours, theirs = _free_port(), _free_port()
    headframe = [str(BIN / "headframe"), "serve", "digits/1", "--port", str(ours)]
    mlflow = [str(BIN / "mlflow"), "models", "serve", "-m", "models:/digits/1", "--env-manager", "local", "-p"]
    # Its server is started by the name `uvicorn`.
    found = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/.headframe/mlflow.db", "PATH": f"{BIN}:{os.environ['PATH']}"}
    row = json.dumps({"dataframe_records": [{"image": [[[(7 * y + x) % 17 for x in range(8)] for y in range(8)]]}]})
    rows = []
    with (
        _server(headframe, folder, ours, MLFLOW_TRACKING_URI=""),
        _server([*mlflow, str(theirs)], folder, theirs, **found),
    ):
        for clients in CLIENTS:
            figures: dict[int, list[tuple[float, float]]] = {ours: [], theirs: []}
            for _ in range(ROUNDS):
                for port, measured in figures.items():
                    measured.append(load(port, row.encode(), clients))
            (rate, latency), (other, other_latency) = (sorted(figures[port])[ROUNDS // 2] for port in (ours, theirs))
            rows.append(
                Measurement(
                    f"serving single rows, {clients} client{'s' if clients > 1 else ''}",
                    f"{rate / other:.1f} x: {rate:.0f} requests/s, {1000 * latency:.1f} ms",
                    f"mlflow: {other:.0f} requests/s, {1000 * other_latency:.1f} ms",
                    f">= {TIMES} x its requests/s",
                    rate >= TIMES * other,
                )
            )
    return rows


def load(port: int, body: bytes, clients: int) -> tuple[float, float]:
    """Return requests per second, and the median of seconds from a request to its response."""
    head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    taken: list[float] = []
    end = time.perf_counter() + SECONDS

    def client() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (begun := time.perf_counter()) < end:
                connection.sendall(request)
                _receive(connection)
                taken.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(taken) / (time.perf_counter() - begun), sorted(taken)[len(taken) // 2]


def _receive(connection: socket.socket) -> None:
    """Read one response, which must be a success."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += connection.recv(65536)
    head, _, rest = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit(f"a server responded with {raw[:500].decode(errors='replace')}")
    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
    while len(rest) < length:
        rest += connection.recv(65536)


@contextmanager
def _server(command: Sequence[str], folder: Path, port: int, **environment: str) -> Iterator[int]:
    """Run a server until it responds and then for the body of the statement; yield its process."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _responds(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{' '.join(command)} did not start:\n{log.read()[-3000:].decode(errors='replace')}")
                time.sleep(0.2)
            yield server.pid
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait()


def _responds(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
