"""A team with five registered versions in a project of its own, and what its people do."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fixtures
import pytest
from mlflow import MlflowClient
from shared import begin

from headframe.config.plan.promotion import Approvals, Person, PromotionConfig, TeamConfig
from headframe.ledger.store import LEDGER_FILE
from headframe.promotion.approve import approve
from headframe.promotion.promote import promote
from headframe.promotion.run_gates import GateAction, run_gates
from headframe.promotion.service import LedgerAction, PromotionService
from headframe.promotion.verify import verify
from headframe.registry.versions import ModelVersion, resolve
from headframe.signing.keys import SigningKey, create_key
from headframe.signing.trust import Trust
from headframe.tracking.database import require_database
from headframe.tracking.layout import GATES

VERSIONS = 5
ROLES: dict[str, tuple[Any, ...]] = {
    "anna": ("author",),
    "bert": ("approver",),
    "cora": ("approver", "author"),
    "dora": ("reader",),
}
"""Who is in the team; anna registered versions 1 to 4, and cora version 5."""
MINIMUM = {"_target_": "headframe.gates.minimum.Minimum", "value": 0.1}


@dataclass(frozen=True)
class TeamProject:
    """A team with a project of its own."""

    root: Path
    keys: dict[str, SigningKey]

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.root / '.headframe' / 'mlflow.db'}"

    @property
    def config(self) -> TeamConfig:
        return TeamConfig(
            people={name: Person(key=self.keys[name].public, roles=roles) for name, roles in ROLES.items()}
        )

    def service(self, needed: int = 1, **changes: Any) -> PromotionService:
        """A service whose policy asks for a low minimum, four eyes and one approval; `changes` are the policy's."""
        rules = {"needed": needed, "four_eyes": True, "days": changes.pop("days", 14)}
        settings = {"model": "digits", "policy": "team", "gates": {"minimum": MINIMUM}, **changes}
        promotion = PromotionConfig.model_validate({"approvals": Approvals(**rules), **settings})
        return PromotionService(promotion, Trust.of(self.config), self.uri, self.root)

    def version(self, number: int) -> ModelVersion:
        return resolve(f"digits/{number}", self.uri)


def make(root: Path) -> TeamProject:
    """Register five versions, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(root / "keys"))
        team = TeamProject(root / "project", {name: create_key(name) for name in ROLES})
        team.root.mkdir()
        fixtures.empty_registry(team.root)
        first = fixtures.plan_for("digits")
        data = fixtures.ingested(first, team.root)
        for number in range(1, VERSIONS + 1):
            patch.setenv("HEADFRAME_SIGNER", "cora" if number == VERSIONS else "anna")
            plan = fixtures.plan_for("digits", seed=number, team=team.config.model_dump(mode="json"))
            trained = fixtures.train(plan, data, team.root, f"number-{number}", steps=20 * number)
            evaluated = fixtures.evaluate(plan, trained, team.root)
            evaluated = fixtures.measure_truly(plan, evaluated, trained, team.root)
            fixtures.Made(team.root, team.uri, plan, data, trained, evaluated).register()
    return team


def gate_version(
    team: TeamProject, number: int, service: PromotionService | None = None, by: str = "bert"
) -> GateAction:
    """Run the gates; bert registered none of the versions."""
    return run_gates(team.version(number), service or team.service(), team.keys[by])


def approve_version(
    team: TeamProject, number: int, by: str = "bert", service: PromotionService | None = None
) -> LedgerAction:
    return approve(team.version(number), f"{by} says yes", service or team.service(), team.keys[by])


def promote_version(team: TeamProject, number: int, service: PromotionService | None = None) -> LedgerAction:
    return promote(team.version(number), service or team.service(), team.keys["anna"])


def promote_versions(team: TeamProject, *numbers: int, service: PromotionService | None = None) -> None:
    """Gate, approve and promote versions one after another.

    What was done before to a project with an empty ledger, by the default policy, is copied from there.
    """
    fresh = service is None and not (_state(team) / LEDGER_FILE).exists()
    done = next((n for n in range(len(numbers), 0, -1) if fresh and _kept(numbers[:n]).exists()), 0)
    if done:
        _restore(_kept(numbers[:done]), team)
    for place, number in enumerate(numbers[done:], start=done + 1):
        gate_version(team, number, service)
        approve_version(team, number, service=service)
        promote_version(team, number, service)
        if fresh:
            _keep(team, _kept(numbers[:place]))


def _state(team: TeamProject) -> Path:
    return team.root / ".headframe"


def _kept(numbers: tuple[int, ...]) -> Path:
    return begin() / f"promoted-{'-'.join(map(str, numbers))}"


def _keep(team: TeamProject, kept: Path) -> None:
    """Copy all that gates, approvals and promotions write: ledger, registry, gate reports."""
    fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
    for file in (*_state(team).glob("*.db"), *_state(team).glob(f"artifacts/**/{GATES}/*")):
        copy = fresh / file.relative_to(_state(team))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    with suppress(OSError):  # another worker's is there
        fresh.rename(kept)


def _restore(kept: Path, team: TeamProject) -> None:
    for file in kept.rglob("*.*"):
        target = _state(team) / file.relative_to(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".db":
            shutil.copyfile(file, target)
            continue
        # Through SQLite, so that connections which this process has open see it.
        with closing(sqlite3.connect(file)) as before, closing(sqlite3.connect(target)) as now:
            before.backup(now)
    require_database(_state(team) / "mlflow.db")  # which corrects the places of files in it


def folder(team: TeamProject, number: int) -> Path:
    """Where a version's files lie."""
    source = MlflowClient(team.uri, team.uri).get_model_version_download_uri("digits", str(number))
    return Path(source.removeprefix("file://"))


def problems(team: TeamProject, **changes: Any) -> dict[str, str]:
    """What does not hold: kind and sentence."""
    return {each.what: each.message for each in verify("digits", team.service(**changes)).problems}


def flip(file: Path, place: int = -1) -> None:
    raw = bytearray(file.read_bytes())
    raw[place] ^= 1
    file.write_bytes(raw)


def tamper(team: TeamProject, statement: str, *values: object) -> None:
    """Write to the ledger as somebody would who has the file."""
    connection = sqlite3.connect(team.root / ".headframe" / "ledger.db")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement, values)
    connection.commit()
    connection.close()
