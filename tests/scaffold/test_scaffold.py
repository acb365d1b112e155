"""A new project, from the repository and from the wheel."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headframe import scaffold
from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.errors import ConfigurationError, HeadframeError
from headframe.scaffold import init

REPOSITORY = Path(__file__).resolve().parents[2]


def shipped() -> set[str]:
    """What belongs to a project in this repository."""
    files = [path for name in ("conf", "flows") for path in (REPOSITORY / name).rglob("*") if path.is_file()]
    shipped = {path.relative_to(REPOSITORY).as_posix() for path in files if "__pycache__" not in path.parts}
    return shipped | {"infra/prefect.yaml"}


def test_a_new_project_has_conf_and_flows_and_is_found(tmp_path: Path):
    written = init(tmp_path / "deep" / "My mine 1")
    root = tmp_path / "deep" / "My mine 1"
    on_disk = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert set(written) == {file for file in on_disk if not file.startswith(".git/")}
    assert shipped() <= set(written)
    assert {".gitignore", ".dvcignore", "README.md", "src/README.md"} <= set(written)
    assert Project.find(root / "src").root == root
    assert "my_mine_1.wide.Wide" in (root / "src" / "README.md").read_text()
    assert (root / "conf" / "plan.yaml").read_bytes() == (REPOSITORY / "conf" / "plan.yaml").read_bytes()


def test_the_plan_of_a_new_project_is_that_of_this_repository(tmp_path: Path):
    init(tmp_path / "mine")
    assert load_plan([], Project(tmp_path / "mine")) == load_plan([], Project(REPOSITORY))


def test_an_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    init(tmp_path / "mine")
    assert (tmp_path / "mine" / "conf" / "plan.yaml").is_file()


@pytest.mark.parametrize("made", ["a folder with a file", "a file"])
def test_what_is_there_already_is_not_touched(tmp_path: Path, made: str):
    target = tmp_path / "mine"
    if made == "a file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="mine is not an empty folder; name one that is empty"):
        init(target)
    assert (
        target.read_text() == "mine" if made == "a file" else [path.name for path in target.iterdir()] == ["notes.txt"]
    )


def test_a_place_that_cannot_be_written_is_named_and_left_clean(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadframeError, match=r"file/mine cannot be created: .*; choose a folder that you may write to"):
        init(tmp_path / "file" / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["a%41", "what?", "a:b", "c#", "a;b", "a{b}", "a\\b", "a\nb", "a\udcff"])
def test_a_path_that_addresses_cannot_hold_is_refused_at_once(name: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"a project cannot lie in .*; rename that folder$"):
        init(tmp_path / name)
    assert not [*tmp_path.iterdir()]
    (tmp_path / name / "conf").mkdir(parents=True)  # cloned or renamed, in or below such a folder
    (tmp_path / name / "conf" / "plan.yaml").touch()
    with pytest.raises(ConfigurationError, match=r"a project cannot lie in "):
        Project.find(tmp_path / name / "conf")


def test_a_repository_is_made_only_where_there_is_none(tmp_path: Path):
    init(tmp_path / "outer")
    assert (tmp_path / "outer" / ".git").is_dir()
    init(tmp_path / "outer" / "inner")
    assert not (tmp_path / "outer" / "inner" / ".git").exists()


def test_without_git_the_project_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    init(tmp_path / "mine")
    assert (tmp_path / "mine" / "conf").is_dir()
    assert not (tmp_path / "mine" / ".git").exists()


def test_a_broken_installation_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scaffold, "__file__", str(tmp_path / "a" / "b" / "scaffold.py"))
    with pytest.raises(HeadframeError, match="install headframe again"):
        init(tmp_path / "mine")


def built(folder: Path) -> Path:
    """Build the wheel of this repository."""
    build = [sys.executable, "-m", "uv", "build", "--wheel", "--quiet", "--out-dir", str(folder), str(REPOSITORY)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("headframe-*.whl")
    return wheel


def test_the_wheel_carries_the_project(tmp_path: Path):
    with zipfile.ZipFile(built(tmp_path)) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert {f"headframe/_project/{name}" for name in shipped()} <= names
    assert "headframe/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]
    code = "import pathlib, sys; from headframe.scaffold import init; init(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mine")],
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""},
        cwd=tmp_path,
        check=True,
    )
    made = {path.relative_to(tmp_path / "mine").as_posix() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    assert shipped() <= made


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Path]:
    """A fresh virtual environment; it takes a gigabyte, so it is removed afterwards."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    yield tmp_path / "venv"
    shutil.rmtree(tmp_path / "venv")


@pytest.mark.slow
def test_the_installed_wheel_makes_a_project_that_runs_to_its_champion(environment: Path, tmp_path: Path):
    """As the README says: pip install headframe && headframe init mine && cd mine && headframe run."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "MLFLOW_", "PYTHONPATH", "VIRTUAL_ENV"))
    }
    variables = {**inherited, "OMP_NUM_THREADS": "1", "PREFECT_HOME": "/nonexistent"}

    def call(folder: Path, *command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    wheel = built(tmp_path / "built")
    commands = environment / "bin"
    # pip looks where this machine's pip is configured to look; the lock keeps the versions that are tested.
    call(tmp_path, str(commands / "pip"), "install", "--quiet", "-c", str(REPOSITORY / "constraints.txt"), str(wheel))
    where = call(tmp_path, str(commands / "python"), "-c", "import headframe; print(headframe.__file__)")
    assert Path(where.strip()).is_relative_to(environment)

    headframe = str(commands / "headframe")
    call(tmp_path, headframe, "init", "mine")
    mine = tmp_path / "mine"
    small = ("model=mlp", "trainer.max_epochs=8", "evaluation.resamples=100")
    result = json.loads(call(mine, headframe, "run", "--json", *small))
    assert result["decision"]["state"] == "champion"
    assert result["smoke_test"]["status"] == 200
    assert json.loads(result["smoke_test"]["response"])["predictions"]
    assert (mine / result["result"]["evaluated"]["folder"] / "report.html").is_file()
