"""The ledger's tables, the triggers that keep them append-only, and connections to SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from headframe.errors import ConfigurationError, HeadframeError, Unavailable
from headframe.exhaustion import exhausted
from headframe.ledger.address import ADDRESS_VARIABLE
from headframe.ledger.entries import utc_now

SQLITE_TIMEOUT = 60  # seconds to wait for another process that has locked an SQLite file
CONNECT_TIMEOUT = 10  # seconds in which PostgreSQL must respond
_ADVISORY_LOCK = 0x4865616466726D  # any number of our own: of PostgreSQL's advisory lock while the tables are made

_metadata = sa.MetaData()
ENTRIES = sa.Table(
    "entries",
    _metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # from 1, without gaps
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("signer", sa.Text, nullable=False),  # public key
    sa.Column("time", sa.Text, nullable=False),  # UTC, ISO 8601, to the second
    sa.Column("previous", sa.Text, nullable=False),  # digest of the entry before
    sa.Column("digest", sa.Text, nullable=False),  # sha256 of the envelope
    sa.Column("envelope", sa.Text, nullable=False),
)
PROJECTED = sa.Table(
    "projected",
    _metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),  # the last entry that MLflow knows of
)

_ABORT = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
_APPEND_ONLY = {
    "sqlite": (
        f"CREATE TRIGGER entries_update BEFORE UPDATE ON entries {_ABORT}",
        f"CREATE TRIGGER entries_delete BEFORE DELETE ON entries {_ABORT}",
        # INSERT OR REPLACE deletes without firing the trigger above.
        """CREATE TRIGGER entries_replace BEFORE INSERT ON entries
        WHEN EXISTS (SELECT 1 FROM entries WHERE model = NEW.model AND number = NEW.number)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION entries_refuse() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''the ledger is append-only''; END'""",
        """CREATE TRIGGER entries_change BEFORE UPDATE OR DELETE ON entries
        FOR EACH ROW EXECUTE FUNCTION entries_refuse()""",
        """CREATE TRIGGER entries_truncate BEFORE TRUNCATE ON entries
        FOR EACH STATEMENT EXECUTE FUNCTION entries_refuse()""",
    ),
}
"""Triggers that refuse changes of entries, by database."""


@dataclass(frozen=True)
class LedgerDatabase:
    """A database that holds a ledger."""

    address: str  # SQLAlchemy's

    @property
    def location(self) -> str:
        """The address without a password, for messages."""
        return sa.make_url(self.address).render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for PostgreSQL."""
        url = sa.make_url(self.address)
        return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None

    @cached_property
    def _engine(self) -> sa.Engine:
        # No pool: commands are short, and a forked process must not share a connection.
        options: dict[str, Any] = {"timeout": SQLITE_TIMEOUT} if self.file else {"connect_timeout": CONNECT_TIMEOUT}
        engine = sa.create_engine(self.address, poolclass=NullPool, connect_args=options)
        if self.file:
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def create_tables(self) -> None:
        """Create the tables where there are none; of several processes one does."""
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.connect(writing=False) as connection:
            if sa.inspect(connection).has_table(PROJECTED.name):
                return
        with self.connect(writing=True) as connection:
            if not self.file:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            if not sa.inspect(connection).has_table(PROJECTED.name):
                _metadata.create_all(connection)
                for statement in _APPEND_ONLY[self._engine.dialect.name]:
                    connection.exec_driver_sql(statement)

    @contextmanager
    def connect(self, *, writing: bool) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction, which is committed in the end; one that writes locks an SQLite file.

        Raises:
            Unavailable: PostgreSQL does not respond.
            HeadframeError: the database refuses.
        """
        try:
            with self._engine.connect().execution_options(writing=writing) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            if self.file and (lack := exhausted(error)) is not None:
                raise HeadframeError(f"the ledger {self.location} cannot be used: {lack}") from error
            reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
            away = isinstance(error, OperationalError) and self.file is None
            advice = (
                "check that the server runs and accepts you"
                if away
                else "check that you may write there, restore a copy of it, or name another with promotion.ledger"
            )
            msg = f"the ledger {self.location} cannot be used ({reason}); {advice}"
            raise (Unavailable if away else HeadframeError)(msg) from error


def resolve_address(named: str, root: Path) -> str:
    """Return SQLAlchemy's address of a ledger; a relative SQLite file is one below `root`.

    Raises:
        ConfigurationError: it names neither an SQLite file nor PostgreSQL.
    """
    expected = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    try:
        url = sa.make_url(named)
    except ArgumentError as error:
        msg = f"promotion.ledger (or {ADDRESS_VARIABLE}) is no address; {expected}"  # not quoted: may hold a password
        raise ConfigurationError(msg) from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return f"sqlite:///{(root / url.database).resolve()}"
    if backend == "postgresql" and url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    msg = f"promotion.ledger (or {ADDRESS_VARIABLE}) is {url.render_as_string(hide_password=True)!r}; {expected}"
    raise ConfigurationError(msg)


def database_time(connection: sa.Connection) -> datetime:
    """Return PostgreSQL's time, so that a team has one clock; with SQLite this machine's."""
    if connection.dialect.name == "sqlite":
        return utc_now()
    time: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return time.astimezone(UTC).replace(microsecond=0)


def lock_model(connection: sa.Connection, model: str) -> None:
    """Lock a model's row in `projected` until the transaction ends; SQLite is locked as a whole."""
    first = sa.text("INSERT INTO projected (model, number) VALUES (:model, 0) ON CONFLICT DO NOTHING")
    connection.execute(first, {"model": model})
    connection.execute(sa.select(PROJECTED.c.number).where(PROJECTED.c.model == model).with_for_update())


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin in `_begin_sqlite`
    # Bytes that are no text belong to an entry that was tampered with, which reading reports.
    connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
