"""A finished step is not repeated; an unfinished, changed or damaged one is."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.digests import Record
from headframe.places import Places
from headframe.stages import Stage


class Counted(Record):
    number: int
    calls: int


calls: list[int] = []


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def count(number: int, places: Places) -> Counted:
    calls.append(number)
    (places.folder / "work.txt").write_text("done")
    return Counted(number=number, calls=len(calls))


def holds(record: Counted, number: int) -> bool:
    return record.number == number and number > 3


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_equal_arguments_are_computed_once(places: Places) -> None:
    first = Stage(count).run({"number": 3, "places": places})
    second = Stage(count).run({"number": 3, "places": places})
    assert (first.reused, second.reused) == (False, True)
    assert first.record == second.record
    assert calls == [3]


def test_what_was_computed_is_stored_even_where_it_is_valid_no_more(places: Places) -> None:
    stage = Stage(count, valid=holds)
    assert not stage.is_stored({"number": 3, "places": places})
    stage.run({"number": 3, "places": places})
    assert stage.is_stored({"number": 3, "places": places})
    assert not stage.run({"number": 3, "places": places}).reused
    assert not stage.is_stored({"number": 4, "places": places})


def test_other_arguments_and_other_names_are_other_steps(places: Places) -> None:
    Stage(count).run({"number": 3, "places": places})
    Stage(count).run({"number": 4, "places": places})
    Stage(count, name="count-again").run({"number": 3, "places": places})
    assert calls == [3, 4, 3]


def test_places_are_no_part_of_a_key(tmp_path: Path) -> None:
    stage, here = Stage(count), Places(tmp_path)
    elsewhere = Places(tmp_path / "b", mirror=tmp_path, tracking_uri="sqlite:///b.db", step=tmp_path / "c")
    assert stage.key(tmp_path, {"number": 3, "places": here}) == stage.key(tmp_path, {"number": 3, "places": elsewhere})


def test_a_whole_plan_and_a_path_are_refused(repository: Project, tmp_path: Path) -> None:
    plan = load_plan([], repository)
    with pytest.raises(TypeError, match="step count was given a whole plan as 'plan'; pass the parts of it that"):
        Stage(count).key(tmp_path, {"plan": plan})
    with pytest.raises(TypeError, match=r"given the path .* as 'where'; pass it within `places`"):
        Stage(count).key(tmp_path, {"where": tmp_path})
    with pytest.raises(TypeError, match=r"given a whole plan as 'parts\[1\]\.plan'"):
        Stage(count).key(tmp_path, {"parts": (3, {"plan": plan})})
    assert Stage(count).key(tmp_path, {"plan": plan.version}) != Stage(count).key(tmp_path, {"plan": plan.learner})


@pytest.mark.parametrize(
    "damage", ["delete", "truncate", "flip", b'{"record": {"num', b"\xff\xfe", b"[]", b'{"record": {}}']
)
def test_a_step_whose_files_are_gone_or_damaged_is_computed_again(
    places: Places, damage: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    Stage(count).run({"number": 3, "places": places})
    (folder,) = (path for path in (places.root / ".headframe/stages/count").iterdir() if path.is_dir())
    if damage == "delete":
        (folder / "work.txt").unlink()
    elif damage == "truncate":
        (folder / "work.txt").write_text("")
    elif damage == "flip":
        (folder / "work.txt").write_text("dond")
    else:
        assert isinstance(damage, bytes)
        (folder / "record.json").write_bytes(damage)
    assert not Stage(count).run({"number": 3, "places": places}).reused
    [message] = caplog.messages
    named = "work.txt" if isinstance(damage, str) else "record.json"
    assert message.startswith(f"count        {folder / named} is ")
    assert message.endswith("; the step is made again")
    assert Stage(count).run({"number": 3, "places": places}).reused
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("part", ["record", "files", "seal", "another step's"])
def test_a_record_that_was_edited_is_not_believed(places: Places, part: str, caplog: pytest.LogCaptureFixture) -> None:
    """Edited without a change of size, and with every sha256 put right that can be put right without a key."""
    for number in (3, 4):
        Stage(count).run({"number": number, "places": places})
    records = {json.loads(each.read_bytes())["record"]["number"]: each for each in places.root.rglob("record.json")}
    content = json.loads(records[3].read_bytes())
    before = records[3].stat()
    if part == "record":
        content["record"]["calls"] = 7
    elif part == "files":
        (records[3].parent / "work.txt").write_text("none")
        content["files"]["work.txt"] = sha256(b"none")
    elif part == "seal":
        content["seal"] = content["seal"][:8] + sha256(json.dumps(content["record"]).encode())
    else:
        content = json.loads(records[4].read_bytes())
    records[3].write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    os.utime(records[3], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert records[3].stat().st_size == before.st_size
    done = Stage(count).run({"number": 3, "places": places})
    assert (done.reused, done.record.number) == (False, 3)
    assert f"{records[3]} is not what this step wrote (its seal" in caplog.text


def test_what_another_person_s_key_sealed_is_made_again(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keys = os.environ["HEADFRAME_KEYS"]
    for folder, reused in ((keys, False), (tmp_path / "other", False), (tmp_path / "other", True), (keys, False)):
        monkeypatch.setenv("HEADFRAME_KEYS", str(folder))
        assert Stage(count).run({"number": 3, "places": places}).reused is reused
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
        f"count        is made again: it was sealed with a key that is not in {folder}; "
        "to reuse what was made with it, as in CI, keep its file (HEADFRAME_KEYS names the folder)"
        for folder in (tmp_path / "other", keys)
    ]


def test_what_was_sealed_without_a_key_is_made_again_where_there_is_one(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keys = os.environ["HEADFRAME_KEYS"]
    (tmp_path / "file").touch()
    for folder in (str(tmp_path / "file"), keys):
        monkeypatch.setenv("HEADFRAME_KEYS", folder)
        assert not Stage(count).run({"number": 3, "places": places}).reused
    assert caplog.messages == ["count        is made again: it was sealed when there was no key on this machine"]


@pytest.mark.parametrize("why", ["a file in the way", "a signer who has no key"])
def test_a_step_is_stored_where_no_key_can_be_created(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setenv("HEADFRAME_KEYS", str(tmp_path / "keys"))
    if why == "a file in the way":
        (tmp_path / "keys").write_text("no folder")
    else:
        monkeypatch.setenv("HEADFRAME_SIGNER", "nobody")
    assert [Stage(count).run({"number": 3, "places": places}).reused for _ in range(2)] == [False, True]


def test_hidden_files_and_folders_are_no_part_of_a_record(places: Places) -> None:
    def leave(number: int, places: Places) -> Counted:
        for name in (".cost.json", ".checkpoint/last.ckpt"):
            (places.folder / name).parent.mkdir(exist_ok=True)
            (places.folder / name).write_text("differs between equal runs")
        return count(number, places)

    Stage(leave).run({"number": 3, "places": places})
    [record] = (places.root / ".headframe/stages/leave").glob("*/record.json")
    assert json.loads(record.read_bytes())["files"] == {"work.txt": sha256(b"done")}


def test_a_record_that_no_longer_holds_is_computed_again(places: Places) -> None:
    for number, reused in ((3, False), (4, True)):
        Stage(count).run({"number": number, "places": places})
        assert Stage(count, valid=holds).run({"number": number, "places": places}).reused == reused


def test_a_failure_leaves_no_record(places: Places) -> None:
    def fail(places: Places) -> Counted:
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        Stage(fail).run({"places": places})
    assert list(places.root.rglob("record.json")) == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A project whose `src/` has modules of its own, each with one number."""
    source = tmp_path / "src"
    source.mkdir()
    for name in ("network", "source", "program", "unrelated"):
        (source / f"own_{name}.py").write_text("number = 1\n")
    return tmp_path


