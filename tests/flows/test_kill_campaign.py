"""The main job, killed and asked to end at random times, loses nothing, does nothing twice, and leaves nothing."""

import contextlib
import hashlib
import json
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from runs import digests, fresh_project, registered, start

from headframe.config.project import Project

RUN = ("run", "experiment=digits_ensemble", "--json")
SIGNALS = [signal.SIGKILL] * 40 + [signal.SIGTERM] * 20
MARK = "HEADFRAME_CAMPAIGN"
"""A variable by which the processes of a run are found, whatever has become of their parents."""
GONE_SECONDS = 15.0


def processes(mark: str) -> list[psutil.Process]:
    """The processes that have come from a run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def names(project: Project) -> set[str]:
    """The files of a project, whatever depends on its place or on the ids that MLflow gives."""
    files = (path.relative_to(project.root).as_posix() for path in project.root.rglob("*") if path.is_file())
    drawn = r"\b(m-)?[0-9a-f]{32}\b|(?<=/index/)[0-9a-f]{64}|(?<=stages/promote/)\w{16}|(?<=stages/smoke-test/)\w{16}"
    return {re.sub(drawn, "ID", name) for name in files if "__pycache__" not in name}


def weights(project: Project) -> dict[str, str]:
    """The sha256 of all that was trained."""
    files = sorted(project.stages.glob("fit*/*/**/*.safetensors")) + sorted(project.stages.glob("fit*/*/**/*.skops"))
    return {str(file.relative_to(project.stages)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def entries(project: Project) -> list[tuple[str, int]]:
    """The kinds of the ledger's entries, each with its version, in their order."""
    with contextlib.closing(sqlite3.connect(project.state / "ledger.db")) as connection:
        return connection.execute("SELECT kind, version FROM entries ORDER BY model, number").fetchall()


def finish(project: Project, **more: str) -> tuple[dict[str, Any], float]:
    """Run the job to its end; return its outcome and how long it took."""
    began = time.monotonic()
    process = start(project, *RUN, **more)
    output, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    return json.loads(output), time.monotonic() - began


def compare(project: Project, outcome: dict[str, Any], calm: Project, expected: dict[str, Any]) -> None:
    """Compare what was disturbed with what was not."""
    assert digests(outcome) == digests(expected)
    assert weights(project) == weights(calm)
    assert registered(project) == registered(calm) == (1, 1)
    assert entries(project) == entries(calm)
    assert names(project) - names(calm) == set()
    assert names(calm) - names(project) == set()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_random_kills_lose_nothing_do_nothing_twice_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    chance = random.Random(20261129)
    temporary = Path(tempfile.mkdtemp(dir="/tmp"))  # a short name, as sockets need
    keys = {"HEADFRAME_KEYS": str(tmp_path / "keys"), "TMPDIR": str(temporary)}
    calm = fresh_project(tmp_path / "calm")
    expected, seconds = finish(calm, **keys)
    signals = chance.sample(SIGNALS, len(SIGNALS))
    count: Counter[str] = Counter()
    slowest, number = 0.0, 0
    project = fresh_project(tmp_path / "0")
    while signals:
        number += 1
        mark = f"{tmp_path}-{number}"
        process = start(project, *RUN, **keys, **{MARK: mark})
        with contextlib.suppress(psutil.Error):
            psutil.Process(process.pid).wait(chance.uniform(0.0, 1.1 * seconds))
        if process.poll() is not None:  # it was over before
            output, stderr = process.communicate()
            assert process.returncode == 0, stderr
            compare(project, json.loads(output), calm, expected)
            count["finished"] += 1
            project = fresh_project(tmp_path / str(number))
            continue
        sent = signals.pop()
        family = [each for each in processes(mark) if Path(each.exe()).name.startswith("python")]
        hit = chance.choice(family) if sent == signal.SIGKILL and chance.random() < 0.5 else psutil.Process(process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            hit.send_signal(sent)
        began = time.monotonic()
        _, stderr = process.communicate(timeout=900)
        print(f"{number}: {sent.name}, {len(signals)} to come", file=sys.stderr)
        count[f"{sent.name} {'command' if hit.pid == process.pid else 'program'}: exit {process.returncode}"] += 1
        assert "Traceback" not in stderr, stderr
        while (left := processes(mark)) and time.monotonic() - began < GONE_SECONDS:
            time.sleep(0.05)
        if process.returncode in (-signal.SIGKILL, 128 + signal.SIGTERM):
            slowest = max(slowest, time.monotonic() - began)
        assert not left, [each.cmdline() for each in left]
        assert not [*temporary.iterdir()], sent
    outcome, _ = finish(project, **keys)
    compare(project, outcome, calm, expected)
    temporary.rmdir()
    print(f"undisturbed {seconds:.0f} s; all gone after at most {slowest:.1f} s", dict(count), file=sys.stderr)
