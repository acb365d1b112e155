"""Code is known by commit and by what differs from it."""

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from headframe.config.plan.serving import CodeConfig
from headframe.errors import ConfigurationError
from headframe.tracking import lineage
from headframe.tracking.code_secrets import secret_in


def _git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    _git(root, "init")
    (root / "tracked.py").write_text("a = 1\n", encoding="utf-8")
    (root / "image.bin").write_bytes(bytes(16))
    (root / ".gitignore").write_text("ignored/\n", encoding="utf-8")
    _git(root, "add", "--all")
    _git(root, "commit", "-m", "first")
    return root


def test_commit_and_diff_rebuild_the_code_as_it_was(repository: Path, tmp_path: Path):
    (repository / "tracked.py").write_text("a = 2  # größer 😀\n", encoding="utf-8")
    (repository / "new.py").write_text("b = 1\n", encoding="utf-8")
    (repository / "image.bin").write_bytes(bytes(range(256)))
    (repository / "ignored").mkdir()
    (repository / "ignored" / "data").write_text("x", encoding="utf-8")
    before = _git(repository, "status", "--porcelain")
    code = lineage.read_code_state(repository)
    assert _git(repository, "status", "--porcelain") == before
    _git(tmp_path, "clone", str(repository), "clone")
    clone = tmp_path / "clone"
    _git(clone, "checkout", code.commit)
    assert code.diff is not None
    (tmp_path / "code.diff").write_bytes(code.diff)
    _git(clone, "apply", str(tmp_path / "code.diff"))
    for name in ("tracked.py", "new.py", "image.bin"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()
    assert not (clone / "ignored").exists()
    assert code.note == ""


@pytest.mark.parametrize("committed", [True, False])
def test_of_new_files_only_sources_are_stored(tmp_path: Path, committed: bool):
    _git(tmp_path, "init")
    if committed:
        (tmp_path / "README").write_text("a")
        _git(tmp_path, "add", "--all")
        _git(tmp_path, "commit", "-m", "first")
    kept = ("src/own/net.py", "conf/model/own.yaml", "pyproject.toml", "src/own/.gitignore", "staged.json", "[x] *.py")
    left = (
        ".env",
        "private/credentials.json",
        "conf/secrets.env",
        "src/own/words.json",
        "notes.txt",
        "rows.csv",
        "a.pem",
    )
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"of {name}\n")
    _git(tmp_path, "add", "staged.json")
    code = lineage.read_code_state(tmp_path)
    assert code.diff is not None
    stored = {line[6:].strip() for line in code.diff.decode().splitlines() if line.startswith("+++ b/")}
    assert stored == set(kept)
    assert "src/own/words.json" in code.note
    assert "conf/secrets.env" in code.note
    assert "credentials" not in code.note
    wider = lineage.read_code_state(tmp_path, CodeConfig(sources=("src/own/*.json",)))
    assert b"of src/own/words.json" in (wider.diff or b"")


# Put together here, so that this file holds none itself.
SECRETS = {
    "AWS": "AWS_ACCESS_KEY_ID = 'AKIA" + "IOSFODNN7EXAMPLE'",
    "named": "aws_secret_access_key: " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "password": 'password = "tr0ub4dor' + '&3x"',
    "GitHub": "x = 'ghp_" + "0123456789abcdefghijABCDEFGHIJ012345'",
    "address": "url: postgresql://anna:" + "hunter22@db.example/ledger",
    "private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "Hugging Face": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "language model": "OPENAI='sk-" + "proj-abcdefghijklmnopqrstuvwxyz0123456789'",
    "web token": "a eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkw.dozjgNryP4J3jVmNHl0w5N",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_code_is_refused_with_file_and_line_and_not_quoted(repository: Path, name: str):
    (repository / "tracked.py").write_text(f"a = 1\nb = 2\n{SECRETS[name]}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^tracked\.py:3 seems to hold .*tracking\.code\.waived") as refused:
        lineage.read_code_state(repository)
    assert SECRETS[name].strip("'")[-8:] not in str(refused.value)
    for waived in ("tracked.py:3", "tracked.py:*"):
        assert lineage.read_code_state(repository, CodeConfig(waived_secrets=(waived,))).diff
    (repository / "tracked.py").write_text("a = 1\n", encoding="utf-8")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "key.py").write_text(SECRETS[name], encoding="utf-8")
    assert lineage.read_code_state(repository).diff == b""


def test_no_line_of_this_repository_looks_like_a_secret():
    root = Path(__file__).resolve().parents[2]
    for name in _git(root, "ls-files").split():
        content = (root / name).read_bytes()
        lines = content.decode().split("\n") if b"\0" not in content else []
        assert [f"{name}:{number}" for number, line in enumerate(lines, 1) if secret_in(line)] == []


def test_unchanged_code_has_an_empty_diff(repository: Path):
    code = lineage.read_code_state(repository)
    assert code.diff == b""
    assert code.commit == _git(repository, "rev-parse", "HEAD").strip()


def test_reading_leaves_no_objects_in_the_repository(repository: Path):
    (repository / "new.py").write_text("b = 1\n", encoding="utf-8")
    before = sorted((repository / ".git" / "objects").rglob("*"))
    lineage.read_code_state(repository)
    assert sorted((repository / ".git" / "objects").rglob("*")) == before


def test_before_the_first_commit_all_code_is_in_the_diff(tmp_path: Path):
    _git(tmp_path, "init")
    (tmp_path / "new.py").write_text("b = 1\n", encoding="utf-8")
    code = lineage.read_code_state(tmp_path)
    assert (code.commit, code.note) == ("", "nothing is committed yet, so all code is in code.diff")
    assert code.diff is not None
    assert b"+b = 1" in code.diff


def test_without_git_it_is_reported(tmp_path: Path, monkeypatch):
    assert "no git repository" in lineage.read_code_state(tmp_path).note
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lineage.read_code_state(tmp_path).note == "git is not installed, so commit and changes are not known"


def test_a_broken_repository_is_reported_and_stops_nothing(repository: Path):
    (repository / ".git" / "refs" / "heads" / "main").write_text("0" * 39 + "1\n", encoding="utf-8")
    assert "git could not be read" in lineage.read_code_state(repository).note


def test_changes_too_large_to_keep_are_reported(repository: Path, monkeypatch):
    monkeypatch.setattr(lineage, "LARGEST_DIFF", 10)
    (repository / "new.py").write_text("b = 1\n" * 100, encoding="utf-8")
    code = lineage.read_code_state(repository)
    assert "too many to keep; commit or ignore them" in code.note
    assert code.diff is None


def test_the_flow_run_is_what_the_orchestrator_says(monkeypatch):
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    monkeypatch.delenv(lineage.FLOW_RUN, raising=False)
    assert lineage.flow_run() == ""
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "1-2-3")
    assert lineage.flow_run() == "1-2-3"
    monkeypatch.setenv(lineage.FLOW_RUN, "http://127.0.0.1:4200/runs/flow-run/1-2-3")
    assert lineage.flow_run() == "http://127.0.0.1:4200/runs/flow-run/1-2-3"


def test_installed_versions_are_those_that_python_reads_from_the_metadata():
    found = lineage.installed_versions()
    assert {name: metadata.version(name) for name in found} == found
    assert {"scikit-learn", "great-expectations", "ruamel-yaml"} <= set(found)  # a blank of either kind in their names
    assert list(found) == sorted(found)
