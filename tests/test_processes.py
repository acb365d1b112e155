"""Isolated calls, what they fail with, the socket between a program and its parent, and what ends with a process."""

import gc
import json
import os
import posix
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from headframe.errors import ConfigurationError, DataError, HeadframeError, Refused
from headframe.processes import (
    _LONGEST_BASE,
    call_isolated,
    describe_exit,
    exit_code,
    raising_error_in,
    search_path,
    temporary_folder,
)
from headframe.registry.versions import resolve
from headframe.signals import Terminated, raising_terminated


def test_an_isolated_call_returns_what_the_function_returns():
    assert call_isolated(json.loads, {"s": "[1, 2]"}, subject="the text") == [1, 2]


def test_a_program_looks_for_garbage_more_rarely_than_python_would():
    assert call_isolated(gc.get_threshold, {}, subject="the text")[0] > 10 * 700  # as Python 3.11 begins


def test_an_error_of_headframe_s_comes_back_as_its_own_kind():
    with pytest.raises(ConfigurationError, match=r"^'a@b@c' names no model"):
        call_isolated(resolve, {"name": "a@b@c", "uri": "sqlite:////nowhere/mlflow.db"}, subject="the name")


def test_any_other_error_comes_back_as_one_sentence_about_the_subject():
    with pytest.raises(HeadframeError, match=r"^the text fails with JSONDecodeError: .* \(.*decoder\.py, line \d+\)$"):
        call_isolated(json.loads, {"s": "{"}, subject="the text")


@pytest.mark.parametrize(
    ("function", "arguments", "end"),
    [(os.abort, {}, "was ended by SIGABRT"), (posix._exit, {"status": 3}, "ended with code 3")],
)
def test_a_process_that_ends_without_a_result_is_named_with_its_exit_code(function, arguments, end):
    with pytest.raises(HeadframeError, match=f"the isolated process of the text {end}"):
        call_isolated(function, arguments, subject="the text")


def test_an_exit_code_is_described():
    assert describe_exit(-15) == "was ended by SIGTERM"
    assert describe_exit(-9) == "was ended by SIGKILL, as a system without free memory does"
    assert (
        describe_exit(1) == "ended with code 1; if it gave a reason, that is above"
    )  # one that failed has written its error


def test_a_search_path_begins_with_what_is_given_and_keeps_what_is_wanted(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/one", "", "/two"]))
    assert search_path() == os.pathsep.join(["/one", "/two"])
    assert search_path([tmp_path], lambda entry: entry != Path("/one")) == os.pathsep.join([str(tmp_path), "/two"])


def fail_at_length(characters: int) -> None:
    raise DataError("ü" * characters)


def test_an_error_larger_than_any_buffer_of_the_kernel_comes_back_whole():
    path = search_path([Path(__file__).parents[1]])
    with pytest.raises(DataError) as raised:
        call_isolated(fail_at_length, {"characters": 2_000_000}, subject="the text", python_path=path)
    assert str(raised.value) == "ü" * 2_000_000


def refuse() -> None:
    raise Refused("no signature")


def test_the_error_of_a_program_is_raised_whatever_its_launcher_says_and_an_old_one_is_not(tmp_path, capsys):
    """A launcher on another machine may know nothing but that a job has failed, or not even that."""
    assert exit_code(refuse, tmp_path, None) == Refused.exit_code
    assert capsys.readouterr().err == "error: no signature\n"
    with raising_error_in(tmp_path):
        pass

    def launch() -> None:
        exit_code(refuse, tmp_path, None)
        raise HeadframeError("job 17 failed")

    with pytest.raises(Refused, match="no signature"), raising_error_in(tmp_path):
        launch()
    assert exit_code(lambda: None, tmp_path, None) == 0
    assert not [*tmp_path.iterdir()]


def test_a_fault_of_a_program_is_reported_as_well(tmp_path):
    def divide() -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        exit_code(divide, tmp_path, None)
    message = json.loads((tmp_path / "error.json").read_text())["message"]
    assert message.startswith("the program fails with ZeroDivisionError: division by zero (")
    line = divide.__code__.co_firstlineno + 1
    assert message.endswith(f"test_processes.py, line {line}); its traceback is in its output")


def test_an_error_that_cannot_be_written_is_printed(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert exit_code(refuse, tmp_path / "file", None) == Refused.exit_code
    assert capsys.readouterr().err == "error: no signature\n"


PARENT = """
import os, signal, sys, tempfile
from headframe.processes import run_program, temporary_folder
from headframe.signals import raising_terminated, stop_message

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, and a shell's &, let processes ignore them
signal.signal(signal.SIGINT, signal.default_int_handler)
with raising_terminated():
    try:
        with temporary_folder():
            print(tempfile.mkdtemp(), flush=True)
            run_program([sys.argv[1]], environment={})
    except KeyboardInterrupt as stop:
        message, code = stop_message(stop)
        print(message)
        sys.exit(code)
"""
CHILD = """
import subprocess, sys, tempfile
from pathlib import Path
from headframe.processes import end, exit_code

def work():
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    print(tempfile.mkdtemp(), grandchild.pid, flush=True)
    grandchild.wait()

end(exit_code(work, Path(tempfile.gettempdir()), int(sys.argv[2])))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_what_ends_a_process_ends_its_programs_and_theirs_and_leaves_no_temporary_file(tmp_path, number):
    (tmp_path / "child.py").write_text(CHILD)
    temporary = Path(tempfile.mkdtemp(dir="/tmp"))  # a short name, as sockets need
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "child.py")],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary)}, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        own, (theirs, _) = parent.stdout.readline().strip(), parent.stdout.readline().split()
        assert Path(own).is_dir()
        assert Path(theirs).is_dir()
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 3  # the program, what it has started, and what removes the folder
        parent.send_signal(number)
        output = parent.stdout.read()  # until the last process that may write to it is gone
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    temporary.rmdir()
    if number == signal.SIGKILL:
        assert (parent.returncode, output) == (-signal.SIGKILL, "")
    else:
        how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        assert (parent.returncode, output) == (
            128 + number,
            f"{how}; the same command continues where this one stopped\n",
        )


@pytest.mark.parametrize(("longer", "deeper"), [(0, True), (1, False)])
def test_a_temporary_folder_leaves_room_for_the_name_of_a_socket(longer, deeper, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # a short name
        base = f"{place}/".ljust(_LONGEST_BASE + longer, "x")
        Path(base).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", base)
        with temporary_folder():
            assert (tempfile.gettempdir() != base) == deeper
            name = f"{tempfile.gettempdir()}/pymp-12345678/listener-12345678"
        assert len(name) <= 107 or not deeper
        assert not [*Path(base).iterdir()]


def test_without_a_place_for_temporary_files_what_needs_none_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with temporary_folder():
        assert tempfile.gettempdir() == str(tmp_path / "gone")


def test_a_signal_that_is_ignored_stays_so_and_one_sent_twice_ends_a_process_once():
    ended = []
    with raising_terminated():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Terminated as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            ended.append(stop.number)
    assert ended == [signal.SIGTERM]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with raising_terminated():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
