"""What holds for every command: one JSON document, paths from where the user stands, nothing finished is hidden."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headframe.cli import main

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that nobody stands in."""
    root = tmp_path / "project"
    for name in ("conf", "flows"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.mark.parametrize("arguments", [["run", "--bogus"], ["frobnicate"], ["predict", "digits"], ["run", "model=cn"]])
def test_wrong_usage_is_a_json_document_as_well(
    arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json", *(["--project", str(root)] if "cn" in arguments[-1] else [])]) == 2
    printed, said = capsys.readouterr()
    document = json.loads(printed)
    assert document["exit_code"] == 2
    assert said.endswith(f"headframe: {document['error']}\n")


def test_a_reader_that_has_seen_enough_is_no_failure_to_talk_about(root: Path) -> None:
    command = f"{sys.executable} -m headframe list --json --project {root} | head -c0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_paths_are_those_of_the_user_not_of_the_project(root: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image\n1\n")
    done = subprocess.run(
        [sys.executable, "-m", "headframe", "predict", "digits", "rows.csv", "absent/out.parquet", "--project", root],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PREFECT_HOME": "/nonexistent", "PREFECT_API_URL": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{tmp_path}/absent is no folder" in done.stderr


def test_a_new_project_comes_to_where_the_user_stands(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "mine", "--project", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "conf" / "plan.yaml").is_file()


def test_a_run_that_fails_hides_none_that_ended_before(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "missing").mkdir()
    shutil.copy(root / "conf" / "dataset" / "digits.yaml", root / "conf" / "dataset" / "broken.yaml")
    broken = root / "conf" / "dataset" / "broken.yaml"
    broken.write_text(broken.read_text().replace("name: digits", "name: broken").replace("min_rows: ", "min_rows: 9"))
    assert main(["ingest", "dataset=digits,broken", "--json", "--project", str(root)]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [each["validated"]["table"]["dataset"] for each in document["finished"]] == ["digits"]
    assert document["error"].startswith("run 2 of 2 (dataset=broken): dataset broken breaks its contract")


@pytest.mark.parametrize("action", ["versions", "status", "verify"])
def test_a_project_that_stores_nothing_yet_says_so(action: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", action, "--project", str(root)]) == 0
    assert capsys.readouterr().out == "nothing is stored yet; store a data set with: headframe ingest\n"


def test_a_registry_that_cannot_be_used_is_said_before_anything_is_done(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / ".headframe").mkdir()
    (root / ".headframe" / "mlflow.db").write_bytes(b"garbage" * 1000)
    assert main(["run", "--json", "--project", str(root)]) == 1
    assert "or move it away and a new one is made" in json.loads(capsys.readouterr().out)["error"]
    assert not (root / ".headframe" / "stages").exists()


@pytest.mark.parametrize("place", ["data/digits/table.parquet", ".headframe/out.parquet"])
def test_predictions_never_take_the_place_of_what_the_project_keeps(root: Path, place: str) -> None:
    (root / place).parent.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "headframe", "predict", "digits", "digits", place],
        cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "PREFECT_HOME": "/nonexistent", "PREFECT_API_URL": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert "where the project keeps its tables and models" in done.stderr
