"""What a machine ran out of is recognised whatever a library makes of it, and nothing else is."""

import errno
import os
import re
import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa

from headframe.cli.output import error_message
from headframe.errors import DataError, HeadframeError
from headframe.exhaustion import bounded_memory, exhausted, full_disk, quiet_when_exhausted
from headframe.ledger.database import LedgerDatabase
from headframe.ledger.store import Ledger
from headframe.tracking.database import require_database, tags_of_run


def refused_allocation() -> None:
    np.empty(2**60, np.uint8)


def raising(error: Exception | int, *file: str):
    def fails() -> None:
        raise OSError(error, os.strerror(error), *file) if isinstance(error, int) else error

    return fails


def wrapped() -> None:
    """As libraries do: the cause is not in the text."""
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/table")
    except OSError as error:
        raise RuntimeError("the transaction was rolled back; see no_autoflush") from error


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (refused_allocation, "memory ran out"),
        (wrapped, r"the disk is full, or has no room for another file \(/data/table\); free some space"),
        (
            raising(errno.EFBIG, "t.db"),
            r"a file grew beyond the limit on files \(t.db\)",
        ),
        (
            raising(errno.EMFILE),
            r"too many files are open \(at most [0-9,]+ at once\)",
        ),
        (raising(errno.EDQUOT), "the disk is full"),
        (raising(ImportError("libtorch_cpu.so: failed to map segment from shared object")), "memory ran out"),
        (raising(SystemError("error return without exception set")), "memory ran out"),
        (
            raising(RuntimeError("DefaultCPUAllocator: can't allocate memory")),
            "memory ran out",
        ),
        (raising(RuntimeError("can't start new thread")), "no further thread can be started"),
        (
            raising(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")),
            "the GPU ran out of memory",
        ),
    ],
)
def test_a_lack_is_one_sentence_with_what_to_do(fails, words):
    try:
        fails()
    except Exception as error:
        message, code = error_message(error) or ("", 0)
    assert code == 1
    assert re.fullmatch(f"{words}.*; the same command continues where this one stopped", message)


@pytest.mark.parametrize(
    "other",
    [ZeroDivisionError("division by zero"), OSError(errno.EACCES, "Permission denied"), sqlite3.DatabaseError("x")],
)
def test_another_error_is_no_lack(other):
    assert exhausted(other) is None


def test_a_database_without_room_for_a_page_is_a_full_disk(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/small.db")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=2")
        connection.exec_driver_sql("CREATE TABLE t (a)")
        with pytest.raises(sa.exc.OperationalError) as raised:
            connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(100000))")
    engine.dispose()
    assert "the disk is full" in str(exhausted(raised.value))


def test_a_disk_without_room_for_another_file_is_seen_by_its_numbers(tmp_path, monkeypatch):
    assert full_disk(tmp_path) is None
    found = os.statvfs(tmp_path)
    for lacks in ({"f_bavail": 0}, {"f_favail": 0, "f_files": 9}):
        fields = {name: getattr(found, name) for name in ("f_bavail", "f_favail", "f_files")} | lacks
        monkeypatch.setattr(os, "statvfs", lambda _, fields=fields: SimpleNamespace(**fields))
        assert str(full_disk(tmp_path)).startswith(f"the disk is full, or has no room for another file ({tmp_path})")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_favail=0, f_files=0))  # as of btrfs
    assert full_disk(tmp_path) is None


def in_fork(limit: int, most: int, work) -> str:
    """Do some work in a child with a limit; return its error's sentence."""
    read, write = os.pipe()
    before = resource.getrlimit(limit)
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(limit, (most, before[1]))
            work()
            os.write(write, b"no error")
        except HeadframeError as error:
            os.write(write, str(error).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            resource.setrlimit(limit, before)  # what was run is written at the exit
            os._exit(0)
    os.close(write)
    with closing(os.fdopen(read)) as sentence:
        text = sentence.read()
    os.waitpid(child, 0)
    return text


def test_databases_that_cannot_be_made_say_why_and_are_made_the_next_time(tmp_path: Path):
    file = tmp_path / "mlflow.db"
    said = in_fork(resource.RLIMIT_FSIZE, 2**18, lambda: require_database(file))
    assert said == (
        f"MLflow's database {file} cannot be used: a file grew beyond the limit on files (at most 256 KiB); raise it "
        "(ulimit -f); the same command continues where this one stopped"
    )
    require_database(file)
    assert tags_of_run(f"sqlite:///{file}", "none") == {}
    ledger = LedgerDatabase(f"sqlite:///{tmp_path}/ledger.db")
    said = in_fork(resource.RLIMIT_FSIZE, 2**12, ledger.create_tables)
    assert said.startswith(f"the ledger {ledger.location} cannot be used: a file grew beyond")
    ledger.create_tables()
    assert Ledger(ledger).models() == []


def test_destructors_say_nothing_of_a_lack_but_everything_else(capsys, monkeypatch):
    class Fails:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __del__(self) -> None:
            raise self.error

    monkeypatch.setattr(sys, "unraisablehook", None)  # to have pytest's back afterwards
    monkeypatch.setattr(threading, "excepthook", None)
    quiet_when_exhausted()
    for error in (MemoryError(), ValueError("another")):
        Fails(error)
        thread = threading.Thread(target=raising(error))
        thread.start()
        thread.join()
    printed = capsys.readouterr().err
    assert "MemoryError" not in printed
    assert printed.count("ValueError: another") == 2


def test_a_file_takes_no_more_memory_than_files_of_its_size_do(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"x")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    for size in (None, 1):
        with pytest.raises(DataError, match=f"reading {file} takes more than 2 GiB"), bounded_memory(file, size):
            np.empty(2**33, np.uint8)
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with bounded_memory(file, 2**28), bounded_memory(file, 2**28):
        np.empty(2**33, np.uint8)
    limits = {resource.RLIMIT_AS: (2**40, 2**40), resource.RLIMIT_DATA: before}
    monkeypatch.setattr("headframe.exhaustion.resource.getrlimit", limits.__getitem__)
    with pytest.raises(MemoryError), bounded_memory(file):  # the user's own limit, as `exhausted` says
        np.empty(2**33, np.uint8)


@pytest.mark.parametrize(
    ("kind", "limit", "arguments", "words"),
    [
        (
            resource.RLIMIT_AS,
            700_000 * 1024,
            ("ingest", "dataset=digits"),
            "this process may use too little memory (at most 683 MiB, ulimit -v): 2,048 MiB are the least",
        ),
        (
            resource.RLIMIT_NOFILE,
            24,
            ("up",),
            "servers may open too few files (at most 24 at once, ulimit -n): 256 are the least; raise the limit",
        ),
    ],
)
def test_limits_under_which_libraries_wait_for_ever_are_refused_at_once(kind, limit, arguments, words, project):
    command = [sys.executable, "-m", "headframe", *arguments]
    done = subprocess.run(
        command, cwd=project.root, preexec_fn=lambda: resource.setrlimit(kind, (limit, limit)),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert not (project.state / "logs").exists()
