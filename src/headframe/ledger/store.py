"""The ledger: an append-only table of signed statements, each with the digest of the one before.

It is the truth about who is champion; the alias in MLflow is its projection. What counts of an entry is its envelope
(in-toto statement, DSSE, Ed25519; see `signing/envelope.py`). The other columns repeat its content, so that a
database can sort and refuse by them, and reading compares them with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from headframe.config.plan.promotion import PromotionConfig
from headframe.config.project import Project
from headframe.errors import ConfigurationError, HeadframeError, Refused, refuse_if
from headframe.ledger.address import ADDRESS_VARIABLE, named_ledger
from headframe.ledger.champion_alias import LedgerHead, delete_alias, ledger_mismatch, read_head, set_head
from headframe.ledger.checks import checked_entry, intended_model
from headframe.ledger.database import (
    ENTRIES,
    PROJECTED,
    LedgerDatabase,
    database_time,
    lock_model,
    resolve_address,
)
from headframe.ledger.entries import (
    GENESIS,
    Entry,
    Kind,
    champion_entry,
    entry_label,
    envelope_digest,
    format_time,
    parse_time,
    utc_now,
)
from headframe.registry.versions import ModelVersion, set_champion
from headframe.signing.envelope import sign_statement
from headframe.signing.keys import SigningKey
from headframe.signing.trust import Signer, Trust
from headframe.tracking.address import is_server, sqlite_file

log = logging.getLogger("headframe")

LEDGER_FILE = "ledger.db"
MAX_CLOCK_SKEW = timedelta(minutes=5)  # a clock that is off by more is logged and noted in the entry


class ConcurrentAppend(HeadframeError):
    """Another process appended the entry first: read the entries again, and build it again."""


@dataclass(frozen=True)
class Ledger:
    """A ledger in a database."""

    database: LedgerDatabase

    @classmethod
    def open(cls, promotion: PromotionConfig, root: Path) -> Ledger:
        """Open the policy's ledger, else that of `HEADFRAME_LEDGER`, else the file in the project's state folder.

        Raises:
            ConfigurationError: the address names neither SQLite nor PostgreSQL.
            Unavailable: PostgreSQL does not respond.
            HeadframeError: it cannot be opened.
        """
        named = named_ledger(promotion)
        address = resolve_address(named, root) if named else f"sqlite:///{Project(root).state / LEDGER_FILE}"
        ledger = cls(LedgerDatabase(address))
        ledger.database.create_tables()
        return ledger

    def models(self) -> list[str]:
        """Return the names of the models that have entries."""
        with self.database.connect(writing=False) as connection:
            return list(connection.scalars(sa.select(ENTRIES.c.model).distinct().order_by(ENTRIES.c.model)))

    def entries(self, model: str, trust: Trust) -> tuple[Entry, ...]:
        """Return all entries of a model in their order, checked: chain, digests, signatures, columns.

        Raises:
            Refused: an entry does not hold; the first such one is named.
        """
        with self.database.connect(writing=False) as connection:
            return _entries(connection, model, trust)

    def append(
        self, model: str, kind: Kind, version: int, payload: Mapping[str, Any], key: SigningKey, *, after: int
    ) -> Entry:
        """Sign and append the next entry.

        It is dated by PostgreSQL's clock, so that a team has one; with SQLite by this machine's. Time in a ledger never
        runs backwards: a clock that is behind gives the time of the entry before. Where this machine's clock is off by
        more than `MAX_CLOCK_SKEW`, its time is noted in the entry.

        What else is signed is the payload, as JSON; its `digests` (sha256 by name) become the statement's subjects. The
        entry gets the number after `after`, the last one that was read; 0 where there was none.

        Raises:
            ConcurrentAppend: there is an entry of that number already.
            Refused: the entry named by `after` is gone.
        """
        with self.database.connect(writing=True) as connection:
            before = connection.execute(
                sa.select(ENTRIES.c.digest, ENTRIES.c.time).where(ENTRIES.c.model == model, ENTRIES.c.number == after)
            ).one_or_none()
            if before is None and after:
                msg = f"entry {after} of {model} is gone from the ledger {self.database.location}; restore a copy of it"
                raise Refused(msg)
            time = format_time(_not_before(database_time(connection), before.time if before else None))
            chain = {
                "model": model, "number": after + 1, "version": version, "time": time,
                "previous": before.digest if before else GENESIS,
            }  # fmt: skip
            rest = {name: value for name, value in payload.items() if name != "digests"} | _clock(time)
            envelope = sign_statement(kind, payload["digests"], {**rest, **chain}, key)
            row = {
                **chain, "kind": kind, "signer": key.public, "digest": envelope_digest(envelope), "envelope": envelope,
            }  # fmt: skip
            try:
                connection.execute(sa.insert(ENTRIES).values(row))
            except IntegrityError as error:
                msg = f"entry {after + 1} of {model} was written by another process at the same time; try again"
                raise ConcurrentAppend(msg) from error
        own = Trust({key.public: Signer(key.name, key.public, ())}, single_user=False)
        return checked_entry(row, model, after + 1, before, own)

    def time(self, entries: Sequence[Entry]) -> datetime:
        """Return the time by which entries are dated and approvals expire: never before the last entry's."""
        with self.database.connect(writing=False) as connection:
            return _not_before(database_time(connection), entries[-1].time if entries else None)

    def projected_number(self, model: str) -> int:
        """Return the number of the last entry that MLflow knows of; 0 where it knows of none."""
        with self.database.connect(writing=False) as connection:
            return _projected_number(connection, model)

    def is_pending(self, model: str) -> bool:
        """Return whether there are entries that MLflow does not know of yet; takes milliseconds."""
        with self.database.connect(writing=False) as connection:
            return _last_number(connection, model) > _projected_number(connection, model)

    def project(self, model: str, uri: str, trust: Trust, *, force: bool = False) -> Entry | None:
        """Write to MLflow what it does not know of the ledger yet: the champion's alias, and the ledger's head.

        MLflow is written while the model's row in `projected` is locked, so that of two processes the slower one cannot
        undo what the faster one wrote. A kill leaves the row unchanged, and the next call repeats the projection. With
        `force` even what MLflow knew is written, since the alias may have been moved by hand.

        Returns:
            The entry that made the champion whose alias was set; None where it was set before, or there is no champion.

        Raises:
            Refused: the ledger is broken, or MLflow knows another one, or more entries than are left of this one. What
                another ledger wrote to it is never replaced.
            Unavailable: MLflow does not respond.
        """
        self._require_own_file(uri)
        with self.database.connect(writing=True) as connection:
            lock_model(connection, model)
            projected = _projected_number(connection, model)
            if not force and _last_number(connection, model) <= projected:
                return None
            head = read_head(model, uri)
            entries = _entries(connection, model, trust)
            location = self.database.location
            refuse_if(ledger_mismatch(model, entries, head, 0 if force else projected, location))
            if not entries:
                raise Refused(
                    f"the ledger {location} has no entry about {model}, so it cannot name its champion; name the "
                    f"ledger that can with promotion.ledger or {ADDRESS_VARIABLE}"
                )
            present = champion_entry(entries)
            changed = present if present is not None and (force or present.number > projected) else None
            if changed is not None:
                set_champion(ModelVersion(model, changed.version), changed.payload["message"], uri)
            elif present is None and force:
                delete_alias(model, uri)
            set_head(model, LedgerHead(entries[0].digest, entries[-1].number, entries[-1].digest), uri)
            connection.execute(sa.update(PROJECTED).where(PROJECTED.c.model == model).values(number=len(entries)))
        return changed

    def foreign_entries(self, model: str) -> list[str]:
        """Return a message for each row that is filed under another model's name, but was signed for this one."""
        problem = f"it was signed as an entry of {model}; restore the ledger from a copy"
        with self.database.connect(writing=False) as connection:
            others = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.model != model).order_by(ENTRIES.c.number))
            return [
                f"{entry_label(row.number, row.model, row.kind, row.version)}: {problem}"
                for row in others
                if intended_model(row.envelope) == model
            ]

    def _require_own_file(self, uri: str) -> None:
        """MLflow is written while the ledger is locked, which in one SQLite file would wait for itself."""
        file = self.database.file
        if file is not None and not is_server(uri) and file.resolve() == sqlite_file(uri).resolve():
            msg = f"ledger and MLflow are both in {file}; give the ledger a file of its own with promotion.ledger"
            raise ConfigurationError(msg)


