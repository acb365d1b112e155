"""Isolated calls, what they fail with, and the socket between a program and its parent."""

import json
import os
import posix
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.processes import call_isolated, describe_exit, received, search_path
from headframe.registry.versions import resolve


def test_an_isolated_call_returns_what_the_function_returns():
    assert call_isolated(json.loads, {"s": "[1, 2]"}, subject="the text") == [1, 2]


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
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(1) == "ended with code 1; its traceback is above"


def test_a_search_path_begins_with_what_is_given_and_keeps_what_is_wanted(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/one", "", "/two"]))
    assert search_path() == os.pathsep.join(["/one", "/two"])
    assert search_path([tmp_path], lambda entry: entry != Path("/one")) == os.pathsep.join([str(tmp_path), "/two"])


def test_what_a_program_failed_with_crosses_the_socket_whole():
    ours, theirs = socket.socketpair()
    sentence = "ü" * 200_000
    code = (
        "import sys; from headframe.errors import DataError; from headframe.processes import ParentWatch\n"
        f"ParentWatch(int(sys.argv[1])).send(DataError('ü' * {len(sentence)}))"
    )
    number = theirs.fileno()
    child = subprocess.Popen([sys.executable, "-c", code, str(number)], pass_fds=[number])
    theirs.close()
    with ours:
        error = received(ours)
        assert child.wait() == 0
    assert type(error) is DataError
    assert str(error) == sentence
