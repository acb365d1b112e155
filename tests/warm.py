"""A program that has everything imported, so that nothing that a test runs in a process of its own imports it again.

`python warm.py FOLDER` listens on two sockets in a folder and forks for each client: `trainings.socket` runs the
training program, as `training/driver.py` says, and `runs.socket` the command line, as `flows/kill_points.py` says. The
one that runs the command line is a fork of the other, which has imported nothing but what trainings need. Both end
with the process that began the tests.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parent
OWN = [str(TESTS), str(TESTS / "flows"), str(TESTS / "training")]
sys.path[:1] = OWN
import driver  # noqa: E402
import forked_programs  # noqa: E402
import kill_points  # noqa: E402

sys.path[: len(OWN)] = []


Respond = Callable[[str, list[int]], Iterator[str]]


def serve(place: Path, owner: int, respond: Respond) -> None:
    """Fork for each connection, and let the fork respond to its lines, until the owner is gone."""
    gc.freeze()  # no child goes through what all of them have
    assert threading.active_count() == 1, "a fork would inherit locks of other threads"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    fresh = place.with_suffix(".fresh")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(fresh))
        listener.listen()
        fresh.rename(place)
        listener.settimeout(5)
        while psutil.pid_exists(owner):
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                if os.fork() == 0:
                    answer(connection, respond)


def answer(connection: socket.socket, respond: Respond) -> None:
    """Respond to each line that comes, then end this fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        for line, descriptors in requests(connection):
            for response in respond(line, descriptors):
                connection.sendall(response.encode() + b"\n")
    except BrokenPipeError:
        pass  # the client is gone
    except BaseException:  # the fork must not go on as if it were its parent
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        os._exit(0)


def requests(connection: socket.socket) -> Iterator[tuple[str, list[int]]]:
    """Yield each line that comes, with the open files that come with it."""
    line, descriptors = b"", []
    while True:
        part, files, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        if not part:
            return
        line, descriptors = line + part, descriptors + files
        if line.endswith(b"\n"):
            yield line.decode(), descriptors
            line, descriptors = b"", []


def program_or(respond: Callable[[str], str]) -> Respond:
    """Run a program that comes with its open files; respond to any other line as `respond` does."""
    return lambda line, files: forked_programs.respond(line, files) if files else iter([respond(line)])


def main(folder: Path, owner: int) -> None:
    os.chdir(TESTS.parent)
    driver.import_everything()
    importlib.import_module("headframe.gates.predict")
    gc.freeze()
    if os.fork():
        serve(folder / "trainings.socket", owner, program_or(driver.respond))
    else:
        kill_points.import_everything()
        serve(folder / "runs.socket", owner, program_or(kill_points.respond))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
