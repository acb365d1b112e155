"""The people whose signatures count, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from headframe.config.plan.promotion import ROLES, Role, TeamConfig
from headframe.errors import Refused
from headframe.signing.keys import SigningKey, own_keys


@dataclass(frozen=True)
class Signer:
    """A person whose signature counts.

    Attributes:
        name: as in `conf/team/`, or of the key's file where no team is listed.
        key: public, 64 hex digits.
        roles: what they may sign.
        until: when they left, or the key was replaced; None while it is in use.
    """

    name: str
    key: str
    roles: tuple[Role, ...]
    until: datetime | None = None

    def expired(self, at: datetime) -> str | None:
        """Return why the key signs nothing new at a time; None while it is in use."""
        if self.until is None or at < self.until:
            return None
        return f"{self.name}'s key counts in conf/team/ only until {self.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class Trust:
    """All people whose signatures count.

    Attributes:
        signers: by public key.
        single_user: no team is listed in `conf/team/`, so the keys on this machine count, for everything.
    """

    signers: dict[str, Signer]
    single_user: bool

    @classmethod
    def of(cls, team: TeamConfig) -> Trust:
        """Trust the people listed, or where there are none, the keys on this machine."""
        if team.people:
            people = team.people.items()
            return cls({each.key: Signer(name, each.key, each.roles, each.until) for name, each in people}, False)
        return cls({key.public: Signer(key.name, key.public, ROLES) for key in own_keys()}, True)

    def signer_of(self, key: SigningKey) -> Signer:
        """Return who signs something new with a key.

        Raises:
            Refused: no person listed has it, or its owner left.
        """
        signer = self.signers.get(key.public)
        if signer is None:
            who = f"key {key.name!r} ({key.public})"
            raise Refused(f"{who} is not in conf/team/, so its signature does not count; have it listed there")
        expired = signer.expired(datetime.now(UTC))
        if expired is not None:
            raise Refused(f"{expired}, so it signs nothing new; sign with the key that replaced it")
        return signer

    @property
    def advice(self) -> str:
        """What to do about an unknown key."""
        if self.single_user:
            return "if it is a colleague's, list it in a file in conf/team/; if it was yours, restore it"
        return "if they belong to the team, list the key in conf/team/"
