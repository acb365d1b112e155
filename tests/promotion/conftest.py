"""What the tests of promotion share: a PostgreSQL, and a team with five registered versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fixtures
import pytest
from postgres import postgres
from roles import ROLES, VERSIONS, Shift

from headframe.signing.keys import make_key


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL for this session."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def made_shift(tmp_path_factory: pytest.TempPathFactory) -> Shift:
    """Five versions, registered by two authors; for copying only."""
    folder = tmp_path_factory.mktemp("shift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(folder / "keys"))
        shift = Shift(folder / "project", {name: make_key(name) for name in ROLES})
        shift.root.mkdir()
        fixtures.empty_registry(shift.root)
        first = fixtures.plan_for("digits")
        data = fixtures.ingest(first, shift.root)
        for number in range(1, VERSIONS + 1):
            patch.setenv("HEADFRAME_SIGNER", "cora" if number == VERSIONS else "anna")
            plan = fixtures.plan_for("digits", seed=number, team=shift.team.model_dump(mode="json"))
            trained = fixtures.train(plan, data, shift.root, f"number-{number}", steps=20 * number)
            evaluated = fixtures.evaluate(plan, trained, shift.root)
            fixtures.Made(shift.root, shift.uri, plan, data, trained, evaluated).register()
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
