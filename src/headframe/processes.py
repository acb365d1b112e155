"""Other processes that end with this one: programs, and isolated calls of a function.

A program is handed one end of a socket. It stays open as long as both processes live: when the parent ends, however
abruptly, the kernel closes the other end and the program ends with all that it has started. An error that ends the
program is written to a file: a socket holds only so much before its writer waits, and does not reach another machine.

`python -m headframe.processes CALL.json RESULT.json --parent-socket NUMBER` is the process of an isolated call.
"""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

from headframe import errors
from headframe.errors import HeadframeError
from headframe.exhaustion import exhausted, quiet_when_exhausted
from headframe.garbage import collect_rarely
from headframe.library_warnings import shorten_warnings
from headframe.own_source import compile_own_sources
from headframe.signals import raising_terminated, stop_message
from headframe.telemetry import switch_off

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL for a program."""

STDERR = 2
"""As `stdout` of a program whose output must not get into the one document that a command prints."""

ERROR = "error.json"
"""In the output folder of a program: the error that ended it."""

_PREFIX = "hf-"
"""Of the names of temporary folders."""

_LONGEST_BASE = 107 - len("/hf-12345678/pymp-12345678/listener-12345678")
"""Characters of a temporary folder below which a socket of multiprocessing's has a path that Linux takes."""

_REMOVE = 'read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$0" && exit; sleep 1; done'
"""Removes a folder at the end of its input; again while orphans still write to it."""


def run_program(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    stdout: int | None = None,
    timeout: float | None = None,
) -> int:
    """Run `python ARGUMENTS --parent-socket NUMBER` to its end, in a session of its own; see `exit_code`.

    When this process is interrupted or ends in whatever way, the program ends, too. Its temporary folder vanishes with
    it.

    Args:
        arguments: of the interpreter, such as `-m` and a module.
        environment: variables to set besides those of this process.
        cwd: working folder; None: this process's own.
        stdout: as `subprocess.Popen` takes it.
        timeout: seconds.

    Returns:
        The exit code; the negative number of a signal that ended the program.

    Raises:
        TimeoutExpired: of `subprocess`; the program was ended.
    """
    ours, theirs = socket.socketpair()
    with ours, _vanishing_folder(tempfile.gettempdir()) as folder:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *arguments, "--parent-socket", str(theirs.fileno())],
                cwd=cwd,
                env={**os.environ, "TMPDIR": folder, **environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                start_new_session=True,
            )
        try:
            return process.wait(timeout)
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
            with suppress(ProcessLookupError):  # what it has started, where it was killed, may live on
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def temporary_folder() -> Iterator[None]:
    """Use a temporary folder of this process's own, which is gone when the process is, however it ends."""
    before = tempfile.tempdir
    with ExitStack() as stack:
        with suppress(OSError):  # there is no place for one, which only what writes there needs
            tempfile.tempdir = stack.enter_context(_vanishing_folder(tempfile.gettempdir()))
        try:
            yield
        finally:
            tempfile.tempdir = before


