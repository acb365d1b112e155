"""Where MLflow is, and what happens when it is not."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fixtures import World, trust

from headframe.config.plan.serving import TrackingConfig
from headframe.errors import ConfigurationError, HeadframeError
from headframe.registry.versions import is_intact
from headframe.tracking.address import ADDRESSES, experiment_id, open_client, place, require, tracking_uri


def test_the_plan_wins_over_the_environment_and_that_over_the_project(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(TrackingConfig(experiment="x"), tmp_path) == f"sqlite:///{tmp_path}/.headframe/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(TrackingConfig(experiment="x"), tmp_path) == "http://127.0.0.1:5000"
    assert tracking_uri(TrackingConfig(experiment="x", uri="sqlite:////a/b.db"), tmp_path) == "sqlite:////a/b.db"


def test_a_relative_file_lies_in_the_project(tmp_path: Path):
    uri = tracking_uri(TrackingConfig(experiment="x", uri="sqlite:///runs/mine.db"), tmp_path)
    assert uri == f"sqlite:///{tmp_path}/runs/mine.db"


@pytest.mark.parametrize("uri", ["file:./mlruns", "./mlruns", "postgresql://user@host/db"])
def test_an_address_that_is_neither_server_nor_sqlite_is_a_wrong_plan(uri: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"expected http\(s\)://HOST:PORT of an MLflow server"):
        tracking_uri(TrackingConfig(experiment="x", uri=uri), tmp_path)


def test_the_same_place_has_the_same_name_in_another_folder(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    names = {place(f"sqlite:///{root}/.headframe/mlflow.db", root) for root in (here, there)}
    assert names == {"sqlite:///.headframe/mlflow.db"}
    assert place("http://host:5000", here) == "http://host:5000"


def test_a_folder_in_the_place_of_the_database_is_said(tmp_path: Path):
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(HeadframeError, match=r"cannot be opened for writing \(.*\); make it a writable file"):
        open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path):
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(HeadframeError, match=r"mlflow.db cannot be opened for writing"):
        open_client(f"sqlite:///{tmp_path / 'state' / 'mlflow.db'}")


def test_a_file_that_is_no_database_is_said(tmp_path: Path):
    (tmp_path / "mlflow.db").write_text("hello, this is no database of any kind\n" * 50, encoding="utf-8")
    with pytest.raises(HeadframeError, match="file is not a database"):
        open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.mark.parametrize("content", [b"garbage" * 1000, None])
def test_what_cannot_be_tracked_to_is_said_before_anything_long(tmp_path: Path, content: bytes | None):
    file = tmp_path / "mlflow.db"
    require(f"sqlite:///{file}")  # it will be made
    assert not file.exists()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(HeadframeError, match=r"mlflow\.db cannot be opened for writing"):
        require(f"sqlite:///{file}")


def test_a_project_that_was_copied_finds_its_own_files(world: World, tmp_path: Path):
    shutil.copytree(world.root / ".headframe", tmp_path / ".headframe")
    uri = f"sqlite:///{tmp_path / '.headframe' / 'mlflow.db'}"
    with closing(sqlite3.connect(tmp_path / ".headframe" / "mlflow.db")) as copied:
        # The world's own registry began as a copy; one that was made in its place names that place.
        first = (world.root / ".headframe" / "artifacts" / "0").as_uri()
        copied.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (first,))
        copied.commit()
        require(uri)
        assert _naming(copied, world.root) == set()
        assert _naming(copied, tmp_path) == set(ADDRESSES)
    for file in (tmp_path / ".headframe" / "artifacts").rglob("bundle.json"):
        file.write_text("{}")
    registered = world.registered["sms_spam"]
    assert is_intact("sms_spam", registered.version, world.uri, trust()) is True
    assert is_intact("sms_spam", registered.version, uri, trust()) is False


def test_every_place_in_the_tables_is_known(world: World):
    with closing(sqlite3.connect(world.root / ".headframe" / "mlflow.db")) as connection:
        assert _naming(connection, world.root) == set(ADDRESSES)


def _naming(connection: sqlite3.Connection, root: Path) -> set[tuple[str, str]]:
    """Columns of MLflow's tables that hold the address of a file of a project."""
    start = f"{(root / '.headframe').as_uri()}/%"
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
    return {
        (table, column)
        for table, column in columns
        if connection.execute(f'SELECT 1 FROM {table} WHERE "{column}" LIKE ?', (start,)).fetchone()
    }


def test_a_server_that_is_down_is_said_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(HeadframeError, match=r"does not answer .*; start it \(headframe up\)"):
        open_client(f"http://127.0.0.1:{port}")


def test_a_killed_creation_of_the_database_is_made_good(tmp_path: Path):
    from fixtures import empty_registry, in_child

    empty_registry(tmp_path / "other")  # imports here what the child would import anew
    from headframe.tracking import address

    file = tmp_path / "mlflow.db"

    def killed() -> None:
        import os

        address.os.fsync = lambda _: os._exit(9)  # all tables are there, but under the other name
        open_client(f"sqlite:///{file}")

    assert in_child(killed) == 9
    assert not file.exists()
    client = open_client(f"sqlite:///{file}")
    assert client.search_experiments()[0].name == "Default"


def test_processes_that_make_one_experiment_at_once_get_one(tmp_path: Path):
    import os

    from fixtures import empty_registry, in_child

    uri = f"sqlite:///{empty_registry(tmp_path)}"
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(in_child(lambda: experiment_id(open_client(uri), uri, "shared")))
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0]
    with sqlite3.connect(tmp_path / ".headframe" / "mlflow.db") as database:
        found = database.execute("SELECT artifact_location FROM experiments WHERE name = 'shared'").fetchall()
    database.close()
    assert len(found) == 1
    assert found[0][0].startswith((tmp_path / ".headframe" / "artifacts").as_uri())


def test_a_deleted_experiment_is_said(tmp_path: Path):
    from fixtures import empty_registry

    uri = f"sqlite:///{empty_registry(tmp_path)}"
    client = open_client(uri)
    client.delete_experiment(experiment_id(client, uri, "gone"))
    with pytest.raises(HeadframeError, match="experiment 'gone' was deleted in MLflow"):
        experiment_id(client, uri, "gone")
