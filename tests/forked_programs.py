"""Programs of Headframe's as forks of one that has imported what they need (see `warm.py`), not as new interpreters.

A fork has all that a program gets from `run_program`: arguments, environment, search path, working folder, output, a
session of its own and the socket with which it ends. It has imported nothing but Headframe and libraries.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shared import warm_socket

from headframe import processes

SERVICES = {
    "headframe.training": "trainings",
    "headframe.processes": "trainings",
    "headframe.reproduction.rebuild": "runs",  # of projects that do not hold Headframe itself
}
"""What is forked where it would be begun with `python -m`, and the service of `warm.py` that forks it."""


class ForkedProgram:
    """A fork, with what `run_program` uses of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], **how: Any) -> None:
        module = arguments.index("-m") + 1
        request = {
            "module": arguments[module], "arguments": arguments[module + 1 : -1],
            "environment": dict(how["env"]), "cwd": str(how["cwd"] or Path.cwd()),
        }  # fmt: skip
        stdout = 1 if how["stdout"] is None else how["stdout"]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.connection = warm_socket(SERVICES[arguments[module]])
        socket.send_fds(self.connection, [json.dumps(request).encode() + b"\n"], [*how["pass_fds"], stdout, 2])
        self.returncode: int | None = None
        self.pid = self._receive()

    def _receive(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            came = self.connection.recv(1)
            assert came, "the program that forks is gone"
            line += came
        return int(line)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                self.returncode = self._receive()
            except TimeoutError:
                raise subprocess.TimeoutExpired("a fork", timeout or 0) from None
            self.connection.close()
        return self.returncode

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


def begin_program(arguments: Sequence[str], **how: Any) -> Any:
    """Begin one of the programs in a fork, and any other as ever."""
    if any(name in arguments for name in SERVICES):
        return ForkedProgram(arguments, **how)
    return subprocess.Popen(arguments, **how)


FORKING = SimpleNamespace(**{**vars(subprocess), "Popen": begin_program})
"""Stands for `subprocess` in `headframe.processes`."""


def respond(line: str, descriptors: list[int]) -> Iterator[str]:
    """Run a program in a fork; return its process id, and its exit code when it has ended."""
    child = os.fork()
    if child == 0:
        code = 1  # as Python ends with an error that nobody catches
        try:
            code = _run(json.loads(line), *descriptors)
        except BaseException:  # the child must not go on as if it were its parent
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        finally:
            processes.end(code)
    for each in descriptors:
        os.close(each)
    yield str(child)
    yield str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run(request: dict[str, Any], parent_socket: int, stdout: int, stderr: int) -> int:
    os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # TMPDIR is another one
    # Like PYTHONPATH, in front of what Python itself looks through.
    sys.path[:0] = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
    given = [*request["arguments"], str(parent_socket)]
    if request["module"] == "headframe.training":
        from headframe.training.__main__ import main

        return main(given)
    if request["module"] == "headframe.reproduction.rebuild":
        from headframe.reproduction.rebuild import main

        processes.subprocess = FORKING  # type: ignore[attr-defined]
        return main(given)
    call, result, *_ = map(Path, given)
    return processes.exit_code(lambda: processes._call(call, result), result.parent, parent_socket)