def _not_before(time: datetime, earliest: str | None) -> datetime:
    return time if earliest is None else max(time, parse_time(earliest))


def _clock(time: str) -> dict[str, str]:
    """Return this machine's time as a part of the payload, if it is far from the time of an entry."""
    here = utc_now()
    if abs(here - parse_time(time)) <= MAX_CLOCK_SKEW:
        return {}
    text = format_time(here)
    log.warning("ledger    this machine's clock says %s, the ledger's %s; set the one that is wrong", text, time)
    return {"clock": text}


def _projected_number(connection: sa.Connection, model: str) -> int:
    query = sa.select(PROJECTED.c.number).where(PROJECTED.c.model == model)
    return connection.execute(query).scalar_one_or_none() or 0


def _last_number(connection: sa.Connection, model: str) -> int:
    query = sa.select(sa.func.max(ENTRIES.c.number)).where(ENTRIES.c.model == model)
    return connection.execute(query).scalar_one() or 0


def _entries(connection: sa.Connection, model: str, trust: Trust) -> tuple[Entry, ...]:
    rows = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.model == model).order_by(ENTRIES.c.number))
    found: list[Entry] = []
    for row in rows.mappings():
        found.append(checked_entry(dict(row), model, len(found) + 1, found[-1] if found else None, trust))
    return tuple(found)
