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


def version_of_alias(uri: str, model: str, alias: str) -> int | None:
    """Return the number of the version that an alias points to; None where there is none."""
    statement = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
    row = _first_row(uri, statement, model, alias)
    return int(row[0]) if row else None


def find_version(uri: str, model: str, number: int) -> tuple[str, str] | None:
    """Return the id of a version's run and the address of its files; None where there is no such version."""
    statement = (
        "SELECT run_id, storage_location FROM model_versions WHERE name = ? AND version = ? AND current_stage != ?"
    )
    row = _first_row(uri, statement, model, number, _DELETED)
    return (str(row[0]), str(row[1])) if row else None


def tag_of_version(uri: str, model: str, number: int, tag: str) -> str | None:
    """Return the value of a version's tag; None where it has none."""
    statement = "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = ?"
    row = _first_row(uri, statement, model, number, tag)
    return str(row[0]) if row else None


def _first_row(uri: str, statement: str, *values: object) -> tuple[Any, ...] | None:
    file = sqlite_file(uri)
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
            row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
    except sqlite3.Error as error:
        raise HeadframeError(f"{file} is no database of MLflow's ({error}); name another with tracking.uri") from error
    return row


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
    except (OSError, sqlite3.Error) as error:
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
    first = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    before = first[0].removesuffix("/0") if first else now
    if before == now or not (file.parent / "artifacts").is_dir():
        return
    for table, column in LOCATIONS:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) IN (?, ?)",  # noqa: S608
            (now, len(before) + 1, len(before) + 1, before, f"{before}/"),
        )


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
