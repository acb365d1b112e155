"""A project is its owner's alone: what others could reach is made private, and where they write nothing is signed."""

import os
import pwd
import stat
from pathlib import Path

import pytest

from headframe import permissions
from headframe.cli.main import main
from headframe.config.project import Project
from headframe.doctor import check_others
from headframe.errors import HeadframeError
from headframe.permissions import make_private, open_to_others, require_own, written_by_others


@pytest.fixture(autouse=True)
def own_umask():
    """`main` sets the process's umask, which is the test session's, too."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def root(project: Project) -> Path:
    """A project as an earlier version left it: all can read it, and write to the folder that DVC made."""
    cache = project.state / "dvc" / "repo" / "abc"
    cache.mkdir(parents=True)
    (cache / "cache.db").write_bytes(b"")
    (project.state / "mlflow.db").write_bytes(b"")
    marked = project.state / "dvc-remote" / "object"
    marked.parent.mkdir()
    marked.write_bytes(b"")
    marked.chmod(0o444)
    for folder in (project.state, project.state / "dvc", project.state / "dvc" / "repo", cache):
        folder.chmod(0o777)
    return project.root


def test_an_existing_project_is_made_private_once_and_that_is_printed(root: Path, capsys: pytest.CaptureFixture[str]):
    others = open_to_others(root / ".headframe")
    assert len(others) == 8
    assert check_others(root).state == "fail"
    (root / ".headframe").chmod(0o755)
    assert check_others(root).state == "warn"
    assert main(["list", "models", "--project", str(root)]) == 0
    assert "others could read or write 7 files and folders in .headframe; now only you can" in capsys.readouterr().err
    assert open_to_others(root / ".headframe") == []
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in others}
    assert {mode for path, mode in modes.items() if path.name == "object"} == {0o444}, "DVC would hash it again"
    assert {mode & 0o077 for path, mode in modes.items() if path.name != "object"} == {0}
    assert main(["list", "models", "--project", str(root)]) == 0
    assert "others" not in capsys.readouterr().err
    assert check_others(root).state == "ok"


def test_links_are_not_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    (state / "link").symlink_to(outside)
    assert make_private(state) == 1
    assert outside.stat().st_mode & 0o077 == 0o055
    assert make_private(state / "link") == 0


def test_what_another_command_removes_meanwhile_stops_no_check(root: Path, monkeypatch: pytest.MonkeyPatch):
    below = permissions._below

    def and_removed(folder: Path):
        yield from below(folder)
        yield folder / "of-another-command"

    monkeypatch.setattr(permissions, "_below", and_removed)
    gone, chmod = root / ".headframe" / "mlflow.db", Path.chmod
    monkeypatch.setattr(Path, "chmod", lambda path, mode: (path == gone and path.unlink(), chmod(path, mode)))
    assert len(open_to_others(root / ".headframe")) == 8
    assert make_private(root / ".headframe") == 6
    assert not gone.exists()
    assert written_by_others(root) == []


@pytest.mark.parametrize("name", [".", "conf", "conf/model/cnn.yaml", "flows/train.py", ".headframe"])
def test_nothing_is_signed_where_others_can_write(root: Path, name: str):
    make_private(root / ".headframe")
    require_own(root)
    path = root / name
    path.chmod(path.stat().st_mode | 0o002)
    assert written_by_others(root) == [path]
    with pytest.raises(HeadframeError, match=rf"others can write to {path}, so nothing is signed .*: chmod -R go-w"):
        require_own(root)
    check = check_others(root)
    assert (check.state, check.fix) == ("fail", f"look at what is there, then: chmod -R go-w {root}")
    assert name != "conf" or main(["train", "--project", str(root)]) == 1


def test_a_folder_above_counts_where_others_could_put_another_in_its_place(root: Path):
    make_private(root / ".headframe")
    root.parent.chmod(0o1777)  # as /tmp: what others own stays theirs
    require_own(root)
    root.parent.chmod(0o777)
    with pytest.raises(HeadframeError, match=f"others can write to {root.parent}, .* run: chmod go-w {root.parent}$"):
        require_own(root)


def test_a_group_of_ones_own_is_nobody_else(root: Path, monkeypatch: pytest.MonkeyPatch):
    make_private(root / ".headframe")
    root.chmod(0o775)
    me = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(permissions.grp, "getgrgid", lambda _: group(me, []))
    require_own(root)
    monkeypatch.setattr(permissions.grp, "getgrgid", lambda _: group(me, ["ben"]))
    assert written_by_others(root) == [root]
    monkeypatch.setattr(permissions.grp, "getgrgid", lambda _: group("staff", []))
    assert written_by_others(root) == [root]


def group(name: str, members: list[str]):
    return permissions.grp.struct_group((name, "x", 1000, members))


def test_what_belongs_to_somebody_else_counts_for_all_but_root(root: Path, monkeypatch: pytest.MonkeyPatch):
    make_private(root / ".headframe")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    owner = root.stat().st_uid
    assert (root in written_by_others(root)) == (owner != 0)
