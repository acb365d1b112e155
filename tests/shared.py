"""What the tests make once for all workers of pytest-xdist: folders, and a program that forks.

The process that starts the tests makes a folder, which its workers find in their environment. What is made in it stays
where it is, since databases name files by their absolute paths: tests read it there, or copy it.
"""

import atexit
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO, TypeVar

import measured
from filelock import FileLock

FOLDER = "HEADFRAME_TESTS"
"""The variable that names the folder."""
REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS_TO_IMPORT = 300.0
Made = TypeVar("Made")


@cache
def begin() -> Path:
    """Make the folder of these tests, which goes with the process that made it; return it, or the one that there is."""
    if FOLDER not in os.environ:
        made = Path(tempfile.mkdtemp(prefix="headframe-tests-"))
        os.environ[FOLDER] = str(made)
        os.environ["HEADFRAME_KEYS"] = str(made / "keys")  # tests never sign with the keys of the user who runs them
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        (made / "owner").write_text(json.dumps([os.getpid(), {**kept, "PREFECT_HOME": "/nonexistent"}]))
        # What is sealed without a key would not be taken any more when a test has created one.
        create = "from headframe.signing.keys import own_key; own_key()"
        subprocess.run([sys.executable, "-c", create], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(_end, made, os.getpid())
    return Path(os.environ[FOLDER])


def _end(folder: Path, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner
        return
    for file in folder.glob("warm/process"):
        with suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGTERM)
    shutil.rmtree(folder, ignore_errors=True)


def made_once(name: str, make: Callable[[Path], Made]) -> Made:
    """Return what `make` makes in a folder; the first process that needs it makes it for all."""
    place = begin() / name
    with FileLock(f"{place}.lock"):
        made = place.with_name(f"{name}.pickle")
        if not made.exists():
            shutil.rmtree(place, ignore_errors=True)  # of an attempt that failed
            place.mkdir()
            made.write_bytes(pickle.dumps(make(place)))
        return pickle.loads(made.read_bytes())  # type: ignore[no-any-return]


def connect_to_warm(service: str) -> TextIO:
    """Connect to a service of the program that has everything imported, for lines of text; see `warm.py`."""
    with warm_socket(service) as connection:
        stream = connection.makefile("rw")
    atexit.register(stream.close)
    return stream


def warm_socket(service: str) -> socket.socket:
    """Return a socket that is connected to a service of the program that has everything imported."""
    folder = made_once("warm", _start_warm)
    place = folder / f"{service}.socket"
    deadline = time.monotonic() + SECONDS_TO_IMPORT
    while not place.exists():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(place))
    return connection


def _start_warm(folder: Path) -> Path:
    owner, environment = json.loads((begin() / "owner").read_text())
    program = [sys.executable, measured.__file__, str(REPOSITORY / "tests" / "warm.py"), str(folder), str(owner)]
    with (folder / "log").open("wb") as log:
        streams = [(os.POSIX_SPAWN_DUP2, log.fileno(), stream) for stream in (1, 2)]
        process = os.posix_spawn(sys.executable, program, environment, setsid=True, file_actions=streams)
    (folder / "process").write_text(str(process))
    return folder


def scores_of(predictor: Any, *rows: Any) -> Any:
    """The array in the prediction columns of a model whose task is dense."""
    return predictor.task.scores_in(predictor.predictions(*rows))