@contextmanager
def _vanishing_folder(base: str) -> Iterator[str]:
    """Yield a folder in `base`; `base` where it is such a folder, or too long for sockets below a deeper one."""
    if re.fullmatch(rf".*/{_PREFIX}\w{{8}}", base) or len(base) > _LONGEST_BASE:
        yield base
        return
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
    # Removed by a process of its own, since SIGKILL leaves no time for it.
    with subprocess.Popen(
        ["/bin/sh", "-c", _REMOVE, folder],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as keeper:
        try:
            yield folder
        finally:
            assert keeper.stdin is not None  # noqa: S101 - a pipe, as given above
            with suppress(BrokenPipeError):
                keeper.stdin.write(b"\n")  # a forked child may hold the pipe open


@contextmanager
def raising_error_in(folder: Path) -> Iterator[None]:
    """Raise the error that a program which runs meanwhile wrote to its output folder, whatever else is known of it.

    Raises:
        HeadframeError: or the one of its kinds that ended the program.
    """
    file = folder / ERROR
    file.unlink(missing_ok=True)
    try:
        yield
    except HeadframeError:
        if not file.is_file():  # the disk may have had no room for it
            _write_error(HeadframeError("the program gave no reason"), folder)
            file.unlink()
        raise
    finally:
        if file.is_file():
            written = json.loads(file.read_bytes())
            kind: type[HeadframeError] = getattr(errors, written["type"], HeadframeError)
            raise kind(written["message"])


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_exit(code: int | None) -> str:
    """Return how a process ended, as the end of a sentence about it."""
    if code is not None and code < 0:
        why = ", as a system without free memory does" if -code == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{why}"
    return f"ended with code {code}; if it gave a reason, that is above"


def search_path(first: Iterable[Path] = (), keep: Callable[[Path], bool] = lambda _: True) -> str:
    """Return a `PYTHONPATH` for another process: some folders first, then those of this one's that `keep` accepts."""
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join([*map(str, first), *(path for path in inherited if keep(Path(path)))])


def exit_code(work: Callable[[], None], folder: Path, parent_socket: int | None) -> int:
    """Do the work of a program, and return 0 or the exit code of the error that ended it.

    The error is written to the output folder, see `raising_error_in`; also to stderr where nobody is there to read the
    file: a person started the program, or the folder cannot be written.

    Args:
        work: raises `HeadframeError`, or one of its kinds.
        folder: the program's output folder.
        parent_socket: the descriptor that `run_program` passed; this process ends with the other end of it.
    """
    if parent_socket is not None:
        threading.Thread(target=_end_with_parent, args=[socket.socket(fileno=parent_socket)], daemon=True).start()
    try:
        with raising_terminated(), temporary_folder() if parent_socket is None else nullcontext():
            work()
        (folder / ERROR).unlink(missing_ok=True)  # of an earlier try
    except KeyboardInterrupt as stop:
        message, code = stop_message(stop)
        if parent_socket is None:
            print(message, file=sys.stderr)  # noqa: T201 - what a user reads
        return code
    except Exception as error:
        known = error if isinstance(error, HeadframeError) else exhausted(error)
        if known is None:  # a fault of the program, whose traceback another machine may not show
            message = f"the program fails with {reason_of(error)}; its traceback is in its output"
            _write_error(HeadframeError(message), folder)
            raise
        try:
            _write_error(known, folder)
        except OSError:
            parent_socket = None
        if parent_socket is None:
            print(f"error: {known}", file=sys.stderr)  # noqa: T201 - what a user reads
        return known.exit_code
    return 0


def end(code: int) -> NoReturn:
    """End this program at once, as all that matters is written: taking down torch alone can take seconds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def reason_of(error: Exception) -> str:
    """Return kind, text and place of an error in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{' '.join(f'{type(error).__name__}: {error}'.split())} ({last.filename}, line {last.lineno})"


def _end_with_parent(end: socket.socket) -> None:
    end.recv(1)  # nothing is ever sent this way, so this returns at the end only
    with suppress(ProcessLookupError):  # it leads a session where `run_program` started it
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _write_error(error: HeadframeError, folder: Path) -> None:
    """Write an error for `raising_error_in`, whole or not at all."""
    content = json.dumps({"type": type(error).__name__, "message": str(error)})
    unfinished = folder / f".{ERROR}"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished.write_text(content, encoding="utf-8")
    unfinished.replace(folder / ERROR)


def call_isolated(
    function: Callable[..., Any], arguments: Mapping[str, Any], *, subject: str, python_path: str | None = None
) -> Any:
    """Call a function in a process that has imported nothing yet.

    Args:
        function: of a module that the process can import; what it returns must be JSON.
        arguments: of the function, as JSON; anything large lies in files that they name.
        subject: what is called, for messages: `the code of the model`.
        python_path: `PYTHONPATH` of the process; None: this process's own.

    Raises:
        HeadframeError: or the one of its kinds that the function raised; or anything else went wrong in it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        call_file, result_file = Path(scratch) / "call.json", Path(scratch) / "result.json"
        call = {"module": function.__module__, "function": function.__name__, "arguments": dict(arguments)}
        call_file.write_text(json.dumps({**call, "subject": subject}), encoding="utf-8")
        environment = {"PYTHONDONTWRITEBYTECODE": "1"}
        if python_path is not None:
            environment["PYTHONPATH"] = python_path
        program = ["-P", "-m", "headframe.processes", str(call_file), str(result_file)]
        with raising_error_in(Path(scratch)):
            code = run_program(program, environment=environment, stdout=STDERR)
        if code:
            raise HeadframeError(f"the isolated process of {subject} {describe_exit(code)}")
        return json.loads(result_file.read_bytes())


def _call(call_file: Path, result_file: Path) -> None:
    """Call the function of a call, and write what it returns."""
    switch_off()
    collect_rarely()
    shorten_warnings()
    quiet_when_exhausted()
    compile_own_sources()
    call = json.loads(call_file.read_bytes())
    try:
        found = getattr(importlib.import_module(call["module"]), call["function"])(**call["arguments"])
    except HeadframeError:
        raise
    except Exception as error:  # code that comes with a model may fail in any way
        raise exhausted(error) or HeadframeError(f"{call['subject']} fails with {reason_of(error)}") from error
    result_file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _call_file, _result_file, _, _number = sys.argv[1:]
    end(exit_code(lambda: _call(Path(_call_file), Path(_result_file)), Path(_result_file).parent, int(_number)))
