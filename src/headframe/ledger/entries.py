"""Entries of the ledger: what one says, and what a sequence of them comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from headframe.digests import Record

FIRST = "0" * 64  # what the first entry names as the one before it


Kind = Literal["gate", "approve", "reject", "promote", "rollback", "reproduce"]


KINDS: tuple[Kind, ...] = get_args(Kind)


CHAMPION_KINDS: tuple[Kind, ...] = ("promote", "rollback")
"""Kinds of entry that name a champion."""


LAST_YEAR = 9000  # that entries may be of: what is counted from them must be a date, too


class Entry(Record):
    """An entry whose place in the chain, signature and columns were checked.

    Attributes:
        model: name in the registry.
        number: from 1.
        kind: what was done.
        version: to which.
        signer: name of who did it.
        key: their public key.
        time: when: UTC, ISO 8601, to the second.
        previous: digest of the entry before.
        digest: sha256 of the envelope.
        claim: what else they say of it; `digests` holds the sha256 of what it is about, by name, and `clock` what the
            clock of who wrote it said, where that was far from `time`.
    """

    model: str
    number: int
    kind: Kind
    version: int
    signer: str
    key: str
    time: str
    previous: str
    digest: str
    claim: dict[str, Any]

    @property
    def told(self) -> str:
        """How messages name it."""
        return _told(self.number, self.model, self.kind, self.version)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of what it is about, by name."""
        return dict(self.claim["digests"])


def champion(entries: Sequence[Entry]) -> Entry | None:
    """Give the entry that made the present champion; None where there is none."""
    return next((entry for entry in reversed(entries) if entry.kind in CHAMPION_KINDS), None)


def now() -> datetime:
    """Give this machine's time: UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def spell(time: datetime) -> str:
    """Write a time down as entries have it, as in 2026-11-17T09:30:00Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime:
    """Read what `spell` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _is_time(text: str) -> bool:
    """Say whether a time is spelled as entries have it, and leaves room for what is counted from it."""
    try:
        return spell(read_time(text)) == text and read_time(text).year < LAST_YEAR
    except ValueError:
        return False


def _told(number: object, model: object, kind: object, version: object) -> str:
    return f"entry {number} of {model} ({kind} of version {version})"


def _digest(envelope: str) -> str:
    return hashlib.sha256(envelope.encode()).hexdigest()
