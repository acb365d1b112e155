"""A finished stage is not repeated; an unfinished, changed or damaged one is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from headframe.digests import Record
from headframe.stages import Stage


class Counted(Record):
    number: int
    calls: int


calls: list[int] = []


def count(number: int, folder: Path) -> Counted:
    calls.append(number)
    (folder / "work.txt").write_text("done")
    return Counted(number=number, calls=len(calls))


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


def test_the_same_arguments_are_done_once(tmp_path: Path) -> None:
    first = Stage(count).run(tmp_path, {"number": 3})
    second = Stage(count).run(tmp_path, {"number": 3})
    assert (first.reused, second.reused) == (False, True)
    assert first.record == second.record
    assert calls == [3]


def test_other_arguments_and_other_parts_of_the_plan_are_other_stages(tmp_path: Path) -> None:
    Stage(count).run(tmp_path, {"number": 3})
    Stage(count).run(tmp_path, {"number": 4})
    Stage(count, on=({"seed": 1},)).run(tmp_path, {"number": 3})
    assert calls == [3, 4, 3]


def test_paths_and_addresses_are_no_part_of_a_key(tmp_path: Path) -> None:
    stage = Stage(count)
    key = stage.key(tmp_path, {"number": 3, "uri": "sqlite:///a", "where": Path("a")})
    assert key == stage.key(tmp_path, {"number": 3, "uri": "sqlite:///b", "where": Path("b")})
    assert key == stage.key(tmp_path, {"number": 3, "mirror": None})


@pytest.mark.parametrize("damage", ["delete", "truncate", b'{"record": {"num', b"\xff\xfe", b"[]", b'{"record": {}}'])
def test_a_stage_whose_files_are_gone_or_damaged_is_done_again(tmp_path: Path, damage: str | bytes) -> None:
    Stage(count).run(tmp_path, {"number": 3})
    (folder,) = (path for path in (tmp_path / ".headframe/stages/count").iterdir() if path.is_dir())
    if damage == "delete":
        (folder / "work.txt").unlink()
    elif damage == "truncate":
        (folder / "work.txt").write_text("")
    else:
        assert isinstance(damage, bytes)
        (folder / "record.json").write_bytes(damage)
    assert not Stage(count).run(tmp_path, {"number": 3}).reused


def test_a_record_that_no_longer_holds_is_done_again(tmp_path: Path) -> None:
    Stage(count).run(tmp_path, {"number": 3})
    assert not Stage(count, valid=lambda record: record.number > 3).run(tmp_path, {"number": 3}).reused


def test_a_failure_leaves_no_record(tmp_path: Path) -> None:
    def fail(folder: Path) -> Counted:
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        Stage(fail).run(tmp_path, {})
    assert list(tmp_path.rglob("record.json")) == []


PROGRAM = """
import logging, os, sys, time
from pathlib import Path
from headframe.digests import Record
from headframe.stages import Stage

class Done(Record):
    pid: int

def work(folder: Path) -> Done:
    (folder / f"started-{os.getpid()}").write_text("")
    time.sleep(float(sys.argv[2]))
    return Done(pid=os.getpid())

logging.basicConfig(format="%(message)s", level=logging.INFO)
print(Stage(work).run(Path(sys.argv[1]), {}).record.pid, flush=True)
"""


def start(root: Path, seconds: float) -> subprocess.Popen[str]:
    program = root / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    return subprocess.Popen(
        [sys.executable, str(program), str(root), str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(root: Path, pattern: str) -> None:
    import time

    for _ in range(400):
        if list(root.rglob(pattern)):
            return
        time.sleep(0.05)
    pytest.fail(f"{pattern} never appeared")


def test_two_runs_at_once_do_the_work_once(tmp_path: Path) -> None:
    first = start(tmp_path, 1.0)
    wait_for(tmp_path, "started-*")
    second = start(tmp_path, 1.0)
    printed, said = second.communicate()
    assert first.communicate()[0] == printed == f"{first.pid}\n"
    assert said == "work      is being done by another run; waiting for it\n"


def test_a_killed_stage_is_started_again_in_its_own_folder(tmp_path: Path) -> None:
    first = start(tmp_path, 60.0)
    wait_for(tmp_path, "started-*")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    second = start(tmp_path, 0.0)
    assert second.communicate()[0] == f"{second.pid}\n"
    assert len(list(tmp_path.rglob("started-*"))) == 2
