"""A check is made once for files that stay as they are, and again for any other."""

import os
import stat
from pathlib import Path

import pytest

from headframe.checked_files import DAYS, FOLDER, holds
from headframe.environment import KEYS, keys_folder

calls: list[bytes] = []


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEYS, str(tmp_path / "keys"))
    calls.clear()
    file = tmp_path / "file"
    file.write_bytes(b"good")
    return file


def checked(file: Path, facts: str = "facts") -> tuple[bool, int]:
    """Whether the file holds `good`, and how often that was looked for so far."""

    def check() -> bool:
        calls.append(file.read_bytes())
        return calls[-1] == b"good"

    return holds(facts, [file.stat()], check), len(calls)


def test_an_unchanged_file_is_read_once(file: Path) -> None:
    assert [checked(file) for _ in range(3)] == [(True, 1)] * 3
    assert checked(file, "others") == (True, 2)


def test_every_change_is_noticed_without_a_change_of_size_or_times(file: Path) -> None:
    checked(file)
    about = file.stat()
    for number, content in enumerate([b"goof", b"good"] * 20, start=2):
        file.write_bytes(content)
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert checked(file) == (content == b"good", number)


def test_what_failed_is_not_remembered(file: Path) -> None:
    file.write_bytes(b"goof")
    assert [checked(file) for _ in range(2)] == [(False, 1), (False, 2)]


def test_a_check_is_made_again_after_a_month_and_forgotten(file: Path) -> None:
    checked(file)
    [marker] = (keys_folder() / FOLDER).iterdir()
    long_ago = marker.stat().st_mtime - DAYS * 86_400 - 1
    os.utime(marker, (long_ago, long_ago))
    checked(file, "others")
    assert not marker.exists()
    assert checked(file) == (True, 3)


def test_what_others_may_write_is_not_believed(file: Path) -> None:
    checked(file)
    folder = keys_folder() / FOLDER
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o770)
    assert [checked(file) for _ in range(2)] == [(True, 2), (True, 3)]


def test_a_folder_that_cannot_be_written_costs_a_check_each_time(file: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where a folder is expected")
    assert [checked(file) for _ in range(2)] == [(True, 1), (True, 2)]
