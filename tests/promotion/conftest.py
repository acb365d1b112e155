"""What the tests of promotion share: a PostgreSQL, and a team with five registered versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import workshop
from postgres import postgres

from headframe.config.plan import Approvals, Person, Promotion, Team
from headframe.promotion.office import Office
from headframe.signing.keys import OwnKey, make_key
from headframe.signing.trust import Trust
from headframe.tracking.registry import Version, resolve

VERSIONS = 5
ROLES: dict[str, tuple[Any, ...]] = {
    "anna": ("author",),
    "bert": ("approver",),
    "cora": ("approver", "author"),
    "dora": ("reader",),
}
"""Who is in the team; anna registered versions 1 to 4, and cora version 5."""
MINIMUM = {"_target_": "headframe.promotion.gates.minimum.Minimum", "value": 0.1}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL for this session."""
    with postgres() as server:
        yield server


@dataclass(frozen=True)
class Shift:
    """A team with a project of its own."""

    root: Path
    keys: dict[str, OwnKey]

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.root / '.headframe' / 'mlflow.db'}"

    @property
    def team(self) -> Team:
        return Team(people={name: Person(key=self.keys[name].public, roles=roles) for name, roles in ROLES.items()})

    def office(self, needed: int = 1, **changes: Any) -> Office:
        """An office whose policy asks for a low minimum, four eyes and one approval; `changes` are the policy's."""
        rules = {"needed": needed, "four_eyes": True, "days": changes.pop("days", 14)}
        settings = {"model": "digits", "policy": "team", "gates": {"minimum": MINIMUM}, **changes}
        promotion = Promotion.model_validate({"approvals": Approvals(**rules), **settings})
        return Office(promotion, Trust.of(self.team), self.uri, self.root)

    def version(self, number: int) -> Version:
        return resolve(f"digits/{number}", self.uri)


@pytest.fixture(scope="session")
def made_shift(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Shift:
    """Five versions, registered by two authors; for copying only."""
    folder = tmp_path_factory.mktemp("shift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(folder / "keys"))
        shift = Shift(folder / "project", {name: make_key(name) for name in ROLES})
        shift.root.mkdir()
        workshop.empty_registry(shift.root)
        first = workshop.plan_for("digits")
        data = workshop.ingest(first, shift.root, mirror)
        for number in range(1, VERSIONS + 1):
            patch.setenv("HEADFRAME_SIGNER", "cora" if number == VERSIONS else "anna")
            plan = workshop.plan_for("digits", seed=number, team=shift.team.model_dump(mode="json"))
            trained = workshop.train(plan, data, shift.root, f"number-{number}", steps=20 * number)
            evaluated = workshop.evaluate(plan, trained, shift.root)
            workshop.Made(shift.root, shift.uri, plan, data, trained, evaluated).register()
    return shift


@pytest.fixture
def shift(made_shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shift:
    """The same five versions in a project of its own, with an empty ledger."""
    monkeypatch.setenv("HEADFRAME_KEYS", str(made_shift.keys["anna"].file.parent))
    root = tmp_path / "project"
    shutil.copytree(made_shift.root, root)
    # MLflow remembers a run's place as long as the process lives; this process has seen the original.
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    return Shift(root, made_shift.keys)
