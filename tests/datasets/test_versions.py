"""Versions through DVC: nothing is rewritten for nothing, nothing damaged is handed out."""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from headframe.cli.main import main
from headframe.config.plan.data import DatasetConfig
from headframe.data_versions.versions import DataFolderVersions
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table, open_record
from headframe.errors import DataError, HeadframeError
from headframe.places import Places

# DVC asks pygtrie for a value that pygtrie wants to take back; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")

Shipped = Callable[[str], DatasetConfig]
People = Callable[..., DatasetConfig]
OTHER = "name,age,height,city\nEve,1,1,a\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project inside a git repository."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / ".gitignore").write_text("/data\n/.headframe\n")
    return folder


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def put(make: People, root: Path, text: str | None = None, **settings: Any) -> str:
    dataset = make(**({} if text is None else {"text": text}), **settings)
    return ingest(dataset, Places(root, root.parent)).digest


def test_nothing_is_writable_for_others_that_dvc_or_we_create(people: People, root: Path) -> None:
    def open_to_all() -> list[Path]:
        return [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]

    before = os.umask(0o022)
    try:
        put(people, root)
        DataFolderVersions(root).commit("people")
        assert open_to_all() == []
        (root / ".headframe" / "dvc").chmod(0o777)  # as earlier versions left it
        (root / ".headframe" / "dvc" / "repo").chmod(0o777)
        DataFolderVersions(root).commit("people")
        assert open_to_all() == []
    finally:
        os.umask(before)


def objects(root: Path) -> list[Path]:
    return sorted(file for file in (root / ".dvc" / "cache" / "files").rglob("*") if file.is_file())


def object_of(file: Path, root: Path) -> Path:
    (found,) = [one for one in objects(root) if one.read_bytes() == file.read_bytes()]
    return found


def spoil(file: Path) -> None:
    """Flip a bit and keep size and mode, which is what DVC trusts."""
    mode = file.stat().st_mode
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(bytes(raw))
    file.chmod(mode)


def test_a_fresh_clone_that_ingests_the_bundled_digits_leaves_data_dvc_unchanged(
    root: Path, tmp_path: Path, shipped: Shipped
) -> None:
    ingest(shipped("digits"), Places(root))
    DataFolderVersions(root).commit("digits")
    assert (root / "data.dvc").read_bytes() == (Path(__file__).parents[2] / "data.dvc").read_bytes()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "data")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(root), str(clone))
    assert not (clone / "data").exists()
    before = (clone / "data.dvc").stat().st_mtime_ns
    ingest(shipped("digits"), Places(clone))
    DataFolderVersions(clone).commit("digits")
    assert git(clone, "status", "--short") == ""
    assert (clone / "data.dvc").stat().st_mtime_ns == before
    assert DataFolderVersions(clone).status() == {"digits": "same"}


