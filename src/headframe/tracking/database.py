"""MLflow's SQLite file: created, relocated and read without MLflow, whose import takes longer than many a command.

The only module that knows MLflow's own tables; a test compares what it reads with what MLflow's client returns.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from headframe.errors import HeadframeError
from headframe.exhaustion import exhausted
from headframe.tracking.address import SQLITE, artifact_location, sqlite_file
from headframe.tracking.errors import readable_errors

LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's tables with the place of files, always absolute; a test looks for others."""

_DELETED = "Deleted_Internal"  # stage of a deleted version
_FIRST_LOCATION = "SELECT artifact_location FROM experiments WHERE experiment_id = 0"


def version_of_alias(uri: str, model: str, alias: str) -> int | None:
    """Return the number of the version that an alias points to; None where there is none."""
    statement = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
    row = _first_row(uri, statement, model, alias)
    return int(row[0]) if row else None


def find_version(uri: str, model: str, number: int) -> tuple[str, str] | None:
    """Return the id of a version's run and the address of its files; None where there is no such version."""
    statement = (
        "SELECT run_id, COALESCE(storage_location, source) FROM model_versions "
        "WHERE name = ? AND version = ? AND current_stage != ?"
    )
    row = _first_row(uri, statement, model, number, _DELETED)
    return (row[0] or "", _present_location(uri, row[1])) if row else None


def versions_of_model(uri: str, model: str) -> list[tuple[int, str, int]]:
    """Return number, run and time of registration (milliseconds since 1970) of all versions of a model, in order."""
    statement = (
        "SELECT version, run_id, creation_time FROM model_versions WHERE name = ? AND current_stage != ? "
        "ORDER BY version"
    )
    return [(number, run or "", time) for number, run, time in _rows(uri, statement, model, _DELETED)]


def tags_of_version(uri: str, model: str, number: int) -> dict[str, str]:
    """Return the tags of a version."""
    return dict(_rows(uri, "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", model, number))


def tag_of_model(uri: str, model: str, tag: str) -> str | None:
    """Return the value of a registered model's tag; None where it has none, or there is no such model."""
    row = _first_row(uri, "SELECT value FROM registered_model_tags WHERE name = ? AND key = ?", model, tag)
    return str(row[0]) if row else None


def tags_of_run(uri: str, run_id: str) -> dict[str, str]:
    """Return the tags of a run."""
    return dict(_rows(uri, "SELECT key, value FROM tags WHERE run_uuid = ?", run_id))


def artifacts_of_run(uri: str, run_id: str) -> str | None:
    """Return the address of a run's artifacts; None where there is no such run."""
    row = _first_row(uri, "SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
    return _present_location(uri, row[0]) if row else None


def _first_row(uri: str, statement: str, *values: object) -> tuple[Any, ...] | None:
    return next(iter(_rows(uri, statement, *values)), None)


def _rows(uri: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    file = sqlite_file(uri)
    if not file.is_file():
        return []
    try:
        # Not `ro`: SQLite rolls back what a killed process left half written when the file is next opened.
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=20)) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.Error as error:
        raise HeadframeError(f"{file} is no database of MLflow's ({error}); name another with tracking.uri") from error


def _present_location(uri: str, location: str) -> str:
    """Return where a file is now, in a database that may have been moved with its files and not corrected yet."""
    file = sqlite_file(uri)
    now = artifact_location(file)
    if location == now or location.startswith(f"{now}/"):
        return location
    first = _first_row(uri, _FIRST_LOCATION)
    before = _former_location(first, file)
    moved = before is not None and (location == before or location.startswith(f"{before}/"))
    return f"{now}{location.removeprefix(before or '')}" if moved else location


def require_database(file: Path) -> None:
    """Create the file where there is none, and check that it can be written.

    A new one is filled under another name and renamed: MLflow's 60 migrations take seconds, and a kill, or a
    second process, in the middle of them would leave a database that MLflow refuses from then on. While no other
    process can see the file, nothing has to reach the disk after each statement, which halves the time.

    Raises:
        HeadframeError: it cannot be created, read or written.
    """
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_name(f".{file.name}.lock")):
                if not file.exists():
                    _create(file)
        with sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=20) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _relocate(connection, file)
        connection.close()
    except Exception as error:
        if (lack := exhausted(error)) is not None:
            raise HeadframeError(f"MLflow's database {file} cannot be used: {lack}") from error
        if not isinstance(error, OSError | sqlite3.Error):
            raise
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        advice = "restore a copy of it, or move it away and a new one is made" if damaged else "make it a writable file"
        raise HeadframeError(
            f"MLflow's database {file} cannot be opened for writing ({error}); {advice}, "
            "or name another with tracking.uri"
        ) from error


def _relocate(connection: sqlite3.Connection, file: Path) -> None:
    """Correct the locations in a database that was moved or copied with its files, as a project's folder is."""
    now = artifact_location(file)
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return
    before = _former_location(connection.execute(_FIRST_LOCATION).fetchone(), file)
    if before is None:
        return
    for table, column in LOCATIONS:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) IN (?, ?)",  # noqa: S608
            (now, len(before) + 1, len(before) + 1, before, f"{before}/"),
        )


def _former_location(first: tuple[Any, ...] | None, file: Path) -> str | None:
    """Return where the files were when the database was made, by its first experiment; None where they still are."""
    before = first[0].removesuffix("/0") if first else artifact_location(file)
    return None if before == artifact_location(file) or not (file.parent / "artifacts").is_dir() else before


def _create(file: Path) -> None:
    import sqlalchemy  # noqa: PLC0415 - only a new project needs it
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - costs seconds

    fresh = file.with_name(f".{file.name}.fresh")
    fresh.unlink(missing_ok=True)
    uri = f"{SQLITE}{fresh}"

    def without_sync(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", without_sync)
    try:
        with readable_errors(uri):
            store = SqlAlchemyStore(uri, artifact_location(file))
            store.engine.dispose()
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", without_sync)
    with fresh.open("rb+") as stream:
        os.fsync(stream.fileno())
    fresh.rename(file)
