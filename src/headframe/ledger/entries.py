"""Entries of the ledger: their fields, their time stamps, and which of them names the champion."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from headframe.digests import Record

Kind = Literal["gate", "approve", "reject", "promote", "rollback", "reproduce"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHAMPION_KINDS: tuple[Kind, ...] = ("promote", "rollback")
"""Kinds of entry that name a champion."""

GENESIS = "0" * 64  # what the first entry has as the digest of the entry before
LAST_YEAR = 9000  # of an entry's time: what is added to it must be a date, too
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Entry(Record):
    """An entry whose place in the chain, signature and columns were checked.

    Its payload is everything else that was signed: `digests` holds the sha256 of what the entry is about, by name, and
    `clock` the signing machine's time where it was far from the entry's.
    """

    model: str
    number: int  # from 1
    kind: Kind
    version: int
    signer: str  # name
    key: str  # the signer's public key
    time: str  # UTC, ISO 8601, to the second
    previous: str  # digest of the entry before
    digest: str  # sha256 of the envelope
    payload: dict[str, Any]

    @property
    def label(self) -> str:
        """How messages name the entry."""
        return entry_label(self.number, self.model, self.kind, self.version)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of what the entry is about, by name."""
        return dict(self.payload["digests"])


def champion_entry(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that made the present champion; None where there is none."""
    return next((entry for entry in reversed(entries) if entry.kind in CHAMPION_KINDS), None)


def utc_now() -> datetime:
    """Return this machine's time: UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def format_time(time: datetime) -> str:
    """Format a time as entries have it, as in 2026-11-17T09:30:00Z."""
    return time.astimezone(UTC).strftime(_FORMAT)


def parse_time(text: str) -> datetime:
    """Parse what `format_time` wrote.

    Raises:
        ValueError: it is in another format.
    """
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)


def is_time(text: str) -> bool:
    """Return whether a time is formatted as entries have it, and leaves room for what is added to it."""
    try:
        return format_time(parse_time(text)) == text and parse_time(text).year < LAST_YEAR
    except ValueError:
        return False


def entry_label(number: object, model: object, kind: object, version: object) -> str:
    """Return how messages name an entry with these columns."""
    return f"entry {number} of {model} ({kind} of version {version})"


def envelope_digest(envelope: str) -> str:
    """Return the sha256 of a signed envelope."""
    return hashlib.sha256(envelope.encode()).hexdigest()
