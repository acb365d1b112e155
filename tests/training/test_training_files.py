"""What stands in the folder of a training, and when it counts: each part by itself, without a training."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from headframe.config.plan.trainer import EarlyStoppingConfig
from headframe.digests import file_digest, folder_digest
from headframe.errors import DataError, HeadframeError
from headframe.prediction.layout import BUNDLE, HISTORY, JOB, MEMBERS, PREDICTIONS, RESULT
from headframe.seals import require_seal
from headframe.training import checkpoints, cost
from headframe.training.checkpoints import WORK_PER_SAVE, CheckpointFile
from headframe.training.cost import ResourceUsage, TrainingCost
from headframe.training.launchers import local
from headframe.training.launchers.local import Local
from headframe.training.result import CHECKPOINT, LOCK, begin, conclude, finished
from headframe.training.state import Epoch, EpochMonitor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a training that has written everything but its result."""
    (tmp_path / BUNDLE).mkdir()
    (tmp_path / BUNDLE / "weights").write_bytes(b"weights")
    (tmp_path / PREDICTIONS).write_bytes(b"predictions")
    (tmp_path / MEMBERS / "a").mkdir(parents=True)
    (tmp_path / MEMBERS / "a" / HISTORY).write_bytes(b"[]")
    for name in (JOB, ".cost.json"):
        (tmp_path / name).write_bytes(b"no part of the result")
    return tmp_path


def test_a_result_names_what_lies_beside_it(folder: Path) -> None:
    assert finished(folder, "i" * 64) is None, "there is none yet"
    result = conclude(folder, "i" * 64, "t" * 64, epochs=3, parameters=12, members=("a", "b"), copies=4)
    require_seal(result.sealed, result.seal)
    assert result.model_dump(exclude={"seal"}) == {
        "identity": "i" * 64, "table": "t" * 64, "bundle": folder_digest(folder / BUNDLE),
        "predictions": file_digest(folder / PREDICTIONS), "epochs": 3, "parameters": 12, "members": ("a", "b"),
        "copies": 4,
        "files": {
            name: file_digest(folder / name) for name in (f"{BUNDLE}/weights", f"{MEMBERS}/a/{HISTORY}", PREDICTIONS)
        },
    }  # fmt: skip
    assert finished(folder, "i" * 64) == result
    assert finished(folder, "j" * 64) is None, "another training's"
    short = conclude(folder, "i" * 64, "t" * 64, epochs=0, parameters=0)
    assert (short.members, short.copies) == ((), 0)


@pytest.mark.parametrize("changed", [f"{BUNDLE}/weights", PREDICTIONS, f"{MEMBERS}/a/{HISTORY}", RESULT])
@pytest.mark.parametrize("how", ["changed", "lost"])
def test_a_result_whose_files_were_changed_counts_for_nothing(folder: Path, changed: str, how: str) -> None:
    conclude(folder, "i" * 64, "t" * 64, epochs=3, parameters=12)
    if how == "lost":
        (folder / changed).unlink()
    else:
        (folder / changed).write_bytes(b"{}")
    assert finished(folder, "i" * 64) is None


@pytest.mark.parametrize("change", [{"epochs": 4}, {"parameters": 13}, {"copies": 1}, {"table": "u" * 64}])
def test_a_result_that_says_something_else_counts_for_nothing(folder: Path, change: dict[str, object]) -> None:
    conclude(folder, "i" * 64, "t" * 64, epochs=3, parameters=12)
    content = json.loads((folder / RESULT).read_bytes())
    (folder / RESULT).write_text(json.dumps({**content, **change}))
    assert finished(folder, "i" * 64) is None


def test_a_new_beginning_removes_what_a_kill_left_and_keeps_lock_and_checkpoint(folder: Path) -> None:
    (folder / ".cost.json").unlink()
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    conclude(folder, "i" * 64, "t" * 64, epochs=3, parameters=12)
    for name in (LOCK, CHECKPOINT, ".half", ".deep/file", ".checkpoint/.last.ckpt.x", "members/a/weights"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for _ in range(2):  # the second time there is no result to remove
        begin(folder)
        left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert left == {*kept, LOCK, CHECKPOINT, "members/a/weights"}
    assert not (folder / ".deep").exists()


def test_a_checkpoint_is_of_one_training_and_one_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = CheckpointFile(tmp_path / "deep" / "last.ckpt", "mine")
    assert file.load() is None
    file.save({"step": 3, "weights": {"a": torch.ones(2)}})
    found = file.load()
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["weights"]["a"], torch.ones(2))
    assert CheckpointFile(file.path, "other").load() is None
    monkeypatch.setattr(checkpoints, "FORMAT", 99)
    assert file.load() is None


@pytest.mark.parametrize("damage", [b"", b"no archive"])
def test_a_checkpoint_that_is_no_archive_is_named(tmp_path: Path, damage: bytes) -> None:
    file = CheckpointFile(tmp_path / "last.ckpt", "mine")
    file.path.write_bytes(damage)
    with pytest.raises(DataError, match=r"last\.ckpt is damaged \(.*\); remove it to train from the start"):
        file.load()