def test_a_key_holds_the_code_of_function_targets_sources_and_program(own: Path, repository: Project) -> None:
    """Each is code of the project's own that only one of them leads to."""
    dataset = load_plan(["dataset=digits"], repository).dataset
    source = next(iter(dataset.sources.values())).model_copy(update={"uri": "own_source:anything"})
    dataset = dataset.model_copy(update={"sources": {"raw": source}})
    stage = Stage(count, program="own_program")
    leads = {
        "network": {"number": 3, "parts": {"deep": [{"_target_": "own_network.Network"}]}},
        "source": {"number": 3, "dataset": dataset},
        "program": {"number": 3},
    }
    for name, arguments in leads.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("headframe.stages.scheme_module", lambda uri: uri.partition(":")[0])
            before = stage.key(own, arguments)
            for changed in ("network", "source", "program", "unrelated"):
                file = own / "src" / f"own_{changed}.py"
                file.write_text("number = 2\n")
                other = stage.key(own, arguments) != before
                assert other is (changed in {name, "program"}), (name, changed)
                file.write_text("number = 1\n")
            assert stage.key(own, arguments) == before


def test_a_key_tells_steps_arguments_and_their_order_apart(places: Places) -> None:
    keys = [
        stage.key(places.root, arguments)
        for stage in (Stage(count), Stage(count, name="other"), Stage(holds))  # type: ignore[type-var]
        for arguments in ({"number": 3}, {"number": 4}, {"n": 3}, {"number": [3, 4]}, {"number": [4, 3]}, {})
    ]
    assert len(set(keys)) == len(keys) == 18
    assert Stage(count).key(places.root, {"number": (3, 4)}) == Stage(count).key(places.root, {"number": [3, 4]})
    assert Stage(count).key(places.root, {"a": 1, "b": 2}) == Stage(count).key(places.root, {"b": 2, "a": 1})


