"""Digests against their formula, and files that are there whole or not at all."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from pydantic import BaseModel

from headframe.digests import (
    Record,
    atomic_file,
    canonical,
    digest,
    digest_content,
    file_digest,
    folder_digest,
    umask,
    write_atomically,
    write_record,
)  # fmt: skip


class Inner(Record):
    depth: int = 3
    path: Path = Path("a")


class Outer(Record):
    name: str
    inner: Inner = Inner()


def test_the_canonical_form_is_sorted_dense_and_utf8() -> None:
    assert canonical({"b": [1, 2.5, None, True], "a": "Öl煤\u2028"}) == '{"a":"Öl煤\u2028","b":[1,2.5,null,true]}'
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical(number)


def test_what_equals_its_default_identifies_nothing() -> None:
    whole = Outer(name="n", inner=Inner(depth=4))
    assert digest_content(whole) == {"name": "n", "inner": {"depth": 4}}
    assert digest_content({7: (whole, 1), "x": [Inner()]}) == {
        "7": [{"name": "n", "inner": {"depth": 4}}, 1],
        "x": [{}],
    }
    assert digest_content(whole, exclude={"inner"}) == {"name": "n"}
    assert digest_content(Inner(path=Path("b"))) == {"path": "b"}, "as JSON"
    assert digest(whole) == hashlib.sha256(b'{"inner":{"depth":4},"name":"n"}').hexdigest()


def test_a_folder_s_digest_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("deep/b", "a"):
        (tmp_path / name).write_bytes(name.encode())
    a, b = (hashlib.sha256(name).hexdigest() for name in (b"a", b"deep/b"))
    assert file_digest(tmp_path / "a") == a
    assert folder_digest(tmp_path) == hashlib.sha256(f'{{"a":"{a}","deep/b":"{b}"}}'.encode()).hexdigest()


@pytest.mark.parametrize("content", ["Öl煤\n", b"\xff\x00"])
def test_a_file_is_written_with_its_folders(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "one" / "two" / "file"
    for _ in range(2):  # the second time over the first
        write_atomically(file, content)
    assert file.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [each.name for each in file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_permissions_of_any_new_one(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", "x")
        assert umask() == mask
        assert umask() == mask, "and it stays"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    open_files = len(list(Path("/proc/self/fd").iterdir()))

    def fail(*, removed: bool) -> None:
        with atomic_file(file) as fresh:
            assert fresh.parent == tmp_path, "a rename is atomic on one file system only"
            assert fresh.name.startswith(".file."), "hidden, and named after what it becomes"
            fresh.write_text("new")
            if removed:
                fresh.unlink()
            raise RuntimeError("half-way")

    for removed in (False, True):
        with pytest.raises(RuntimeError, match="half-way"):
            fail(removed=removed)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut leaves the old file or the new one: never a name whose content was not written out."""
    synced: list[tuple[int, bool]] = []
    file = tmp_path / "file"
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append((os.fstat(handle).st_size, file.exists())))
    write_atomically(file, "12345")
    assert synced == [(5, False)]


def test_a_record_is_indented_json_with_a_line_end(tmp_path: Path) -> None:
    class Small(BaseModel):
        a: int

    write_record(tmp_path / "record.json", Small(a=1))
    assert (tmp_path / "record.json").read_text() == '{\n  "a": 1\n}\n'
