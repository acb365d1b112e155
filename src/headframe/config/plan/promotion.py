"""The parts of a plan that say when a version becomes champion, and whose signatures count."""

from typing import ClassVar, Literal, Self, get_args

from pydantic import AwareDatetime, Field, model_validator

from headframe.config.plan.component import Component, Distinct, Name
from headframe.digests import Record

Role = Literal["reader", "author", "approver"]
ROLES: tuple[Role, ...] = get_args(Role)


class Person(Record):
    """A member of the team."""

    key: str = Field(pattern=r"^[0-9a-f]{64}$")  # public Ed25519 key, as `headframe key` prints it
    roles: Distinct[Role] = Field(min_length=1)  # author: registers, gates, promotes; approver: approves, rolls back
    until: AwareDatetime | None = None  # when they left, or the key was replaced; what it signed before still counts


class TeamConfig(Record):
    """Whose signatures count; without any people, those of the keys on this machine."""

    people: dict[Name, Person] = {}

    @model_validator(mode="after")
    def _keys_are_their_own(self) -> Self:
        owners: dict[str, str] = {}
        for name, person in self.people.items():
            if person.key in owners:
                msg = f"people.{name} and people.{owners[person.key]} have the same key; give everybody their own"
                raise ValueError(msg)
            owners[person.key] = name
        return self


class Approvals(Record):
    """Which approvals a version needs before it becomes champion."""

    needed: int = Field(default=0, ge=0)  # approvals by different people
    four_eyes: bool = True  # nobody approves a model that they registered themselves
    days: float = Field(default=14.0, gt=0)  # after which an approval has expired


class GateConfig(Component):
    """What a version has to show."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.gates.base.Gate",)


class ErrorControlConfig(Component):
    """At which level the next challenger is tested."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.gates.error_control.base.ErrorControl",)


ERROR_CONTROL = ErrorControlConfig.model_validate({"_target_": "headframe.gates.error_control.addis.Addis"})
"""The rule of the allowed error where a policy names none."""


class PromotionConfig(Record):
    """When a version becomes champion: the gates that it must pass, and who must have agreed."""

    model: Name  # name in the registry
    policy: Name  # what this policy is called
    gates: dict[Name, GateConfig]  # all must be passed; checked in this order
    error_control: ErrorControlConfig = ERROR_CONTROL
    approvals: Approvals = Approvals()
    served: Literal["any", "ledger"] = "any"  # ledger: serve @champion only if the ledger says that it is
    ledger: str | None = None  # SQLAlchemy address; none: HEADFRAME_LEDGER, else a file in the project's own folder
