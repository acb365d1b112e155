"""Rules of a chain of entries: what an entry of each kind has to state, and what a sequence of entries comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from headframe.errors import Refused
from headframe.ledger.entries import CHAMPION_KINDS, Entry, Kind, champion, read_time

_NUMBER = (int, type(None))
_SAYS: dict[Kind, dict[str, type | tuple[type, ...]]] = {
    "gate": {"passed": bool, "reason": str, "results": list, "champion": _NUMBER, "commit": str},
    "approve": {"approval": str},
    "reject": {"reason": str},
    "promote": {
        "from": _NUMBER, "reason": str, "gate_reason": str, "told": str, "policy": str, "gated": object,
        "approvals": list, "commit": str,
    },
    "rollback": {"from": int, "reason": str, "told": str, "promoted": object, "commit": str},
    "reproduce": {"verdict": str},
}  # fmt: skip
"""What an entry of each kind has to say, and as what; that what it rests on is an entry is looked at by itself."""
_RESTS_ON: dict[Kind, tuple[str, Kind]] = {"promote": ("gated", "gate"), "rollback": ("promoted", "promote")}
ABOUT = ("bundle", "report", "signature")  # digests that entries of these kinds name: what was judged


def require_sound(entries: Sequence[Entry]) -> None:
    """Make sure that each entry says what its kind has to say, about an earlier one where it rests on one.

    Whoever has a key and the database may sign anything; what is read here needs no further checks.

    Raises:
        Refused: an entry does not; it is named.
    """
    other = "it was written by other means than headframe; restore the ledger from a copy"
    for place, entry in enumerate(entries):
        claim = entry.claim
        missing = [name for name, form in _SAYS[entry.kind].items() if not isinstance(claim.get(name, ...), form)]
        missing += [name for name in _SAYS[entry.kind] if name not in claim and name not in missing]
        if entry.kind == "gate" and "results" not in missing and not all(map(_is_gate_result, claim["results"])):
            missing.append("results")
        if entry.kind == "promote" and not all(isinstance(each, str) for each in claim.get("approvals") or ()):
            missing.append("approvals")
        if entry.kind in ("gate", *_RESTS_ON):
            missing += [f"digests.{name}" for name in ABOUT if name not in entry.digests]
        if missing:
            msg = f"{entry.told}: it does not say {', '.join(missing)}, so {other}"
            raise Refused(msg)
        if entry.kind in _RESTS_ON:
            name, kind = _RESTS_ON[entry.kind]
            number = entry.claim[name]
            before = entries[number - 1] if isinstance(number, int) and 0 < number <= place else None
            if before is None or (before.kind, before.version) != (kind, entry.version):
                msg = f"{entry.told}: it rests on entry {number}, which is no {kind} of this version, so {other}"
                raise Refused(msg)


def _is_gate_result(said: object) -> bool:
    if not isinstance(said, dict):
        return False
    return all(isinstance(said.get(name), str) for name in ("gate", "verdict", "reason"))


def champion_before(entries: Sequence[Entry]) -> int | None:
    """Give the version to go back to: promotions pile up, and a rollback takes away what lies above its version.

    Going back twice thus leads two champions back, not to and fro.
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


def rejected_since(entries: Sequence[Entry], version: int) -> Entry | None:
    """Give the last rejection of a version since it last was champion; None where there is none."""
    for entry in reversed(entries):
        if entry.version == version and entry.kind in CHAMPION_KINDS:
            return None
        if entry.version == version and entry.kind == "reject":
            return entry
    return None


def since_champion(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Give the entries since the present champion became it: what came before was said about another one."""
    present = champion(entries)
    return entries[present.number :] if present else entries


def last_gate(entries: Sequence[Entry], version: int) -> Entry | None:
    """Give the last entry about a version's gates."""
    return next((each for each in reversed(entries) if each.kind == "gate" and each.version == version), None)


def compared(entries: Sequence[Entry], against: int | None) -> set[int]:
    """Name the versions that gates ever compared with a champion, in whichever of its reigns; None where with nobody.

    Going back to a champion does not make its comparisons undone.
    """
    return {each.version for each in entries if each.kind == "gate" and each.claim["champion"] == against}


def tries(entries: Sequence[Entry], version: int, against: int | None) -> int:
    """Count the versions that were ever compared with a champion, with this one."""
    return len(compared(entries, against) | {version})


def candidates(entries: Sequence[Entry], version: int, registered: Mapping[int, datetime]) -> int:
    """Count the versions that a version may have been picked from: who gates the best of many has tried all of them.

    These are the ones that were registered since the present champion's reign began and were not compared with it
    yet; those that were count as tries.

    Args:
        entries: of the ledger.
        version: which is judged; it counts in any case.
        registered: when each version of the model was registered.
    """
    present = champion(entries)
    if present is None:
        return 1
    begun, known = read_time(present.time), compared(entries, present.version) | {present.version}
    return len({number for number, time in registered.items() if time >= begun and number not in known} | {version})
