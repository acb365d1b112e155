"""What the doctor finds, and the fix it names."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from headframe import doctor
from headframe.doctor import (
    check_access,
    check_all,
    check_data_versions,
    check_lock,
    check_requirements,
    check_servers,
    check_space,
    check_telemetry,
    check_torch,
)
from headframe.tracking.lineage import installed_versions


def test_this_environment_is_healthy(tmp_path: Path):
    checks = check_all(tmp_path)
    assert {check.name: check.state for check in checks if check.state == "fail"} == {}
    assert len({check.name for check in checks}) == len(checks) == 13


def test_nothing_heavy_is_imported_to_look_at_a_machine(tmp_path: Path):
    look = (
        "import sys; from pathlib import Path; from headframe.doctor import check_all; "
        "check_all(Path.cwd()); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "mlflow", "prefect", "dvc", "great_expectations", "pandas", "pyarrow", "sklearn"}
    assert not heavy & set(done.stdout.split())


def test_a_fastapi_too_new_for_prefect_is_named_with_the_fix():
    check = check_requirements({**installed_versions(), "fastapi": "0.165.0"})
    assert check.state == "fail"
    assert check.found == "fastapi 0.165.0 is too new for Prefect"
    assert "'fastapi<0.151,>=0.139'" in check.fix


def test_a_missing_package_is_named():
    without = {name: version for name, version in installed_versions().items() if name != "skops"}
    check = check_requirements(without)
    assert (check.state, check.found) == ("fail", "skops is missing")


def test_drift_from_the_lock_is_listed(tmp_path: Path):
    (tmp_path / "constraints.txt").write_text(
        "# made by a tool\n"
        "alpha==1.0\n    # via beta\n"
        "Beta_Two==2.0 ; python_version < '4'\n"
        "gone==3.0\n"
        "elsewhere==1.0 ; sys_platform == 'amiga'\n"
        "torch==2.13.0\n"
    )
    same = {"alpha": "1.0", "beta-two": "2.0", "elsewhere": "9", "torch": "2.13.0+cpu"}
    assert check_lock(tmp_path, same).state == "ok"
    check = check_lock(tmp_path, {**same, "beta-two": "2.1"})
    assert (check.state, check.found) == ("warn", "Beta_Two 2.1 instead of 2.0")
    many = dict.fromkeys(("alpha", "beta-two", "torch"), "0")
    assert check_lock(tmp_path, many).found.count("instead of") == 3


def test_a_lock_that_cannot_be_read_is_reported(tmp_path: Path):
    assert check_lock(tmp_path, {}).state == "ok"
    (tmp_path / "constraints.txt").write_text("alpha is nice\n")
    check = check_lock(tmp_path, {})
    assert (check.state, check.found) == ("fail", "constraints.txt line 1 is no pin: alpha is nice")


@pytest.mark.parametrize(
    ("versions", "gpu", "state", "words"),
    [
        ({"torch": "2.13.0+cpu"}, False, "ok", "2.13.0+cpu, no GPU"),
        ({"torch": "2.13.0+cu126"}, True, "ok", "GPU found"),
        ({"torch": "2.13.0+cpu"}, True, "warn", "this build cannot use it"),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, False, "fail", "torchvision 0.28.0 is built for CUDA"),
        ({}, False, "fail", "torch is missing"),
    ],
)
def test_torch_is_held_against_the_machine(versions: dict[str, str], gpu: bool, state: str, words: str):
    check = check_torch(versions, gpu)
    assert check.state == state
    assert words in check.found
    assert bool(check.fix) == (state != "ok")


def configure(root: Path, url: str | None) -> None:
    (root / ".dvc").mkdir()
    remote = "" if url is None else f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n"
    (root / ".dvc" / "config").write_text(remote)


def test_data_versions_without_a_remote_are_pointed_out(tmp_path: Path):
    assert "the first `headframe ingest` does it" in check_data_versions(tmp_path).found
    configure(tmp_path, None)
    check = check_data_versions(tmp_path)
    assert (check.state, check.fix) == ("warn", "dvc remote add --default team URL")


def test_a_local_remote_is_held_against_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    configure(tmp_path, "../remote")
    assert check_data_versions(tmp_path).state == "ok"
    assert "which the first push makes" in check_data_versions(tmp_path).found
    (tmp_path / "remote").mkdir()
    assert check_data_versions(tmp_path).found == f"remote team at {tmp_path / 'remote'}"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)  # root may write anywhere
    check = check_data_versions(tmp_path)
    assert check.state == "fail"
    assert f"make {tmp_path / 'remote'} writable" in check.fix


def test_a_far_remote_is_not_contacted(tmp_path: Path):
    configure(tmp_path, "s3://bucket/data")
    assert check_data_versions(tmp_path).found == "remote team at s3://bucket/data, not connected to"


def test_damaged_settings_are_reported(tmp_path: Path):
    configure(tmp_path, None)
    (tmp_path / ".dvc" / "config").write_text("remote = what\n")
    assert check_data_versions(tmp_path).state == "fail"


def test_servers_that_died_are_pointed_out(tmp_path: Path):
    assert check_servers(tmp_path).state == "ok"
    (tmp_path / ".headframe").mkdir()
    note = tmp_path / ".headframe" / "servers.json"
    note.write_text('{"prefect": {"pid": 4194305, "created": 1.0, "port": 4200}}')
    check = check_servers(tmp_path)
    assert check.state == "warn"
    assert "prefect died" in check.found
    assert "headframe down" in check.fix
    note.write_text("{")
    assert check_servers(tmp_path).state == "fail"


@pytest.mark.parametrize(("free", "state"), [(10**8, "fail"), (10**9, "warn"), (10**11, "ok")])
def test_little_space_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert check_space(tmp_path).state == state


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert check_access(tmp_path).state == "ok"

    def refuse(**_: object):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    check = check_access(tmp_path)
    assert (check.state, check.fix) == ("fail", f"chmod -R u+w {tmp_path}")


def test_no_permission_is_recommended_where_the_file_system_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(**_: object):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    check = check_access(tmp_path)
    assert check.found == f"{tmp_path} cannot be written: Read-only file system"
    assert check.fix == f"have {tmp_path} mounted for writing, or work in a copy of the project elsewhere"


def test_telemetry_that_was_switched_on_is_pointed_out():
    for off in ({}, {"DO_NOT_TRACK": "true"}, {"DO_NOT_TRACK": "1", "GX_ANALYTICS_ENABLED": "0"}):
        assert check_telemetry(off).state == "ok"
    check = check_telemetry({"MLFLOW_DISABLE_TELEMETRY": "false"})
    assert check.state == "warn"
    assert "MLFLOW_DISABLE_TELEMETRY=false" in check.found
    assert check.fix == "unset MLFLOW_DISABLE_TELEMETRY"
