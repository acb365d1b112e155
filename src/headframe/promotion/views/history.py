"""History of a model's champions: when, why and by whose approval, from the ledger alone."""

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest
from typing import Any

from headframe.digests import Record
from headframe.errors import ConfigurationError, Refused
from headframe.ledger.entries import CHAMPION_KINDS, Entry, envelope_digest, parse_time
from headframe.ledger.rules import grounds
from headframe.promotion.approvals import ApprovalSummary, read_approval
from headframe.promotion.service import PromotionService
from headframe.signing.trust import Trust


class ChampionPeriod(Record):
    """A version while it was champion."""

    version: int
    since: str  # UTC, ISO 8601
    until: str | None  # when another followed; None while it lasts
    entry: int  # number of the entry that made it champion
    kind: str  # of that entry: promote or rollback
    instead_of: int | None  # the version it followed; None for the first
    by: str  # who signed the entry
    reason: str  # of the promotion or rollback; empty where none was given
    gate_reason: str  # what the gates found when it was promoted
    policy: str  # by which it was promoted
    gates: tuple[dict[str, Any], ...]  # result of each gate: name, whether it passed, verdict and reason
    approvals: tuple[ApprovalSummary, ...]
    digests: dict[str, str]  # sha256 of model, gate report, data, plan
    commit: str  # of its code; empty where that is not known

    def __str__(self) -> str:
        until = f"until {self.until}" if self.until else "to this day"
        what = "rolled back to" if self.kind == "rollback" else "promoted"
        why = ": ".join(part for part in (self.reason, self.gate_reason) if part)
        agreed = "".join(f"; approved by {each.by}: {each.reason}" for each in self.approvals)
        return f"version {self.version}, {self.since} {until}, {what} by {self.by}: {why}{agreed}"


class History(Record):
    """Champions of a model over time."""

    model: str
    on: str | None  # the requested moment; None means all time
    periods: tuple[ChampionPeriod, ...]  # oldest first; of a moment one, or none where there was no champion

    def __str__(self) -> str:
        if self.periods:
            return "\n".join(f"{self.model} {period}" for period in self.periods)
        return f"{self.model} had no champion" + (f" at {self.on}" if self.on else " yet")


def history(model: str, service: PromotionService, on: str | None = None) -> History:
    """Return who was champion: on a date (UTC; its end counts) or at a timestamp, in ISO 8601, or ever.

    Raises:
        ConfigurationError: the ledger does not know the model, or `on` is no date.
        Refused: the ledger is broken, or not the one that MLflow was written from.
    """
    moment = None if on is None else parse_moment(on)
    service.require_known_model(model)
    entries = service.own_entries(model)
    champions = [entry for entry in entries if entry.kind in CHAMPION_KINDS]
    pairs = zip_longest(champions, champions[1:])
    periods = [_period(entry, None if after is None else after.time, entries, service.trust) for entry, after in pairs]
    if moment is not None:
        # Of several in one second the last one counts.
        periods = [period for period in periods if parse_time(period.since) <= moment][-1:]
    return History(model=model, on=on, periods=tuple(periods))


def parse_moment(text: str) -> datetime:
    """Parse a date, which means its end, or a timestamp; without an offset it is UTC.

    Raises:
        ConfigurationError: it is neither, or a day in the future.
    """
    try:
        if len(text) <= len("2026-11-17"):
            day = date.fromisoformat(text)
            if day > datetime.now(UTC).date():
                msg = f"{text} is in the future, so its champion is not known yet; give a day that has begun"
                raise ConfigurationError(msg)
            return datetime.combine(day + timedelta(days=1), time(), UTC) - timedelta(seconds=1)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no date or time; expected UTC as in 2026-11-17 or 2026-11-17T09:30:00"
        raise ConfigurationError(msg) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _period(entry: Entry, end: str | None, entries: tuple[Entry, ...], trust: Trust) -> ChampionPeriod:
    promoted, gated = grounds(entries, entry)
    recorded = {
        envelope_digest(each.payload["approval"]): each.payload["approval"]
        for each in entries[: promoted.number]
        if each.kind == "approve" and each.version == entry.version
    }
    approvals = []
    for digest in promoted.payload["approvals"]:
        if digest in recorded:
            with suppress(Refused):  # its signature does not hold, which `verify` reports
                approvals.append(read_approval(recorded[digest], trust).summary)
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
        approvals=tuple(approvals),
        digests=entry.digests,
        commit=entry.payload["commit"],
    )
