"""What is read of DVC's own files, against DVC's public client."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock, call

import pytest
from dvc.api import DVCFileSystem
from dvc.lock import LockError

from headframe.config.plan.data import DatasetConfig
from headframe.config.project import Project
from headframe.data_versions.commit import commit
from headframe.data_versions.dvc_files import DvcSettings, object_file, settings_of_remote, tracked_files
from headframe.data_versions.dvc_store import DvcStore
from headframe.datasets.ingest import ingest
from headframe.places import Places

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")


@pytest.fixture
def project(tmp_path: Path, people: Callable[..., DatasetConfig]) -> Path:
    root = tmp_path / "project"
    commit(ingest(people(), Places(root, tmp_path)), Places(root))
    return root


def dvc(root: Path, *arguments: str) -> str:
    called = [sys.executable, "-m", "dvc", *arguments]
    wide = {**os.environ, "COLUMNS": "1000"}  # else long paths are broken into lines
    return subprocess.run(called, cwd=root, capture_output=True, text=True, check=True, env=wide).stdout.strip()


def test_tracked_files_and_their_objects_are_those_of_dvcs_file_system(project: Path) -> None:
    settings = DvcSettings.read(project)
    _, found = tracked_files(project, settings.cache)
    system = DVCFileSystem(str(project), config={"core": {"no_scm": True}})
    entries = system.find("data", detail=True).items()
    expected = {path.removeprefix("data/"): entry["dvc_info"]["md5"] for path, entry in entries}
    assert found == expected
    assert {path.partition("/")[2] for path in found} == {"dataset.json", "rejected.parquet", "table.parquet"}
    assert settings.remote_folder is not None
    for path, md5 in found.items():
        content = system.read_bytes(f"data/{path}")
        assert object_file(settings.cache, md5).read_bytes() == content
        assert object_file(settings.remote_folder, md5).read_bytes() == content


def test_cache_and_remote_are_those_that_the_command_line_names(project: Path, tmp_path: Path) -> None:
    settings = DvcSettings.read(project)
    assert str(settings.cache) == dvc(project, "cache", "dir")
    assert settings.remote == dvc(project, "remote", "default")
    assert dvc(project, "remote", "list").split()[:2] == [settings.remote, settings.remote_url]
    dvc(project, "cache", "dir", "--local", str(tmp_path / "shared"))
    dvc(project, "remote", "add", "--local", "--default", "team", "s3://bucket/folder")
    settings = DvcSettings.read(project)
    assert str(settings.cache) == dvc(project, "cache", "dir") == str(tmp_path / "shared")
    assert settings.remote == dvc(project, "remote", "default") == "team"
    assert (settings.remote_url, settings.remote_folder) == ("s3://bucket/folder", None)


def test_settings_for_another_project_name_the_same_places_to_the_command_line(project: Path, tmp_path: Path) -> None:
    settings = DvcSettings.read(project)
    other = tmp_path / "other"
    (other / ".dvc").mkdir(parents=True)
    for parser, expected in (
        (settings.with_remotes_only()["config"], [settings.remote, settings.remote_url]),
        (settings_of_remote("lent", settings.cache), ["lent", str(settings.cache)]),
    ):
        with (other / ".dvc" / "config").open("w", encoding="utf-8") as stream:
            parser.write(stream)
        assert dvc(other, "remote", "list").split()[:2] == expected
        assert dvc(other, "remote", "default") == expected[0]
        assert dvc(other, "cache", "dir") == str(other / ".dvc" / "cache")


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("before", [None, b"outs: []\n"], ids=["first", "later"])
def test_what_dvc_writes_before_it_fails_is_taken_back(before: bytes | None, tmp_path: Path) -> None:
    """On a full disk it writes `data.dvc` although what this names was not stored; the first time there is none."""
    pointer = tmp_path / "data.dvc"
    if before is not None:
        pointer.write_bytes(before)

    def add(paths: list[str], *, relink: bool) -> None:
        pointer.write_text("outs: [{md5: of what is not there}]")
        raise FULL

    store = DvcStore(Mock(add=add), Project(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        store.add([tmp_path / "data"])
    assert (pointer.read_bytes() if pointer.is_file() else None) == before


def test_dvcs_lock_is_waited_for_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([LockError("held"), LockError("held"), None])
    repo = Mock(add=Mock(side_effect=held))
    DvcStore(repo, Project(tmp_path)).add([tmp_path / "a", tmp_path / "b"])
    assert repo.add.mock_calls == [call([str(tmp_path / "a"), str(tmp_path / "b")], relink=False)] * 3
    monkeypatch.setattr("headframe.data_versions.dvc_store.FOREIGN_LOCK_SECONDS", -1)
    with pytest.raises(LockError, match="held"):
        DvcStore(Mock(add=Mock(side_effect=LockError("held"))), Project(tmp_path)).add([tmp_path])


def test_settings_without_a_remote_name_none_and_those_for_another_project_no_cache(tmp_path: Path) -> None:
    folder = tmp_path / ".dvc"
    folder.mkdir()
    (folder / "config").write_text("[core]\n    autostage = false\n")
    alone = DvcSettings.read(tmp_path)
    assert (alone.remote, alone.remote_url, alone.remote_folder) == ("", "", None)
    assert alone.cache == folder / "cache"
    lines = [
        "[cache]",
        "dir = ../shared",
        "[core]",
        "remote = near",
        "['remote \"near\"']",
        "url = ../store",
        "jobs = 3",
    ]
    (folder / "config.local").write_text("\n".join(lines))
    shared = DvcSettings.read(tmp_path)
    assert shared.cache == tmp_path / "shared"
    assert shared.remote_folder == tmp_path / "store"
    copied = shared.with_remotes_only()["config.local"]
    assert not copied.has_section("cache")
    assert dict(copied["'remote \"near\"'"]) == {"url": str(tmp_path / "store"), "jobs": "3"}
    assert copied["core"]["remote"] == "near"
    assert shared.files["config.local"]["cache"]["dir"] == "../shared", "a copy"