def test_nothing_is_written_when_nothing_changed_and_git_is_left_alone(
    root: Path, people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    put(people, root)
    versions = DataFolderVersions(root)
    assert versions.commit("first")
    before = (root / "data.dvc").stat().st_mtime_ns, versions.versions()
    assert versions.commit("again") is None
    assert ((root / "data.dvc").stat().st_mtime_ns, versions.versions()) == before
    assert git(root, "diff", "--cached", "--name-only") == ""
    assert capsys.readouterr().out == ""
    config = (root / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "verify = true" in config


def test_a_damaged_list_of_versions_names_the_line(root: Path, people: People) -> None:
    put(people, root)
    versions = DataFolderVersions(root)
    versions.commit()
    with (root / ".headframe" / "versions.jsonl").open("ab") as stream:
        stream.write(b'{"x\xff')
    with pytest.raises(DataError, match=r"versions\.jsonl, line 2 is no version but"):
        versions.versions()


def test_a_line_that_names_another_digest_than_was_stored_is_found(root: Path, people: People) -> None:
    digest = put(people, root)
    versions = DataFolderVersions(root)
    versions.commit()
    listed = root / ".headframe" / "versions.jsonl"
    listed.write_text(listed.read_text().replace(digest, digest[::-1]))
    pattern = rf"line 1 says version {digest[::-1][:12]} of people, but it is {digest[:12]}; delete that line"
    with pytest.raises(DataError, match=pattern):
        versions.versions()


def test_everything_reaches_the_remote(root: Path, people: People) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    remote = root / ".headframe" / "dvc-remote" / "files"
    assert {file.name for file in remote.rglob("*") if file.is_file()} == {file.name for file in objects(root)}


def test_an_older_version_comes_back_by_the_start_of_its_digest(root: Path, people: People) -> None:
    old = put(people, root)
    DataFolderVersions(root).commit("old")
    new = put(people, root, OTHER)
    DataFolderVersions(root).commit("new")
    pointer = (root / "data.dvc").read_bytes()
    record = DataFolderVersions(root).restore("people", old[:8])
    assert record.digest == old
    open_record(record, root).verify()
    assert (root / "data.dvc").read_bytes() == pointer
    assert DataFolderVersions(root).status() == {"people": "changed"}
    assert DataFolderVersions(root).restore("people", new).digest == new
    assert [version.message for version in DataFolderVersions(root).versions()] == ["old", "new"]


def test_two_versions_are_compared_row_by_row(root: Path, people: People, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "conf").mkdir()
    (root / "conf" / "plan.yaml").write_text("")
    keyed = {"key": "name"}
    first = put(people, root, "name,age,height,city\nAda,36,1.65,London\nGrace,85,,New York\nZoë,41,2,Rome\n", **keyed)
    DataFolderVersions(root).commit("people")
    put(people, root, "name,age,height,city\nGrace,85,,New York\nAda,36,1.65,Paris\nEve,1,1,Rome\n", **keyed)
    assert main(["data", "diff", "people", first[:8], "--project", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "added      1: Eve", "removed    1: Zoë", "changed    1: Ada", "unchanged  1",
    ]  # fmt: skip
    assert Table.open(root / "data" / "people").digest != first, "the present version stays"
    assert main(["data", "diff", "people", "--project", str(root)]) == 2
    assert "as in: headframe data diff digits 33adb70c" in capsys.readouterr().err


def test_a_version_comes_back_from_the_remote_alone(root: Path, people: People) -> None:
    old = put(people, root)
    DataFolderVersions(root).commit("old")
    put(people, root, OTHER)
    DataFolderVersions(root).commit("new")
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / ".headframe" / "dvc")
    (root / ".headframe" / "versions.jsonl").unlink()
    assert DataFolderVersions(root).restore("people", old).digest == old


def test_a_list_that_others_put_into_the_remote_writes_nothing_elsewhere(root: Path, people: People) -> None:
    old = put(people, root)
    DataFolderVersions(root).commit("old")
    stolen = root.parent / "startup.py"
    files = {f"people/{file.name}": object_of(file, root) for file in (root / "data" / "people").iterdir()}
    files["people/" + "../" * 20 + str(stolen).lstrip("/")] = files["people/dataset.json"]
    entries = [{"md5": "".join(file.parts[-2:]), "relpath": name} for name, file in sorted(files.items())]
    raw = json.dumps(entries).encode()
    name = f"{hashlib.md5(raw).hexdigest()}.dir"
    shutil.rmtree(root / ".dvc" / "cache")
    (root / ".headframe" / "versions.jsonl").unlink()
    remote = root / ".headframe" / "dvc-remote" / "files" / "md5"
    for honest in remote.glob("*/*.dir"):
        honest.unlink()
    (remote / name[:2]).mkdir(exist_ok=True)
    (remote / name[:2] / name[2:]).write_bytes(raw)
    with pytest.raises(
        DataError, match=r"^a list in cache or remote names '\.\./.*startup.py', which is no file in a data"
    ):
        DataFolderVersions(root).restore("people", old)
    assert not stolen.exists()


def test_no_list_in_the_remote_leads_to_files_elsewhere(root: Path, people: People) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    for depth in range(12):
        store_list(root, json.dumps([{"relpath": "people/dataset.json", "md5": "../" * depth + str(root / "own")[1:]}]))
    (root / "own").write_text("a file of the owner's")
    with pytest.raises(HeadframeError, match="version of people that cache or remote hold begins with ffff"):
        DataFolderVersions(root).restore("people", "ffff")
    assert (root / "own").read_text() == "a file of the owner's"


def store_list(root: Path, content: str) -> str:
    """Store a list in the remote under its name, as anybody can who writes to it; return the name."""
    raw = content.encode("latin-1")
    name = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    file = root / ".headframe" / "dvc-remote" / "files" / "md5" / name[:2] / f"{name[2:]}.dir"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(raw)
    return name


LISTS = ("{}", "[1]", "[[]]", "\xff", '[{"md5": "0"}]', '[{"relpath": 1, "md5": "0"}]')


@pytest.mark.parametrize("content", [*LISTS, '[{"relpath": "people/dataset.json", "md5": 7}]'])
def test_a_list_in_the_remote_that_is_none_harms_no_other_version(root: Path, people: People, content: str) -> None:
    digest = put(people, root)
    DataFolderVersions(root).commit()
    name = store_list(root, content)
    assert DataFolderVersions(root).restore("people", digest).digest == digest
    with pytest.raises(DataError, match=f"{name}.dir is damaged or missing in cache and remote, and no other version"):
        DataFolderVersions(root).restore("people", "ffff")


def test_an_unknown_digest_is_said(root: Path, people: People) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    with pytest.raises(HeadframeError, match="no version of people that cache or remote hold begins with ffff"):
        DataFolderVersions(root).restore("people", "ffff")


def test_a_damaged_cache_is_found_and_the_remote_mends_it(root: Path, people: People) -> None:
    digest = put(people, root)
    DataFolderVersions(root).commit()
    damaged = object_of(root / "data" / "people" / "table.parquet", root)
    spoil(damaged)
    assert damaged.stat().st_mode & 0o777 == 0o444
    with pytest.raises(DataError, match=f"1 objects in DVC's cache are damaged, first {damaged}"):
        DataFolderVersions(root).verify()
    shutil.rmtree(root / "data" / "people")
    assert DataFolderVersions(root).restore("people", digest).digest == digest
    assert DataFolderVersions(root).verify() > 0


@pytest.mark.parametrize("what", ["table.parquet", "dataset.json", "list"])
def test_damage_in_cache_and_remote_is_never_handed_out(root: Path, people: People, what: str) -> None:
    digest = put(people, root)
    DataFolderVersions(root).commit()
    if what == "list":
        (damaged,) = (root / ".dvc" / "cache").rglob("*.dir")
    else:
        damaged = object_of(root / "data" / "people" / what, root)
    spoil(damaged)
    spoil(root / ".headframe" / "dvc-remote" / "files" / "md5" / damaged.parent.name / damaged.name)
    shutil.rmtree(root / "data" / "people")
    name = f"{damaged.parent.name}{damaged.name}"
    named = name if what == "list" else rf"{re.escape(what)} \({name}\)"
    with pytest.raises(DataError, match=f"^{named} is damaged or missing in cache and remote"):
        DataFolderVersions(root).restore("people", digest)
    assert not (root / "data" / "people").exists()


def test_a_damaged_object_is_stored_again_with_the_data(root: Path, people: People) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    damaged = object_of(root / "data" / "people" / "table.parquet", root)
    spoil(damaged)
    put(people, root, name="others", text=OTHER)
    DataFolderVersions(root).commit()
    put(people, root)
    DataFolderVersions(root).verify()


def test_a_data_set_that_is_not_here_stays_listed(root: Path, people: People) -> None:
    digest = put(people, root)
    DataFolderVersions(root).commit()
    shutil.rmtree(root / "data" / "people")
    put(people, root, name="others", text=OTHER)
    DataFolderVersions(root).commit()
    assert DataFolderVersions(root).status() == {"others": "same", "people": "absent"}
    assert DataFolderVersions(root).restore("people", digest).digest == digest
    assert DataFolderVersions(root).status() == {"others": "same", "people": "same"}


def test_data_of_unknown_content_is_left_listed_with_a_warning_until_it_is_here_again(
    root: Path, tmp_path: Path, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("data.dvc", ".dvc/config"):
        (clone / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(root / name, clone / name)
    others = put(people, clone, name="others", text=OTHER)
    with caplog.at_level(logging.WARNING, logger="headframe"):
        assert DataFolderVersions(clone).commit()
    assert "neither the cache nor the remote holds" in caplog.text
    assert (clone / "data.dvc").read_bytes() == (root / "data.dvc").read_bytes()
    put(people, clone)
    DataFolderVersions(clone).commit()
    assert DataFolderVersions(clone).status() == {"others": "same", "people": "same"}
    shutil.rmtree(clone / "data" / "others")
    assert DataFolderVersions(clone).restore("others", others).digest == others


def test_a_full_disk_leaves_data_dvc_as_it_was(root: Path, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    before = (root / "data.dvc").read_bytes()
    put(people, root, OTHER)
    add = Repo.add

    def full(self: Repo, *given: Any, **named: Any) -> None:
        add(self, *given, **named)  # writes data.dvc, as it does on a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Repo, "add", full)
    with pytest.raises(HeadframeError, match="No space left on device"):
        DataFolderVersions(root).commit()
    assert (root / "data.dvc").read_bytes() == before
    monkeypatch.setattr(Repo, "add", add)
    assert DataFolderVersions(root).commit()
    assert DataFolderVersions(root).status() == {"people": "same"}


def test_notes_that_dvc_cannot_use_are_said_and_may_be_removed(root: Path, people: People) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    notes = list((root / ".headframe" / "dvc").rglob("*.db"))
    for file in notes:
        file.write_bytes(b"no database" * 1000)
    with pytest.raises(HeadframeError, match=r"DVC cannot use its notes in .*dvc \(file is not a database\)") as caught:
        DataFolderVersions(root).status()
    assert caught.value.exit_code == 1
    shutil.rmtree(root / ".headframe" / "dvc")
    assert DataFolderVersions(root).status() == {"people": "same"}


def test_a_project_outside_git_keeps_versions_too(tmp_path: Path, people: People) -> None:
    digest = put(people, tmp_path / "plain")
    assert DataFolderVersions(tmp_path / "plain").commit()
    assert DataFolderVersions(tmp_path / "plain").restore("people", digest).digest == digest


def test_a_project_in_a_folder_of_a_repository_keeps_versions_too(root: Path, people: People) -> None:
    inner = root / "team" / "inner"
    inner.mkdir(parents=True)
    ingest(people(), Places(inner, root.parent))
    assert DataFolderVersions(inner).commit()
    assert DataFolderVersions(inner).status() == {"people": "same"}


def test_nothing_to_store_is_said(root: Path) -> None:
    with pytest.raises(HeadframeError, match="holds no data set"):
        DataFolderVersions(root).commit()


def test_the_table_survives_versioning_writable_and_unlinked(root: Path, people: People) -> None:
    put(people, root)
    DataFolderVersions(root).commit()
    file = root / "data" / "people" / "table.parquet"
    assert file.stat().st_nlink == 1
    assert file.stat().st_mode & 0o200
    Table.open(file.parent).verify()
