"""Rules of a chain of entries: what the payload of each kind must hold, and what a sequence of entries comes to."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from headframe.errors import Refused
from headframe.ledger.entries import CHAMPION_KINDS, Entry, Kind, champion_entry, parse_time

_VERSION = (int, type(None))
_PAYLOADS: dict[Kind, dict[str, type | tuple[type, ...]]] = {
    "gate": {"passed": bool, "reason": str, "results": list, "champion": _VERSION, "commit": str,
             "tested": (dict, type(None)), "error_control": dict},
    "approve": {"approval": str},
    "reject": {"reason": str},
    "promote": {
        "from": _VERSION, "reason": str, "gate_reason": str, "message": str, "policy": str, "gate_entry": object,
        "approvals": list, "commit": str,
    },
    "rollback": {"from": int, "reason": str, "message": str, "promote_entry": object, "commit": str},
    "reproduce": {"verdict": str},
}  # fmt: skip
"""What the payload of each kind must hold, and its type; entries that it refers to are checked separately."""
_REFERS_TO: dict[Kind, tuple[str, Kind]] = {"promote": ("gate_entry", "gate"), "rollback": ("promote_entry", "promote")}
GATED_DIGESTS = ("bundle", "report", "signature")  # digests that gates, approvals and promotions name: what was judged


def require_valid_payloads(entries: Sequence[Entry]) -> None:
    """Check that each payload holds what its kind must, and refers to an earlier entry where it must.

    Everybody who has a key and the database may sign anything; what passed here needs no further checks.

    Raises:
        Refused: a payload does not; its entry is named.
    """
    advice = "it was not written by headframe; restore the ledger from a copy"
    for position, entry in enumerate(entries):
        payload, expected = entry.payload, _PAYLOADS[entry.kind]
        missing = [
            name for name, form in expected.items() if name not in payload or not isinstance(payload[name], form)
        ]
        if entry.kind == "gate" and not missing:
            missing = [name for name, holds in _GATED.items() if not holds(payload)]
        if entry.kind == "promote" and not all(isinstance(each, str) for each in payload.get("approvals") or ()):
            missing.append("approvals")
        if entry.kind in ("gate", *_REFERS_TO):
            missing += [f"digests.{name}" for name in GATED_DIGESTS if name not in entry.digests]
        if missing:
            raise Refused(f"{entry.label}: it has no valid {', '.join(missing)}, so {advice}")
        if entry.kind in _REFERS_TO:
            name, kind = _REFERS_TO[entry.kind]
            number = payload[name]
            before = entries[number - 1] if isinstance(number, int) and 0 < number <= position else None
            if before is None or (before.kind, before.version) != (kind, entry.version):
                msg = f"{entry.label}: it refers to entry {number}, which is no {kind} of this version, so {advice}"
                raise Refused(msg)


def _is_gate_result(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("gate", "verdict", "reason"))


def _is_test(payload: Mapping[str, Any]) -> bool:
    """Return whether a gate entry's test is as `past_tests` reads it; without a champion there is none."""
    tested = payload["tested"]
    if tested is None:
        return True
    p, level, many = (tested.get(name) for name in ("p", "level", "candidates"))
    numbers = all(type(each) in (int, float) and 0 <= each < math.inf for each in (p, level))
    return payload["champion"] is not None and numbers and type(many) is int and many > 0


_GATED: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "results": lambda payload: all(map(_is_gate_result, payload["results"])),
    "tested": _is_test,
    "error_control": lambda payload: "_target_" in payload["error_control"],
}
"""What else must hold of the payload of an entry about gates."""


def previous_champion(entries: Sequence[Entry]) -> int | None:
    """Return the version to roll back to; None where there is none.

    Promotions pile up, and a rollback removes what lies above its version: two rollbacks lead two champions back, not
    back and forth.
    """
    pile: list[int] = []
    for entry in entries:
        if entry.kind == "promote":
            pile.append(entry.version)
        elif entry.kind == "rollback":
            while pile and pile[-1] != entry.version:
                pile.pop()
            pile = pile or [entry.version]
    return next((version for version in reversed(pile[:-1]) if version != pile[-1]), None)


def grounds(entries: Sequence[Entry], entry: Entry) -> tuple[Entry, Entry]:
    """Return the promotion that a champion's entry rests on, and the entry about its gates."""
    promoted = entry if entry.kind == "promote" else entries[int(entry.payload["promote_entry"]) - 1]
    return promoted, entries[int(promoted.payload["gate_entry"]) - 1]


def last_rejection(entries: Sequence[Entry], version: int) -> Entry | None:
    """Return the last rejection of a version since it last became champion; None where there is none."""
    for entry in reversed(entries):
        if entry.version == version and entry.kind in ("reject", *CHAMPION_KINDS):
            return entry if entry.kind == "reject" else None
    return None


def entries_since_champion(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries since the present champion became it: earlier ones are about another champion."""
    present = champion_entry(entries)
    return entries[present.number :] if present else entries


def last_gate_entry(entries: Sequence[Entry], version: int) -> Entry | None:
    """Return the last entry about a version's gates; None where there is none."""
    return next((each for each in reversed(entries) if each.kind == "gate" and each.version == version), None)


def compared_versions(entries: Sequence[Entry], champion: int | None) -> set[int]:
    """Return the versions that gates ever compared with a champion, in any of its periods; None means without one.

    A rollback to a champion does not undo its comparisons.
    """
    return {each.version for each in entries if each.kind == "gate" and each.payload["champion"] == champion}


def count_candidates(entries: Sequence[Entry], version: int, registered: Mapping[int, datetime]) -> int:
    """Return from how many versions a version may have been picked: gating the best of many has tried all of them.

    These are the version and those that were registered (at the time `registered`) since the present champion became it
    and were not compared with it yet: those that were are tests, or validation rows have refused them.
    """
    present = champion_entry(entries)
    if present is None:
        return 1
    start, known = parse_time(present.time), compared_versions(entries, present.version) | {present.version}
    return len({number for number, time in registered.items() if time >= start and number not in known} | {version})
