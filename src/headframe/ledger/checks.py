"""Checks of single rows of the ledger: columns, envelope, signature, and the link to the entry before."""

import base64
import binascii
from typing import Any

from headframe.digests import load_json
from headframe.errors import Refused, refuse_if
from headframe.ledger.database import ENTRIES
from headframe.ledger.entries import GENESIS, KINDS, Entry, entry_label, envelope_digest, is_time
from headframe.signing.envelope import SignedStatement, verify_statement
from headframe.signing.trust import Trust

_COLUMN_TYPES = {each.name: each.type.python_type for each in ENTRIES.columns}  # SQLite accepts any
_CHAIN = ("model", "number", "version", "time", "previous")
_RESTORE = "restore the ledger from a copy"


def checked_entry(row: dict[str, Any], model: str, number: int, before: Any, trust: Trust) -> Entry:
    """Return the entry of a row, compared with its envelope and with the entry `before` (or a row with its digest).

    Raises:
        Refused: the row does not hold.
    """
    label = entry_label(row["number"], row["model"], row["kind"], row["version"])
    if row["number"] != number:
        raise Refused(f"entry {number} of {model} is missing, {label} follows; {_RESTORE}")
    try:
        refuse_if(_column_problem(row))
        opened = verify_statement(row["envelope"], row["kind"], trust)
        refuse_if(_content_problem(row, opened, before))
    except Refused as error:
        raise Refused(f"{label}: {error}") from error
    payload = {name: value for name, value in opened.payload.items() if name not in _CHAIN}
    return Entry(
        **{name: opened.payload[name] for name in _CHAIN},
        kind=row["kind"],
        signer=opened.signer.name,
        key=opened.signer.key,
        digest=row["digest"],
        payload={**payload, "digests": opened.subjects},
    )


def _column_problem(row: dict[str, Any]) -> str | None:
    for name, expected in _COLUMN_TYPES.items():
        if type(row[name]) is not expected:
            return f"its column {name} holds {row[name]!r:.40}, not {expected.__name__}; {_RESTORE}"
    if envelope_digest(row["envelope"]) != row["digest"]:
        return f"its digest is not that of its envelope, so one of them was changed; {_RESTORE}"
    if row["kind"] not in KINDS:
        return f"there is no such kind of entry (there are {', '.join(KINDS)}); {_RESTORE}"
    return None


def _content_problem(row: dict[str, Any], opened: SignedStatement, before: Any) -> str | None:
    signed = {**opened.payload, "signer": opened.signer.key}
    for name in (*_CHAIN, "signer"):
        if signed.get(name) != row[name]:
            return f"its column {name} is {row[name]!r}, but {signed.get(name)!r} was signed; {_RESTORE}"
    if not is_time(row["time"]):
        return f"its time is {row['time']!r}, which is no time as in 2026-11-17T09:30:00Z; {_RESTORE}"
    if row["previous"] != (before.digest if before else GENESIS):
        return f"it does not follow the entry before it, which was changed or replaced; {_RESTORE}"
    if before and row["time"] < before.time:
        return f"its time is {row['time']}, before the entry before it ({before.time}); {_RESTORE}"
    return None


def intended_model(envelope: str) -> str | None:
    """Return the model that an envelope was signed for, unchecked; None where it cannot be read."""
    try:
        model = load_json(base64.b64decode(load_json(envelope)["payload"]))["predicate"]["model"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None
    return str(model)
