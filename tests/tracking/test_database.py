"""MLflow's SQLite file: created, relocated, and read as MLflow's own client reads it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fixtures import World, empty_registry, trust
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from headframe.errors import HeadframeError
from headframe.registry.versions import champion_number, has_version, is_intact, resolve, set_champion
from headframe.tracking.client import make_client, require_access
from headframe.tracking.database import LOCATIONS, find_version, tag_of_version, version_of_alias

CASES = {
    "a champion": None,
    "no alias": lambda client: client.delete_registered_model_alias("wine", "champion"),
    "an alias that was moved": lambda client: client.set_registered_model_alias("wine", "champion", "1"),
    "a deleted version": lambda client: client.delete_model_version("wine", "1"),
    "a deleted champion": lambda client: client.delete_model_version("wine", "2"),
    "a deleted model": lambda client: client.delete_registered_model("wine"),
    "a renamed model": lambda client: client.rename_registered_model("wine", "beer"),
    "a deleted run": lambda client: client.delete_run(client.get_model_version("wine", "1").run_id),
    "a tag that was changed": lambda client: client.set_model_version_tag("wine", "1", "kind", "white"),
    "a deleted tag": lambda client: client.delete_model_version_tag("wine", "1", "kind"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_directly_is_what_the_public_client_returns(case: str, tmp_path: Path):
    uri = f"sqlite:///{empty_registry(tmp_path)}"
    client = make_client(uri)
    client.create_registered_model("wine")
    for _ in range(2):
        run = client.create_run("0")
        client.create_model_version("wine", f"{run.info.artifact_uri}/model", run.info.run_id, tags={"kind": "red"})
    set_champion(resolve("wine/2", uri), "the better one", uri)
    if (change := CASES[case]) is not None:
        change(client)
    for model in ("wine", "beer", "water"):
        assert version_of_alias(uri, model, "champion") == _alias(client, model)
        assert champion_number(model, uri) == _alias(client, model)
        for number in (1, 2, 3):
            version = _version(client, model, number)
            place = client.get_model_version_download_uri(model, str(number)) if version else None
            assert find_version(uri, model, number) == ((version.run_id, place) if version else None)
            assert has_version(model, number, version.run_id if version else "0", uri) == (version is not None)
            if version is not None:
                assert tag_of_version(uri, model, number, "kind") == version.tags.get("kind")
            assert tag_of_version(uri, model, number, "colour") is None


def _alias(client: MlflowClient, model: str) -> int | None:
    try:
        return int(client.get_model_version_by_alias(model, "champion").version)
    except MlflowException:
        return None


def _version(client: MlflowClient, model: str, number: int):
    try:
        return client.get_model_version(model, str(number))
    except MlflowException:
        return None


def test_a_folder_in_the_place_of_the_database_is_reported(tmp_path: Path):
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(HeadframeError, match=r"cannot be opened for writing \(.*\); make it a writable file"):
        make_client(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path):
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(HeadframeError, match=r"mlflow.db cannot be opened for writing"):
        make_client(f"sqlite:///{tmp_path / 'state' / 'mlflow.db'}")


def test_a_file_that_is_no_database_is_reported(tmp_path: Path):
    (tmp_path / "mlflow.db").write_text("hello, this is no database of any kind\n" * 50, encoding="utf-8")
    with pytest.raises(HeadframeError, match="file is not a database"):
        make_client(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.mark.parametrize("content", [b"garbage" * 1000, None])
def test_what_cannot_be_tracked_to_is_reported_before_anything_long(tmp_path: Path, content: bytes | None):
    file = tmp_path / "mlflow.db"
    require_access(f"sqlite:///{file}")  # it will be made
    assert not file.exists()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(HeadframeError, match=r"mlflow\.db cannot be opened for writing"):
        require_access(f"sqlite:///{file}")


def test_a_project_that_was_copied_finds_its_own_files(world: World, tmp_path: Path):
    shutil.copytree(world.root / ".headframe", tmp_path / ".headframe")
    uri = f"sqlite:///{tmp_path / '.headframe' / 'mlflow.db'}"
    with closing(sqlite3.connect(tmp_path / ".headframe" / "mlflow.db")) as copied:
        # The world's own registry began as a copy; one that was made in its place names that place.
        first = (world.root / ".headframe" / "artifacts" / "0").as_uri()
        copied.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (first,))
        copied.commit()
        require_access(uri)
        assert _naming(copied, world.root) == set()
        assert _naming(copied, tmp_path) == set(LOCATIONS)
    for file in (tmp_path / ".headframe" / "artifacts").rglob("bundle.json"):
        file.write_text("{}")
    registered = world.registered["sms_spam"]
    assert is_intact("sms_spam", registered.version, world.uri, trust()) is True
    assert is_intact("sms_spam", registered.version, uri, trust()) is False


def test_every_place_in_the_tables_is_known(world: World):
    with closing(sqlite3.connect(world.root / ".headframe" / "mlflow.db")) as connection:
        assert _naming(connection, world.root) == set(LOCATIONS)


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


def test_a_killed_creation_of_the_database_is_made_good(tmp_path: Path):
    from fixtures import in_child

    empty_registry(tmp_path / "other")  # imports here what the child would import again
    from headframe.tracking import database

    file = tmp_path / "mlflow.db"

    def killed() -> None:
        import os

        database.os.fsync = lambda _: os._exit(9)  # all tables are there, but under the other name
        make_client(f"sqlite:///{file}")

    assert in_child(killed) == 9
    assert not file.exists()
    client = make_client(f"sqlite:///{file}")
    assert client.search_experiments()[0].name == "Default"