def test_a_step_is_named_after_its_function() -> None:
    def fit_baseline(places: Places) -> Counted:
        raise NotImplementedError

    assert Stage(fit_baseline).name == "fit-baseline"
    assert Stage(fit_baseline, name="fit").name == "fit"


def test_a_step_finds_its_own_folder_and_what_it_left_there(places: Places) -> None:
    def twice(places: Places) -> Counted:
        left = len(list(places.folder.iterdir()))
        (places.folder / f"try-{left}").touch()
        (places.folder / "deep" / "er").mkdir(parents=True, exist_ok=True)
        (places.folder / "deep" / "er" / "file").write_text("12345")
        if not left:
            raise RuntimeError("half-way")
        return Counted(number=left, calls=0)

    with pytest.raises(RuntimeError):
        Stage(twice).run({"places": places})
    done = Stage(twice).run({"places": places})
    assert done.record.number == 2
    folder = places.root / ".headframe" / "stages" / "twice" / done.key[:16]
    files = json.loads((folder / "record.json").read_text())["files"]
    assert files == {"try-0": sha256(b""), "try-2": sha256(b""), "deep/er/file": sha256(b"12345")}
    assert list(files) == sorted(files)
    assert Stage(twice).run({"places": places}).reused


def test_a_step_that_fails_when_it_is_computed_again_is_not_finished_any_more(places: Places) -> None:
    """The record goes before the work begins, as the work changes what the record stands for."""

    def fragile(number: int, places: Places) -> Counted:
        calls.append(number)
        if len(calls) > 1:
            raise RuntimeError("again")
        return Counted(number=number, calls=1)

    stage = Stage(fragile, valid=lambda record, number: False)
    stage.run({"number": 3, "places": places})
    with pytest.raises(RuntimeError):
        stage.run({"number": 3, "places": places})
    assert list(places.root.rglob("record.json")) == []


def test_a_record_of_what_json_does_not_know_comes_back(places: Places) -> None:
    class Dated(Record):
        when: datetime
        parts: tuple[Path, ...]

    def call(places: Places) -> Dated:
        return Dated(when=datetime(2026, 3, 1, tzinfo=UTC), parts=(Path("a"),))

    call.__annotations__["return"] = Dated
    first, second = (Stage(call).run({"places": places}) for _ in range(2))
    assert (second.reused, second.record) == (True, first.record)


def test_a_record_with_non_ascii_text_comes_back(places: Places) -> None:
    class Named(Record):
        name: str

    def call(places: Places) -> Named:
        return Named(name="Grube Ölsnitz \u2028 煤")

    call.__annotations__["return"] = Named
    first, second = (Stage(call).run({"places": places}) for _ in range(2))
    assert (second.reused, second.record) == (True, first.record)
    [stored] = places.root.rglob("record.json")
    assert "Ölsnitz" in stored.read_text(encoding="utf-8")


PROGRAM = """
import logging, os, sys, time
from pathlib import Path
from headframe.digests import Record
from headframe.places import Places
from headframe.stages import Stage

class Done(Record):
    pid: int

def work(places: Places) -> Done:
    (places.folder / f"started-{os.getpid()}").write_text("")
    while not (places.root / "may-end").exists():
        time.sleep(0.01)
    return Done(pid=os.getpid())

logging.basicConfig(format="%(message)s", level=logging.INFO)
print(Stage(work).run({"places": Places(Path(sys.argv[1]))}).record.pid, flush=True)
"""


def start(root: Path) -> subprocess.Popen[str]:
    """Start a step that ends when the file `may-end` appears."""
    program = root / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    return subprocess.Popen(
        [sys.executable, str(program), str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(root: Path, pattern: str) -> None:
    import time

    for _ in range(1200):
        if list(root.glob(pattern)):
            return
        time.sleep(0.05)
    pytest.fail(f"{pattern} never appeared")


def test_two_runs_at_once_compute_a_step_once(tmp_path: Path) -> None:
    first = start(tmp_path)
    wait_for(tmp_path / ".headframe/stages/work", "*/started-*")
    second = start(tmp_path)
    assert second.stderr is not None
    assert second.stderr.readline() == "work         is running in another process; waiting for it\n"
    (tmp_path / "may-end").touch()
    assert first.communicate()[0] == second.communicate()[0] == f"{first.pid}\n"


def test_a_killed_step_is_started_again_in_its_own_folder(tmp_path: Path) -> None:
    first = start(tmp_path)
    wait_for(tmp_path / ".headframe/stages/work", "*/started-*")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    (tmp_path / "may-end").touch()
    second = start(tmp_path)
    assert second.communicate()[0] == f"{second.pid}\n"
    assert len(list(tmp_path.rglob("started-*"))) == 2
