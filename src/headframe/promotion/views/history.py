"""Who was champion when, by whose word, and why: told by the ledger alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from headframe.digests import Record
from headframe.errors import ConfigurationError, Refused
from headframe.ledger.entries import CHAMPION_KINDS, Entry, parse_time
from headframe.promotion.approvals import Approval, read_approval
from headframe.promotion.service import PromotionService
from headframe.signing.trust import Trust


class ApprovalSummary(Record):
    """What somebody said for a version.

    Attributes:
        by: their name.
        reason: what they said.
        time: when.
    """

    by: str
    reason: str
    time: str


class ChampionPeriod(Record):
    """A version while it was champion.

    Attributes:
        version: which.
        since: UTC, ISO 8601.
        until: when another followed; None while it lasts.
        entry: number of the entry that made it champion.
        kind: promote or rollback.
        instead_of: the version it followed; None for the first.
        by: who signed that.
        reason: theirs; empty where they gave none.
        because: what the gates found when it was promoted.
        policy: by which it was judged.
        gates: verdict of each gate: name, word and numbers.
        approvals: who approved it, and why.
        digests: sha256 of model, gate report, data, plan.
        commit: of its code; empty where that is not known.
    """

    version: int
    since: str
    until: str | None
    entry: int
    kind: str
    instead_of: int | None
    by: str
    reason: str
    gate_reason: str
    policy: str
    gates: tuple[dict[str, Any], ...]
    approvals: tuple[ApprovalSummary, ...]
    digests: dict[str, str]
    commit: str

    @property
    def summary(self) -> str:
        """One line for people."""
        until = f"until {self.until}" if self.until else "to this day"
        what = "brought back" if self.kind == "rollback" else "promoted"
        why = ": ".join(part for part in (self.reason, self.gate_reason) if part)
        agreed = "".join(f"; approved by {word.by}: {word.reason}" for word in self.approvals)
        return f"version {self.version}, {self.since} {until}, {what} by {self.by}: {why}{agreed}"


class History(Record):
    """The champions of a model.

    Attributes:
        model: name in the registry.
        on: the moment that was asked for; None where all were.
        periods: oldest first; of a moment one, or none where there was no champion.
    """

    model: str
    on: str | None
    periods: tuple[ChampionPeriod, ...]

    @property
    def summary(self) -> str:
        """For people: a line for each."""
        if self.periods:
            return "\n".join(f"{self.model} {period.summary}" for period in self.periods)
        return f"{self.model} had no champion" + (f" at {self.on}" if self.on else " yet")


def history(model: str, service: PromotionService, on: str | None = None) -> History:
    """Say who was champion, at one time or ever.

    Args:
        model: name in the registry.
        service: the people and the ledger.
        on: a date (UTC; its end counts) or a timestamp, as ISO 8601 spells them; None for all time.

    Raises:
        ConfigurationError: the ledger does not know the model, or `on` is no date.
        Refused: the ledger is broken, or not the one that MLflow was told by.
    """
    moment = None if on is None else parse_moment(on)
    service.require_known_model(model)
    entries = service.own_entries(model)
    crowns = [entry for entry in entries if entry.kind in CHAMPION_KINDS]
    ends = [*(entry.time for entry in crowns[1:]), *([None] if crowns else [])]
    periods = [_period(entry, end, entries, service.trust) for entry, end in zip(crowns, ends, strict=True)]
    if moment is not None:
        # Of several in one second the last one counts.
        periods = [period for period in periods if parse_time(period.since) <= moment][-1:]
    return History(model=model, on=on, periods=tuple(periods))


def parse_moment(text: str) -> datetime:
    """Read a date, which means its end, or a timestamp; without an offset it is UTC.

    Raises:
        ConfigurationError: it is neither, or a day to come.
    """
    try:
        if len(text) <= len("2026-11-17"):
            day = date.fromisoformat(text)
            if day > datetime.now(UTC).date():
                msg = f"{text} has not come yet, so nobody knows who will be champion; give a day that has begun"
                raise ConfigurationError(msg)
            return datetime.combine(day + timedelta(days=1), time(), UTC) - timedelta(seconds=1)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no date or time; expected UTC as in 2026-11-17 or 2026-11-17T09:30:00"
        raise ConfigurationError(msg) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _period(entry: Entry, end: str | None, entries: tuple[Entry, ...], trust: Trust) -> ChampionPeriod:
    promoted = entry if entry.kind == "promote" else entries[int(entry.payload["promote_entry"]) - 1]
    gated = entries[int(promoted.payload["gate_entry"]) - 1]
    given = {
        hashlib.sha256(each.payload["approval"].encode()).hexdigest(): each.payload["approval"]
        for each in entries[: promoted.number]
        if each.kind == "approve" and each.version == entry.version
    }
    # Those that it rested on, and of these nobody's word who did not give it: that is for `verify` to name.
    rested = [given[each] for each in promoted.payload["approvals"] if each in given]
    counted = [approval for each in rested if (approval := _read(each, trust)) is not None]
    return ChampionPeriod(
        version=entry.version,
        since=entry.time,
        until=end,
        entry=entry.number,
        kind=entry.kind,
        instead_of=entry.payload["from"],
        by=entry.signer,
        reason=entry.payload["reason"],
        gate_reason=promoted.payload["gate_reason"],
        policy=promoted.payload["policy"],
        gates=tuple(gated.payload["results"]),
        approvals=tuple(ApprovalSummary(by=each.signer.name, reason=each.reason, time=each.time) for each in counted),
        digests=entry.digests,
        commit=entry.payload["commit"],
    )


def _read(envelope: str, trust: Trust) -> Approval | None:
    try:
        return read_approval(envelope, trust)
    except Refused:
        return None
