"""Whose signature counts, and for what."""

from __future__ import annotations

from dataclasses import dataclass

from headframe.config.plan import ROLES, Role, Team
from headframe.signing.keys import own_keys


@dataclass(frozen=True)
class Signer:
    """Somebody whose signature counts.

    Attributes:
        name: as the team is listed, or of the key's file where nobody is listed.
        key: public, 64 hex digits.
        roles: what they may sign.
    """

    name: str
    key: str
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Trust:
    """Everybody whose signature counts.

    Attributes:
        signers: by public key.
        alone: nobody is listed in `conf/team/`, so the keys on this machine count, for everything.
    """

    signers: dict[str, Signer]
    alone: bool

    @classmethod
    def of(cls, team: Team) -> Trust:
        """Trust the people listed, or where nobody is, the keys on this machine."""
        if team.people:
            return cls({each.key: Signer(name, each.key, each.roles) for name, each in team.people.items()}, False)
        return cls({key.public: Signer(key.name, key.public, ROLES) for key in own_keys()}, True)

    @property
    def advice(self) -> str:
        """What to do about a key that is not known."""
        if self.alone:
            return "if it is a colleague's, list it in a file in conf/team/; if it was yours, restore it"
        return "if they belong to the team, list the key in conf/team/"
