"""The ledger: an append-only table of signed statements, each naming the one before it by digest.

It is the truth about who is champion; the alias in MLflow is its projection. What counts of an entry is its envelope
(in-toto statement, DSSE, Ed25519; see `signing/envelope.py`). The other columns repeat what it says, so that a
database can sort and refuse by them, and reading compares them with it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import NullPool

from headframe.config.plan.promotion import PromotionConfig
from headframe.config.project import Project
from headframe.errors import ConfigurationError, HeadframeError, Refused, Unavailable
from headframe.ledger.alias import Head, estrangement, show, show_head, shown_head, take_down
from headframe.ledger.entries import (
    FIRST,
    KINDS,
    Entry,
    Kind,
    _digest,
    _is_time,
    _told,
    champion,
    now,
    read_time,
    spell,
)
from headframe.signing.envelope import Opened, seal, unseal
from headframe.signing.keys import OwnKey
from headframe.signing.trust import Signer, Trust
from headframe.tracking.address import is_server, sqlite_file

log = logging.getLogger("headframe")


ADDRESS = "HEADFRAME_LEDGER"  # names the ledger where no plan does


FILE = "ledger.db"


SKEW = timedelta(minutes=5)  # a clock that is off by more is worth a warning and a word in the entry


PATIENCE = 60  # seconds in which another process must give an SQLite file free


CONNECT = 10  # seconds in which PostgreSQL must answer


_LOCK = 0x4865616466726D  # any number of our own: of PostgreSQL's advisory lock while the tables are made


_tables = sa.MetaData()


ENTRIES = sa.Table(
    "entries",
    _tables,
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
    _tables,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),  # the last entry that MLflow was told of
)


_KINDS = {each.name: each.type.python_type for each in ENTRIES.columns}
"""What each column holds; SQLite would take anything."""


_SAYS_NO = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"


_REFUSE = {
    "sqlite": (
        f"CREATE TRIGGER entries_update BEFORE UPDATE ON entries {_SAYS_NO}",
        f"CREATE TRIGGER entries_delete BEFORE DELETE ON entries {_SAYS_NO}",
        # INSERT OR REPLACE deletes without asking the trigger above.
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
"""What keeps entries as they were written, by database."""


class Taken(HeadframeError):
    """Somebody else wrote the entry first: read again, and judge again."""


@dataclass(frozen=True)
class Ledger:
    """The ledger at an address.

    Attributes:
        address: SQLAlchemy's.
    """

    address: str

    @classmethod
    def open(cls, promotion: PromotionConfig, root: Path) -> Ledger:
        """Open the policy's ledger, else that of `HEADFRAME_LEDGER`, else the file in the project's own folder.

        Its tables are made where there are none; of several processes one makes them.

        Raises:
            ConfigurationError: the address names neither SQLite nor PostgreSQL.
            Unavailable: PostgreSQL does not answer.
            HeadframeError: it cannot be opened.
        """
        named = promotion.ledger or os.environ.get(ADDRESS)
        ledger = cls(_address(named, root) if named else f"sqlite:///{Project(root).state / FILE}")
        ledger._make()
        return ledger

    @property
    def place(self) -> str:
        """The address without a password, as people may read it."""
        return sa.make_url(self.address).render_as_string(hide_password=True)

    def models(self) -> list[str]:
        """Name the models that have entries."""
        with self._connected(writing=False) as connection:
            return list(connection.scalars(sa.select(ENTRIES.c.model).distinct().order_by(ENTRIES.c.model)))

    def entries(self, model: str, trust: Trust) -> tuple[Entry, ...]:
        """Give all entries of a model in their order, checked: chain, digests, signatures, columns.

        Raises:
            Refused: an entry does not hold; it is the first such one, and it is named.
        """
        with self._connected(writing=False) as connection:
            return _entries(connection, model, trust)

    def append(
        self, model: str, kind: Kind, version: int, claim: Mapping[str, Any], key: OwnKey, *, after: int
    ) -> Entry:
        """Write and sign the next entry.

        It is dated by PostgreSQL's clock, so that a team has one; with SQLite by this machine's. Time in a ledger never
        runs backwards: a clock that is behind gives the time of the entry before. Where this machine's clock is off by
        more than `SKEW`, the entry says what it said.

        Args:
            model: name in the registry.
            kind: what is done.
            version: to which.
            claim: all else that is to be signed, as JSON. Its `digests` (name to sha256, at least one) become the
                statement's subjects.
            key: who signs.
            after: number of the last entry that was read; 0 where there was none. The new one gets the next number.

        Raises:
            Taken: there is an entry of that number already.
            Refused: the entry named by `after` is gone.
        """
        with self._connected(writing=True) as connection:
            before = connection.execute(
                sa.select(ENTRIES.c.digest, ENTRIES.c.time).where(ENTRIES.c.model == model, ENTRIES.c.number == after)
            ).one_or_none()
            if before is None and after:
                msg = f"entry {after} of {model} is gone from the ledger {self.place}; restore a copy of it"
                raise Refused(msg)
            time = spell(_later(_now(connection), before.time if before else None))
            chain = {
                "model": model, "number": after + 1, "version": version, "time": time,
                "previous": before.digest if before else FIRST,
            }  # fmt: skip
            said = {name: value for name, value in claim.items() if name != "digests"} | _clock(time)
            envelope = seal(kind, claim["digests"], {**said, **chain}, key)
            row = {**chain, "kind": kind, "signer": key.public, "digest": _digest(envelope), "envelope": envelope}
            try:
                connection.execute(sa.insert(ENTRIES).values(row))
            except IntegrityError as error:
                msg = f"entry {after + 1} of {model} was written by somebody else in this moment; try again"
                raise Taken(msg) from error
        known = Trust({key.public: Signer(key.name, key.public, ())}, alone=False)
        return _checked(row, model, after + 1, before, known)

    def time(self, entries: Sequence[Entry]) -> datetime:
        """Give the time by which entries are dated and approvals expire: never before the last entry's."""
        with self._connected(writing=False) as connection:
            return _later(_now(connection), entries[-1].time if entries else None)

    def told(self, model: str) -> int:
        """Give the number of the last entry that MLflow was told of; 0 where it was told of none."""
        with self._connected(writing=False) as connection:
            return _told_of(connection, model)

    def pending(self, model: str) -> bool:
        """Say whether there are entries that MLflow has not been told of; takes milliseconds."""
        with self._connected(writing=False) as connection:
            return _pending(connection, model)

    def project(self, model: str, uri: str, trust: Trust, *, again: bool = False) -> Entry | None:
        """Tell MLflow what the ledger says, unless it was told: who is champion, and how far the ledger reaches.

        MLflow is told while the model's row in `projected` is locked, so that of two processes the slower one cannot
        put back what the faster one replaced. A kill leaves the row as it was, and the next call does it again.

        Args:
            model: name in the registry.
            uri: MLflow's address.
            trust: whose signatures count.
            again: even if it was told before, since somebody may have moved the alias.

        Returns:
            The entry that made the champion whom MLflow was told of; None where that was told before, or nobody is
            champion.

        Raises:
            Refused: the ledger is broken, or MLflow was told by another one, or of more than is left of this one. What
                another ledger told it is never replaced.
            Unavailable: MLflow does not answer.
        """
        if not again and not self.pending(model):
            return None
        self._require_apart(uri)
        with self._connected(writing=True) as connection:
            _lock(connection, model)
            if not again and not _pending(connection, model):
                return None
            told = _told_of(connection, model)
            head = shown_head(model, uri)
            entries = _entries(connection, model, trust)
            self._require_own(model, entries, head, 0 if again else told)
            crown = champion(entries)
            shown = crown if crown is not None and (again or crown.number > told) else None
            if shown is not None:
                show(model, shown.version, shown.claim["told"], uri)
            elif crown is None and again:
                take_down(model, uri)
            show_head(model, Head(entries[0].digest, entries[-1].number, entries[-1].digest), uri)
            connection.execute(sa.update(PROJECTED).where(PROJECTED.c.model == model).values(number=len(entries)))
        return shown

    def _require_own(self, model: str, entries: Sequence[Entry], head: Head | None, told: int) -> None:
        problem = estrangement(model, entries, head, told, self.place)
        if problem is None and not entries:
            problem = (
                f"the ledger {self.place} has no entry about {model}, so it cannot say who is champion; name the one "
                f"that can with promotion.ledger or {ADDRESS}"
            )
        if problem is not None:
            raise Refused(problem)

    def strays(self, model: str) -> list[str]:
        """Name the rows that stand under another model's name, but were written for this one."""
        found = []
        with self._connected(writing=False) as connection:
            others = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.model != model).order_by(ENTRIES.c.number))
            for row in others:
                if _meant(row.envelope) == model:
                    told = _told(row.number, row.model, row.kind, row.version)
                    found.append(f"{told}: it was signed as an entry of {model}; restore the ledger from a copy")
        return found

    @cached_property
    def _engine(self) -> sa.Engine:
        url = sa.make_url(self.address)
        is_file = url.get_backend_name() == "sqlite"
        # No pool: commands are short, and what forks must not share a connection.
        options: dict[str, Any] = {"timeout": PATIENCE} if is_file else {"connect_timeout": CONNECT}
        engine = sa.create_engine(url, poolclass=NullPool, connect_args=options)
        if is_file:
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _make(self) -> None:
        backend = self._engine.dialect.name
        if backend == "sqlite":
            Path(str(self._engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        with self._connected(writing=False) as connection:
            if sa.inspect(connection).has_table(PROJECTED.name):
                return
        with self._connected(writing=True) as connection:
            if backend == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            if not sa.inspect(connection).has_table(PROJECTED.name):
                _tables.create_all(connection)
                for statement in _REFUSE[backend]:
                    connection.exec_driver_sql(statement)

    @contextmanager
    def _connected(self, *, writing: bool) -> Iterator[sa.Connection]:
        """Give a connection in a transaction, which is committed in the end; one that writes locks an SQLite file.

        Raises:
            Unavailable: PostgreSQL does not answer.
            HeadframeError: the database refuses.
        """
        try:
            with self._engine.connect().execution_options(writing=writing) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            said = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
            away = isinstance(error, OperationalError) and self._engine.dialect.name == "postgresql"
            advice = (
                "see that the server runs and lets you in"
                if away
                else "see that you may write there, restore a copy of it, or name another with promotion.ledger"
            )
            msg = f"the ledger {self.place} cannot be used ({said}); {advice}"
            raise (Unavailable if away else HeadframeError)(msg) from error

    def _require_apart(self, uri: str) -> None:
        """MLflow writes while the ledger is locked, which in one SQLite file would wait for itself."""
        url = sa.make_url(self.address)
        if url.get_backend_name() == "sqlite" and not is_server(uri):
            file = Path(str(url.database))
            if file.resolve() == sqlite_file(uri).resolve():
                msg = f"ledger and MLflow are both in {file}; give the ledger a file of its own with promotion.ledger"
                raise ConfigurationError(msg)


def _address(named: str, root: Path) -> str:
    expected = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    try:
        url = sa.make_url(named)
    except ArgumentError as error:
        msg = f"promotion.ledger (or {ADDRESS}) is no address; {expected}"  # not quoted: it may hold a password
        raise ConfigurationError(msg) from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return f"sqlite:///{(root / url.database).resolve()}"
    if backend == "postgresql" and url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    msg = f"promotion.ledger (or {ADDRESS}) is {url.render_as_string(hide_password=True)!r}; {expected}"
    raise ConfigurationError(msg)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says so
    # Bytes that are no text belong to an entry that was tampered with, which reading names.
    connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _now(connection: sa.Connection) -> datetime:
    if connection.dialect.name == "sqlite":
        return now()
    time: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return time.astimezone(UTC).replace(microsecond=0)


def _later(time: datetime, before: str | None) -> datetime:
    return time if before is None else max(time, read_time(before))


def _clock(time: str) -> dict[str, str]:
    """Say what this machine's clock says, if that is far from the time of an entry."""
    here = now()
    if abs(here - read_time(time)) <= SKEW:
        return {}
    log.warning("ledger    this machine's clock says %s, the ledger's %s; set the one that is wrong", spell(here), time)
    return {"clock": spell(here)}


def _lock(connection: sa.Connection, model: str) -> None:
    if connection.dialect.name == "sqlite":  # which is locked as a whole
        from sqlalchemy.dialects.sqlite import insert as add  # noqa: PLC0415 - one of two

        connection.execute(add(PROJECTED).values(model=model, number=0).on_conflict_do_nothing())
        return
    from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - one of two

    connection.execute(insert(PROJECTED).values(model=model, number=0).on_conflict_do_nothing())
    connection.execute(sa.select(PROJECTED.c.number).where(PROJECTED.c.model == model).with_for_update())


def _told_of(connection: sa.Connection, model: str) -> int:
    asked = sa.select(PROJECTED.c.number).where(PROJECTED.c.model == model)
    return connection.execute(asked).scalar_one_or_none() or 0


def _pending(connection: sa.Connection, model: str) -> bool:
    last = connection.execute(sa.select(sa.func.max(ENTRIES.c.number)).where(ENTRIES.c.model == model)).scalar_one()
    return (last or 0) > _told_of(connection, model)


def _entries(connection: sa.Connection, model: str, trust: Trust) -> tuple[Entry, ...]:
    rows = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.model == model).order_by(ENTRIES.c.number))
    found: list[Entry] = []
    for row in rows.mappings():
        found.append(_checked(dict(row), model, len(found) + 1, found[-1] if found else None, trust))
    return tuple(found)


