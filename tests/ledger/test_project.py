"""What of a ledger is written to MLflow, act by act; MLflow is a record of calls here."""

from pathlib import Path
from typing import Any

import pytest

from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.errors import ConfigurationError, Refused
from headframe.ledger import store
from headframe.ledger.champion_alias import LedgerHead
from headframe.ledger.store import Ledger
from headframe.signing.keys import create_key
from headframe.signing.trust import Trust

SERVER = "http://127.0.0.1:1"


class Project:
    """A ledger of one person, and what MLflow was told."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("HEADFRAME_KEYS", str(folder / "keys"))
        self.key = create_key("anna")
        self.trust = Trust.of(TeamConfig())
        self.ledger = Ledger.open(PromotionConfig(model="digits", policy="solo", gates={}), folder)
        self.count = 0
        self.head: LedgerHead | None = None
        self.told: list[Any] = []
        patch.setattr(store, "read_head", lambda model, uri: self.head)
        patch.setattr(store, "set_head", self.set_head)
        patch.setattr(store, "set_champion", lambda version, message, uri: self.told.append((version.number, message)))
        patch.setattr(store, "delete_alias", lambda model, uri: self.told.append("deleted"))

    def set_head(self, model: str, head: LedgerHead, uri: str) -> None:
        self.head = head
        self.told.append(head.number)

    def add(self, kind: Any, version: int) -> None:
        payload = {"message": f"{kind} {version}", "digests": {"bundle": "b"}}
        self.ledger.append("digits", kind, version, payload, self.key, after=self.count)
        self.count += 1

    def project(self, *, force: bool = False) -> tuple[int | None, list[Any]]:
        """The number of the entry whose alias was set, and what MLflow was told."""
        self.told.clear()
        found = self.ledger.project("digits", SERVER, self.trust, force=force)
        return found and found.number, list(self.told)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_each_act_is_told_once_and_the_alias_moves_with_the_champion_only(project: Project) -> None:
    for kind, version, number, told in (
        ("gate", 1, None, [1]),
        ("promote", 1, 2, [(1, "promote 1"), 2]),
        ("gate", 2, None, [3]),
        ("promote", 2, 4, [(2, "promote 2"), 4]),
        ("rollback", 1, 5, [(1, "rollback 1"), 5]),
        ("reject", 2, None, [6]),
    ):
        project.add(kind, version)
        assert project.ledger.is_pending("digits")
        assert project.project() == (number, told), kind
        assert not project.ledger.is_pending("digits")
        assert project.project() == (None, []), "nothing is new"


def test_several_acts_are_told_by_what_they_come_to(project: Project) -> None:
    for kind, version in (("gate", 1), ("promote", 1), ("gate", 2), ("promote", 2), ("gate", 3)):
        project.add(kind, version)
    assert project.project() == (4, [(2, "promote 2"), 5])


def test_only_who_asks_for_it_has_the_alias_put_back_or_taken_down(project: Project) -> None:
    project.add("gate", 1)
    assert project.project() == (None, [1]), "an alias of which the ledger knows nothing stays"
    assert project.project(force=True) == (None, ["deleted", 1])
    project.add("promote", 1)
    project.add("gate", 2)
    project.project()
    assert project.project(force=True) == (2, [(1, "promote 1"), 3])


def test_a_head_that_was_removed_is_written_again_by_force_only(project: Project) -> None:
    project.add("gate", 1)
    project.project()
    project.head = None
    project.add("gate", 2)
    with pytest.raises(Refused, match="MLflow had the head of the ledger of digits"):
        project.project()
    assert project.told == []
    assert project.project(force=True) == (None, ["deleted", 2])


def test_an_empty_ledger_names_no_champion_even_by_force(project: Project) -> None:
    assert project.project() == (None, [])
    with pytest.raises(Refused, match="has no entry about digits, so it cannot name its champion"):
        project.project(force=True)
    assert project.told == []


def test_a_head_of_more_entries_than_are_left_stops_everything(project: Project) -> None:
    project.add("gate", 1)
    project.project()
    assert project.head is not None
    project.head = LedgerHead(project.head.ledger, 3, "f" * 64)
    project.add("promote", 1)
    for force in (False, True):
        with pytest.raises(Refused, match="entry 3 of digits is missing"):
            project.project(force=force)
        assert project.told == []
    assert project.ledger.is_pending("digits"), "as before"


def test_ledger_and_mlflow_have_files_of_their_own(project: Project) -> None:
    file = project.ledger.database.file
    assert file is not None
    project.add("gate", 1)
    with pytest.raises(ConfigurationError, match=f"ledger and MLflow are both in {file}"):
        project.ledger.project("digits", f"sqlite:///{file}", project.trust)
    project.ledger.project("digits", f"sqlite:///{file.with_name('mlflow.db')}", project.trust)
