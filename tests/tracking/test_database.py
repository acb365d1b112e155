"""MLflow's SQLite file: created, relocated, and read as MLflow's own client reads it."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fixtures import World, empty_registry, in_child, trust
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from headframe.errors import HeadframeError
from headframe.registry.versions import (
    ModelVersion,
    champion_number,
    has_version,
    is_intact,
    resolve,
    set_champion,
)
from headframe.tracking.address import sqlite_file
from headframe.tracking.client import artifacts_uri, make_client, require_access, run_tag
from headframe.tracking.database import (
    LOCATIONS,
    artifacts_of_run,
    find_version,
    tag_of_model,
    tags_of_run,
    tags_of_version,
    version_of_alias,
    versions_of_model,
)

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
        run = client.create_run("0", tags={"commit": "c0ffee"})
        client.create_model_version("wine", f"{run.info.artifact_uri}/model", run.info.run_id, tags={"kind": "red"})
    set_champion(resolve("wine/2", uri), "the better one", uri)
    client.set_registered_model_tag("wine", "head", "entry 3")
    if (change := CASES[case]) is not None:
        change(client)
    for model in ("wine", "beer", "water"):
        assert version_of_alias(uri, model, "champion") == _alias(client, model)
        assert champion_number(model, uri) == _alias(client, model)
        found = client.search_registered_models(f"name = '{model}'")
        assert tag_of_model(uri, model, "head") == (found[0].tags.get("head") if found else None)
        listed = client.search_model_versions(f"name = '{model}'")
        assert versions_of_model(uri, model) == sorted(
            (int(each.version), each.run_id, each.creation_timestamp) for each in listed
        )
        for number in (1, 2, 3):
            version = _version(client, model, number)
            place = client.get_model_version_download_uri(model, str(number)) if version else None
            assert find_version(uri, model, number) == ((version.run_id, place) if version else None)
            assert has_version(model, number, version.run_id if version else "0", uri) == (version is not None)
            if version is not None:
                assert tags_of_version(uri, model, number) == version.tags
                assert resolve(f"{model}/{number}", uri) == ModelVersion(model, number, version.run_id, version.tags)
                run = client.get_run(version.run_id)
                assert artifacts_of_run(uri, version.run_id) == artifacts_uri(version.run_id, uri)
                assert artifacts_of_run(uri, version.run_id) == run.info.artifact_uri
                assert tags_of_run(uri, version.run_id) == run.data.tags
    assert artifacts_of_run(uri, "0" * 32) is None
    assert tags_of_run(uri, "0" * 32) == {}


def test_what_a_killed_process_left_half_written_is_undone_by_whoever_reads_next(tmp_path: Path):
    uri = f"sqlite:///{empty_registry(tmp_path)}"
    make_client(uri).create_registered_model("wine", tags={"head": "entry 3"})

    def killed() -> None:
        connection = sqlite3.connect(sqlite_file(uri))
        connection.execute("PRAGMA cache_size = 1")  # so that changed pages reach the file before they are committed
        connection.execute("UPDATE registered_model_tags SET value = 'entry 4'")
        connection.execute("CREATE TABLE filler AS SELECT hex(randomblob(100000)) FROM experiments")
        os._exit(9)

    assert in_child(killed) == 9
    assert sqlite_file(uri).with_name("mlflow.db-journal").exists()
    assert tag_of_model(uri, "wine", "head") == "entry 3"
    assert not sqlite_file(uri).with_name("mlflow.db-journal").exists()


def test_what_mlflow_does_not_know_is_reported_as_by_the_public_client(tmp_path: Path):
    uri = f"sqlite:///{empty_registry(tmp_path)}"
    for read in (artifacts_uri, lambda run, uri: run_tag(run, "commit", uri)):
        with pytest.raises(HeadframeError, match=r"^MLflow at sqlite:.* refused: Run with id=0+ not found$"):
            read("0" * 32, uri)


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
        # Before anything writes to the copy, and corrects what it says, it is read as if that had been done.
        assert _naming(copied, world.root) == set(LOCATIONS)
        version = resolve("sms_spam/1", uri)
        early = (find_version(uri, "sms_spam", version.number), artifacts_uri(version.run_id, uri))
        assert _naming(copied, world.root) == set(LOCATIONS)
        require_access(uri)
        assert early == (find_version(uri, "sms_spam", version.number), artifacts_uri(version.run_id, uri))
        assert early[1].startswith(f"{(tmp_path / '.headframe').as_uri()}/")
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
    empty_registry(tmp_path / "other")  # imports here what the child would import again
    from headframe.tracking import database

    file = tmp_path / "mlflow.db"

    def killed() -> None:
        database.os.fsync = lambda _: os._exit(9)  # all tables are there, but under the other name
        make_client(f"sqlite:///{file}")

    assert in_child(killed) == 9
    assert not file.exists()
    client = make_client(f"sqlite:///{file}")
    assert client.search_experiments()[0].name == "Default"