def _checked(row: dict[str, Any], model: str, number: int, before: Any, trust: Trust) -> Entry:
    """Hold a row against its envelope and against the entry before.

    Args:
        row: its columns.
        model: whose chain it stands in.
        number: which it must have.
        before: the entry before, or its digest and time; None for the first.
        trust: whose signature counts.

    Raises:
        Refused: it does not hold.
    """
    told = _told(row["number"], row["model"], row["kind"], row["version"])
    if row["number"] != number:
        msg = f"entry {number} of {model} is missing, {told} follows; restore the ledger from a copy"
        raise Refused(msg)
    problem = _problem(row, before, trust)
    if isinstance(problem, str):
        msg = f"{told}: {problem}"
        raise Refused(msg)
    claim, signer = problem.claim, problem.signer
    chain = ("model", "number", "version", "time", "previous")
    said = {name: value for name, value in claim.items() if name not in chain}
    return Entry(
        **{name: claim[name] for name in chain},
        kind=row["kind"],
        signer=signer.name,
        key=signer.key,
        digest=row["digest"],
        claim={**said, "digests": problem.subjects},
    )


def _problem(row: dict[str, Any], before: Any, trust: Trust) -> str | Opened:
    """Say what is wrong with a row, or give its statement."""
    restore = "restore the ledger from a copy"
    for name, kind in _KINDS.items():
        if type(row[name]) is not kind:
            return f"its column {name} holds {row[name]!r:.40}, not {kind.__name__}; {restore}"
    if _digest(row["envelope"]) != row["digest"]:
        return f"its digest is not that of its envelope, so one of them was changed; {restore}"
    if row["kind"] not in KINDS:
        return f"there is no such kind of entry (there are {', '.join(KINDS)}); {restore}"
    try:
        opened = unseal(row["envelope"], row["kind"], trust)
    except Refused as error:
        return str(error)
    signed = {**opened.claim, "signer": opened.signer.key}
    for name in ("model", "number", "version", "time", "previous", "signer"):
        if signed.get(name) != row[name]:
            return f"its column {name} says {row[name]!r}, but {signed.get(name)!r} was signed; {restore}"
    if not _is_time(row["time"]):
        return f"it is of {row['time']!r}, which is no time as in 2026-11-17T09:30:00Z; {restore}"
    if row["previous"] != (before.digest if before else FIRST):
        return f"it does not follow the entry before it, which was changed or exchanged; {restore}"
    if before and row["time"] < before.time:
        return f"it is of {row['time']}, before the entry before it ({before.time}); {restore}"
    return opened


def _meant(envelope: str) -> str | None:
    """Name the model that an envelope was written for; None where it cannot be read."""
    import base64  # noqa: PLC0415 - only tampering needs it
    import binascii  # noqa: PLC0415

    try:
        model = json.loads(base64.b64decode(json.loads(envelope)["payload"]))["predicate"]["model"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None
    return str(model)