def test_saving_takes_a_fiftieth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.0])  # a save of two seconds
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    file = CheckpointFile(tmp_path / "last.ckpt", "mine")
    monkeypatch.setattr(checkpoints, "write_atomically", lambda path, content: None)
    file.save({})
    for now, due in ((102.0, False), (102.0 + 2 * WORK_PER_SAVE - 0.01, False), (102.0 + 2 * WORK_PER_SAVE, True)):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        assert file.is_due() is due
    assert CheckpointFile(tmp_path / "last.ckpt", "mine").is_due(), "the first one"


def test_costs_of_others_are_added_and_the_largest_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_peak_memory", lambda: 100.0)
    clock = {"wall": 10.0, "cpu": 4.0}
    monkeypatch.setattr(time, "perf_counter", lambda: clock["wall"])
    monkeypatch.setattr(time, "process_time", lambda: clock["cpu"])
    usage = ResourceUsage()
    clock.update(wall=13.0, cpu=6.0)
    assert usage.read() == TrainingCost(wall_seconds=3.0, cpu_seconds=2.0, peak_memory_mib=100.0, resumed=False)
    for memory in (50.0, 200.0, 150.0):
        usage.others.append(TrainingCost(wall_seconds=9.0, cpu_seconds=1.5, peak_memory_mib=memory, resumed=True))
    assert usage.read() == TrainingCost(wall_seconds=3.0, cpu_seconds=6.5, peak_memory_mib=200.0, resumed=False)
    assert ResourceUsage(resumed=True).read().resumed is True


@pytest.mark.parametrize(("system", "mebibytes"), [("linux", 2.0), ("darwin", 2 / 1024)])
def test_memory_is_what_the_kernel_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, mebibytes: float
) -> None:
    status = tmp_path / "status"
    monkeypatch.setattr(cost, "STATUS", status)
    monkeypatch.setattr(cost.sys, "platform", system)
    monkeypatch.setattr(cost.resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 2048}))
    assert cost._peak_memory() == mebibytes
    status.write_text("VmPeak:\t 9999 kB\nVmHWM:\t  3072 kB\nVmRSS:\t 1024 kB\n")
    assert cost._peak_memory() == 3.0
    status.write_text("Name: x\n")
    assert cost._peak_memory() == mebibytes


@pytest.mark.parametrize(
    ("minutes", "code", "sentence"),
    [
        (None, 0, ""),
        (0.5, 0, ""),
        (None, 3, "training "),
        (None, -9, "; run again to continue from its last checkpoint"),
    ],
)
def test_the_local_launcher_starts_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None, code: int, sentence: str
) -> None:
    asked: dict[str, Any] = {}

    def run(arguments: list[str], **options: Any) -> int:
        asked.update(options, arguments=arguments)
        return code

    monkeypatch.setattr(local, "run_program", run)
    call = (tmp_path / "job.json", tmp_path / "out", tmp_path, 3)
    if code:
        with pytest.raises(HeadframeError) as raised:
            Local(minutes).launch(*call)
        assert sentence in str(raised.value)
        assert ("run again to continue" in str(raised.value)) is (code < 0)
    else:
        Local(minutes).launch(*call)
    assert asked["arguments"] == [
        "-m", "headframe.training", str(call[0]), str(call[1]), "--root", str(tmp_path)
    ]  # fmt: skip
    assert (asked["cwd"], asked["timeout"]) == (tmp_path, None if minutes is None else 30.0)
    assert str(tmp_path / "src") in asked["environment"]["PYTHONPATH"]
    assert "3" in asked["environment"].values()


def test_a_training_that_took_too_long_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise subprocess.TimeoutExpired("x", 30)

    monkeypatch.setattr(local, "run_program", run)
    with pytest.raises(HeadframeError, match=r"ended after launcher\.minutes=0\.5; run again to continue"):
        Local(0.5).launch(tmp_path, tmp_path, tmp_path, 1)
    for minutes in (0, -1):
        with pytest.raises(ValueError, match="leaves no time to train"):
            Local(minutes)


def epochs(*values: float | None) -> list[Epoch]:
    return [
        {"epoch": place, "train_loss": 1.0, "val_loss": 1.0, "primary_metric": value, "learning_rate": 0.1}
        for place, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("higher", "values", "best", "stop"),
    [
        (True, [0.1, 0.5, 0.5], 1, False),
        (True, [0.5, 0.1, 0.2], 0, True),
        (False, [0.5, 0.1, 0.1], 1, False),
        (False, [0.1, 0.5, None], 0, True),
        (True, [None, 0.1], 1, False),
        (True, [0.5, 0.55, 0.59], 2, True),  # each improves by less than 0.1
        (True, [0.5, 0.59, 0.65], 2, False),  # by 0.15 since the first
    ],
)
def test_the_monitor_counts_epochs_since_the_last_improvement(
    higher: bool, values: list[float | None], best: int, stop: bool
) -> None:
    stopping = EarlyStoppingConfig(patience=2, min_delta=0.1)
    monitor = EpochMonitor("primary_metric", higher, "accuracy", stopping)
    history = epochs(*values)
    assert monitor.best(history) == best
    assert monitor.should_stop(history) is stop
    assert not EpochMonitor("primary_metric", higher, "accuracy", None).should_stop(history)
