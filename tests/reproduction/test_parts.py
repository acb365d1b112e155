"""The parts of a reproduction by themselves: code, data, scratch folders, verdicts."""

import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock
from fixtures import in_child, plan_for
from leftovers import git, lineage_of, make_project, picture

from headframe.config.plan.serving import CodeConfig
from headframe.config.project import Project
from headframe.data_versions.dvc_store import open_store
from headframe.data_versions.versions import DataFolderVersions
from headframe.datasets.ingest import ingest
from headframe.datasets.table import METADATA, Table
from headframe.digests import write_record
from headframe.errors import DataError, Refused
from headframe.places import Places
from headframe.records import Interval, TableRecord
from headframe.reproduction.checkout import check_out
from headframe.reproduction.data import SOURCES, link_raw_files, restore_table
from headframe.reproduction.page import render_reproduction, show_reproduction
from headframe.reproduction.report import (
    STAGES,
    Difference,
    MetricComparison,
    Reproduction,
    StageComparison,
    tolerance,
    verdict_of,
)
from headframe.reproduction.scratch import LOCK, PREFIX, YOUNG, remove_leftovers, scratch_folder
from headframe.tracking import lineage


def _files(folder: Path) -> dict[str, str]:
    return {name: entry for name, entry in picture(folder).items() if not name.startswith(".git/")}


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A project whose last commit is not what lies in its folder, in every way that git knows."""
    root = make_project(tmp_path / "repository")
    git(root, "commit", "--message", "first")
    (root / "README.md").unlink()
    (root / "conf" / "plan.yaml").rename(root / "conf" / "moved.yaml")
    shutil.copy(root / "conf" / "moved.yaml", root / "conf" / "plan.yaml")
    (root / "src" / "größe.bin").write_bytes(bytes(range(256)))
    (root / "src" / "tool").write_text("#!/bin/sh\n")
    (root / "src" / "tool").chmod(0o755)
    (root / "src" / "link").symlink_to("tool")
    with (root / "conf" / "plan.yaml").open("ab") as stream:
        stream.write(b"# trailing blanks   \r\n# no newline at the end")
    return root


def test_commit_and_diff_give_the_files_as_they_were_whatever_git_is_set_to(edited: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    noisy = "[diff]\n noprefix = true\n external = false\n renames = copies\n[color]\n ui = always\n"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "home" / ".gitconfig").write_text(f"{noisy}[core]\n hooksPath = {hooks}\n")
    code = lineage.read_code_state(edited, CodeConfig(sources=("src/*",)))
    before = picture(edited)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))  # as in a hook of another repository
    root = check_out(lineage_of(code), code.diff or b"", edited, tmp_path / "checkout")
    monkeypatch.delenv("GIT_DIR")
    assert _files(root) == _files(edited)
    assert picture(edited) == before
    assert git(edited, "worktree", "list").count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_without_a_commit_all_code_is_in_the_diff(tmp_path: Path):
    root = make_project(tmp_path / "repository")
    code = lineage.read_code_state(root)
    assert code.commit == ""
    shutil.rmtree(root / ".git")
    again = check_out(lineage_of(code), code.diff or b"", root, tmp_path / "checkout")
    assert _files(again) == {name: entry for name, entry in picture(root).items() if name != ".git"} | {
        ".git": picture(again)[".git"]
    }


def test_a_project_in_a_folder_of_its_repository_is_found_there(tmp_path: Path):
    (tmp_path / "repository").mkdir()
    git(tmp_path / "repository", "init")
    root = make_project(tmp_path / "repository" / "mining")
    git(root, "commit", "--message", "first")
    (root / "new.py").write_text("new\n")
    (tmp_path / "repository" / "other.txt").write_text("no part of the project\n")
    code = lineage.read_code_state(root)
    assert code.folder == "mining/"
    again = check_out(lineage_of(code), code.diff or b"", root, tmp_path / "checkout")
    assert again == tmp_path / "checkout" / "mining"
    assert picture(again) == picture(root)


def test_a_diff_that_does_not_fit_is_refused(edited: Path, tmp_path: Path):
    code = lineage.read_code_state(edited, CodeConfig(sources=("src/*",)))
    diff = (code.diff or b"").replace(b"\n-", b"\n-x")
    with pytest.raises(Refused, match="the stored diff of the version cannot be applied"):
        check_out(lineage_of(code), diff, edited, tmp_path / "checkout")


@pytest.fixture
def committed(tmp_path: Path) -> tuple[Path, TableRecord]:
    """A project with a committed version of the digits, and another one in its place now."""
    root = make_project(tmp_path / "project")
    dataset = plan_for("digits").dataset
    table = ingest(dataset, Places(root))

    def commit() -> None:  # in a process of its own, since DVC holds its caches open until a process ends
        DataFolderVersions(root).commit("first")
        shutil.rmtree(root / "data" / "digits")
        ingest(dataset.model_copy(update={"sources": _shorter(dataset, tmp_path)}), Places(root, tmp_path))
        DataFolderVersions(root).commit("second")

    assert in_child(commit) == 0
    return root, table


def _shorter(dataset, folder: Path):
    import gzip

    from headframe.datasets.raw_files import fetch_raw_file

    whole = gzip.decompress(fetch_raw_file("pixels", dataset.sources["pixels"], folder, None).read_bytes())
    (folder / "short.csv.gz").write_bytes(gzip.compress(b"\n".join(whole.split(b"\n")[:1200]) + b"\n"))
    return {"pixels": dataset.sources["pixels"].model_copy(update={"uri": "file:short.csv.gz", "sha256": None})}


def test_data_comes_by_digest_from_cache_or_remote_which_stay_as_they_are(committed, tmp_path: Path):
    root, table = committed
    before = picture(root)
    for number, (gone, place) in enumerate([(None, "cache"), (".dvc/cache", "remote")]):
        if gone:
            shutil.rmtree(root / gone)
            before = picture(root)
        target = tmp_path / f"checkout{number}"
        shutil.copytree(root / ".dvc", target / ".dvc", ignore=shutil.ignore_patterns("cache"))
        assert restore_table(table, root, target) == f"the project's DVC {place}"
        found = Table.open(target / table.folder)
        found.verify()
        assert found.digest == table.digest
        assert picture(root) == before


def test_a_damaged_object_is_not_taken_and_not_touched(committed, tmp_path: Path):
    root, table = committed
    for store in (root / ".dvc" / "cache", root / ".headframe" / "dvc-remote"):
        largest = max(store.rglob("files/md5/*/*"), key=lambda path: path.stat().st_size)
        largest.chmod(0o644)
        raw = bytearray(largest.read_bytes())
        raw[100] ^= 1
        largest.write_bytes(raw)
        largest.chmod(0o444)
    before = picture(root)
    (tmp_path / "checkout").mkdir()
    assert restore_table(table, root, tmp_path / "checkout") == SOURCES
    assert not (tmp_path / "checkout" / "data" / "digits").exists()
    assert picture(root) == before


def test_rows_with_another_digest_than_stated_are_neither_committed_nor_restored(tmp_path: Path):
    root = make_project(tmp_path / "project")
    record = ingest(plan_for("digits").dataset, Places(root))

    def commit_forged() -> None:
        about = Table.open(root / record.folder).metadata
        write_record(root / record.folder / METADATA, about.model_copy(update={"digest": "0" * 64}))
        with pytest.raises(DataError, match=r"table\.parquet has rows of digest .* but dataset\.json says 0000"):
            DataFolderVersions(root).commit("forged")
        with open_store(Project(root)) as store:  # as somebody does who calls DVC alone
            store.store_data()
            store.add([root / "data"])

    assert in_child(commit_forged) == 0
    (tmp_path / "checkout").mkdir()
    forged = record.model_copy(update={"digest": "0" * 64})
    assert restore_table(forged, root, tmp_path / "checkout") == SOURCES
    assert not (tmp_path / "checkout" / "data" / "digits").exists()


def test_without_dvc_data_is_collected(tmp_path: Path):
    table = TableRecord(dataset="digits", folder="data/digits", digest="0" * 64, rows=1, rejected=0)
    assert restore_table(table, tmp_path, tmp_path / "checkout") == SOURCES


def test_raw_files_that_git_does_not_track_are_linked(tmp_path: Path):
    project, root = tmp_path / "project", tmp_path / "checkout"
    (project / "raw").mkdir(parents=True)
    (project / "raw" / "a.csv").write_text("a\n")
    (project / "secret").write_text("private\n")
    link_raw_files(
        {"a": {"uri": "file:raw/a.csv"}, "b": {"uri": "file:../b.csv"}, "c": {"uri": "file:/c.csv"}}, project, root
    )
    assert (root / "raw" / "a.csv").read_text() == "a\n"
    assert [path.name for path in root.rglob("*") if not path.is_dir()] == ["a.csv"]


def test_only_folders_of_ended_processes_are_removed(tmp_path: Path):
    ended, running, young, other = (tmp_path / f"{PREFIX}{name}" for name in ("ended", "running", "young", "x"))
    for folder in (ended, running, young):
        folder.mkdir()
    (ended / LOCK).touch()
    (ended / "objects").mkdir()
    (ended / "objects" / "read-only").write_text("x")
    (ended / "objects").chmod(0o500)
    other.symlink_to(tmp_path)
    with FileLock(running / LOCK):
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {running.name, young.name, other.name}
    long_ago = time.time() - 2 * YOUNG
    os.utime(young, (long_ago, long_ago))
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_a_scratch_folder_is_gone_after_a_failure(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail() -> None:
        with scratch_folder() as own:
            (own / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not [*tmp_path.iterdir()]


def _stages(*different: str) -> tuple[StageComparison, ...]:
    return tuple(
        StageComparison(stage=name, recorded="a", reproduced="b" if name in different else "a") for name in STAGES
    )


NEAR, FAR = (
    MetricComparison(recorded=0.9, reproduced=0.9005, tolerance=0.001),
    MetricComparison(recorded=0.9, reproduced=0.902, tolerance=0.001),
)


@pytest.mark.parametrize(
    ("different", "metrics", "expected"),
    [
        ((), {"a": MetricComparison(recorded=0.9, reproduced=0.9, tolerance=0)}, "bitwise"),
        (("code",), {"a": MetricComparison(recorded=0.9, reproduced=0.9, tolerance=0)}, "bitwise"),
        (("weights", "predictions", "metrics"), {"a": NEAR}, "within tolerance"),
        (("code", "weights"), {"a": NEAR}, "within tolerance"),
        (("weights", "predictions", "metrics"), {"a": NEAR, "b": FAR}, "different"),
        (("weights",), {}, "different"),
        (("features", "weights"), {"a": NEAR}, "different"),
        (("split",), {"a": NEAR}, "different"),
        (("data",), {"a": NEAR}, "different"),
        (("plan",), {"a": NEAR}, "different"),
    ],
)
def test_the_verdict_follows_from_stages_and_metrics(different, metrics, expected: str):
    assert verdict_of(_stages(*different), metrics) == expected


def test_a_tenth_of_the_half_width_or_a_thousandth_is_allowed():
    assert tolerance(Interval(value=0.9, low=0.86, high=0.94)) == pytest.approx(0.004)
    assert tolerance(Interval(value=0.9, low=0.8999, high=0.9001)) == pytest.approx(0.0009)
    assert tolerance(Interval(value=-3.0, low=None, high=None)) == pytest.approx(0.003)


def test_a_page_names_what_differs(capsys):
    found = Reproduction(
        model="digits", version=3, verdict="within tolerance", first_difference="code",
        reason="weights are not the same",
        stages=_stages("code", "weights", "predictions", "metrics"), metrics={"accuracy": NEAR},
        modules=(Difference(name="headframe.examples.seeds", recorded="a", current="b", used=True),),
        environment=(
            Difference(name="torch", recorded="2.13.0", current="2.14.0", used=True),
            *(Difference(name=f"other{n}", recorded="1", current="2", used=False) for n in range(7)),
        ),
        data="the project's DVC cache", seconds={"all": 12.0}, bundle="c" * 64, provenance="d" * 64, entry="e" * 64,
    )  # fmt: skip
    show_reproduction(found)
    shown = capsys.readouterr().out
    for words in (
        "headframe.examples.seeds is not as recorded", "torch: 2.13.0 recorded, 2.14.0 now", "other4 (not used)",
        "and 2 more libraries", "within tolerance: weights are not the same", "0.9005", "ledger     entry eeeeeeeeeeee",
    ):  # fmt: skip
        assert words in shown
    assert str(found) == "digits version 3: within tolerance; weights are not the same"
    for suffix in (".html", ".md"):
        page = render_reproduction(found, suffix)
        for words in (
            "digits version 3",
            "within tolerance",
            "headframe.examples.seeds",
            "other4 (not used)",
            "0.9005",
        ):
            assert words in page
