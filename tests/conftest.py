"""What tests share: the raw data, projects of their own, registered models."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import measured
import pytest
import shared
from hypothesis import settings

from headframe.config.project import Project
from headframe.garbage import collect_rarely

if TYPE_CHECKING:
    from fixtures import Made, World
    from runs import ForkedRuns
    from team_project import TeamProject

# The workers share the cores, and a forked child of a process whose OpenMP has threads would wait for them for ever.
os.environ["OMP_NUM_THREADS"] = "1"

shared.begin()  # after what its programs inherit

# The same examples each time, so that a failure is due to the change; `--hypothesis-profile=random` looks for new ones.
# A deadline would fail tests on a slow machine.
settings.register_profile("random", deadline=None, derandomize=False)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")

collect_rarely()

REPOSITORY = Path(__file__).resolve().parents[1]

WHOLE_RUNS = (
    "promises",
    "training",
    "flows",
    "test_readme.py",
    "test_additions.py",
    "reproduction",
    "team",
    "promotion",
)
"""Below `tests/`, what takes minutes a file; begun first, so that no worker is left alone with one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; `--no-loadscope-reorder` keeps pytest-xdist to this order."""

    def rank(item: pytest.Item) -> int:
        inside = item.path.relative_to(REPOSITORY).parts[1]
        return WHOLE_RUNS.index(inside) if inside in WHOLE_RUNS else len(WHOLE_RUNS)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Leave what the tests have imported out of all that looks for garbage, as statsmodels and pytest itself do."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Write what this process has run of headframe, before the first of them reports for all."""
    measured.write()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the share of lines and branches that the tests have run, where it is measured."""
    if measured.FOLDER is not None:
        terminalreporter.section("coverage")
        terminalreporter.write_line(measured.report())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real raw files of public data sets; skips where this machine has none."""
    named = os.environ.get("HEADFRAME_MIRROR")
    if named:
        assert Path(named).is_dir(), f"HEADFRAME_MIRROR is {named}, but that is no folder"
        return Path(named)
    beside = REPOSITORY.parent / "shared" / "data"
    if not beside.is_dir():
        pytest.skip("needs the real data sets; HEADFRAME_MIRROR is not set and ../shared/data is missing")
    return beside


@pytest.fixture(scope="session", params=["fake", "real"])
def raw_data(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The mirror with the raw files of a data set: fake ones, and the real ones where this machine has them."""
    if request.param == "fake":
        import fake_data

        return fake_data.mirror
    folder = request.getfixturevalue("real_data")
    return lambda _: folder


@pytest.fixture(scope="session")
def repository() -> Project:
    """This repository as the project it is; for reading only."""
    return Project(REPOSITORY)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project with the shipped `conf/` and `flows/`, and nothing else."""
    root = tmp_path / "project"
    for name in ("conf", "flows"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(root)


@pytest.fixture(scope="session")
def forked_runs() -> Iterator[ForkedRuns]:
    """A program that runs the command line in forked processes."""
    from runs import ForkedRuns

    with shared.connect_to_warm("runs") as stream:
        yield ForkedRuns(stream)


@pytest.fixture(scope="session")
def world() -> World:
    """Four registered models; for reading only."""
    import fixtures

    return shared.made_once("world", fixtures.world)


@pytest.fixture
def digits(world: World, tmp_path: Path) -> Made:
    """A trained digits network in a project of its own, not registered yet."""
    import fixtures

    return fixtures.moved(world.made["digits"], tmp_path)


@pytest.fixture
def forked_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let isolated calls and trainings be forks of a program that has everything imported."""
    from forked_programs import FORKING

    monkeypatch.setattr("headframe.processes.subprocess", FORKING)


@pytest.fixture
def own(digits: Made, monkeypatch: pytest.MonkeyPatch, forked_programs: None) -> Iterator[Made]:
    """The same project with a trained network of its own, not registered yet."""
    import fixtures

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # equal in size and second, it would stand for the next
    monkeypatch.setattr(sys, "path", [str(digits.root / "src"), *sys.path])
    fixtures.write_network(digits.root)
    yield fixtures.with_own_network(digits, "own", steps=60)
    fixtures.forget_network()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL for this session."""
    from postgres import postgres

    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def made_team() -> TeamProject:
    """Five versions, registered by two authors; for copying only."""
    import team_project

    return shared.made_once("team", team_project.make)


@pytest.fixture
def team(made_team: TeamProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TeamProject:
    """The same five versions in a project of its own, with an empty ledger."""
    # MLflow remembers a run's folder as long as the process lives; this process has seen the original.
    from mlflow.tracking._tracking_service import utils
    from team_project import TeamProject

    from headframe.tracking.database import require_database

    monkeypatch.setenv("HEADFRAME_KEYS", str(made_team.keys["anna"].file.parent))
    root = tmp_path / "project"
    shutil.copytree(made_team.root, root)
    require_database(root / ".headframe" / "mlflow.db")  # a copy names the files of the original until it is written to
    utils._artifact_repos_cache.clear()
    return TeamProject(root, made_team.keys)
