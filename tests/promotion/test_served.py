"""With `served: ledger` no champion is served that ledger, files and policy do not all confirm."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fixtures import in_child, plan_for
from mlflow import MlflowClient
from postgres import fresh_database
from runs import free_port
from team_project import MINIMUM, TeamProject, approve_version, gate_version, promote_version, promote_versions

from headframe.config.plan.plan import Plan
from headframe.errors import ConfigurationError, HeadframeError, Refused
from headframe.ledger import store as ledgers
from headframe.promotion.approve import reject
from headframe.promotion.verify import verify
from headframe.registry.versions import champion_number
from headframe.serving.batch import predict_to_file
from headframe.serving.resolve_champion import open_served_version
from headframe.serving.server import serve
from headframe.tracking import tags


def plan(team: TeamProject, **changes: Any) -> Plan:
    """A reader's plan, whose policy is that of `TeamProject.service`."""
    made = plan_for("digits", team=team.config.model_dump(mode="json"))
    promotion = team.service(**{"served": "ledger", **changes}).promotion
    return made.model_copy(update={"promotion": promotion})


def opened(team: TeamProject, name: str = "digits", **changes: Any) -> int:
    return open_served_version(name, plan(team, **changes), team.uri, team.root)[0].number


def exchange(team: TeamProject, aside: Callable[[MlflowClient], object], *, note: bool) -> None:
    """Put version 3's files in the place of version 1 by MLflow's own means."""
    client = MlflowClient(team.uri, team.uri)
    head = client.get_registered_model("digits").tags[tags.LEDGER]
    other = client.get_model_version("digits", "3")
    aside(client)
    client.create_registered_model("digits", {tags.LEDGER: head} if note else {})
    client.create_model_version("digits", str(other.source), other.run_id, dict(other.tags))
    client.set_registered_model_alias("digits", "champion", "1")


def test_a_champion_by_ledger_alias_and_files_serves(team: TeamProject, tmp_path: Path):
    promote_versions(team, 1, 2)
    assert [opened(team, name) for name in ("digits", "digits@champion", "models:/digits@champion")] == [2, 2, 2]
    assert opened(team, "digits/3") == 3, "a version requested by its number need not be champion"
    target = tmp_path / "scored.parquet"
    predicted = predict_to_file("digits", "digits", target, plan=plan(team), root=team.root, uri=team.uri)
    assert (predicted.version, pq.read_table(target).num_rows) == (2, 1797)
    with pytest.raises(ConfigurationError, match="no registered model 'digit'"):
        opened(team, "digit")


def test_an_alias_that_was_moved_does_not_serve(team: TeamProject):
    client = MlflowClient(team.uri, team.uri)
    with pytest.raises(ConfigurationError, match="has no 'champion'"):
        opened(team)
    client.set_registered_model_alias("digits", "champion", "4")
    assert opened(team, served="any") == 4
    with pytest.raises(
        Refused, match=r"version 4 of digits champion, but the ledger names no champion: .* verify digits"
    ):
        opened(team)
    client.delete_registered_model_alias("digits", "champion")
    promote_versions(team, 1)
    client.set_registered_model_alias("digits", "champion", "4")
    with pytest.raises(Refused, match="but the ledger names version 1: the alias was moved without the ledger"):
        opened(team, "digits@champion")


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_another_versions_signed_files_in_the_champions_place_do_not_serve(how: str, team: TeamProject, tmp_path: Path):
    promote_versions(team, 1)
    asides: dict[str, Callable[[MlflowClient], object]] = {
        "deleted": lambda client: client.delete_registered_model("digits"),
        "renamed": lambda client: client.rename_registered_model("digits", "old"),
    }
    exchange(team, asides[how], note=False)
    assert opened(team, served="any") == 1, "they are signed, and for this very model"
    with pytest.raises(Refused, match="the tag was removed, or the model was created again"):
        opened(team)
    MlflowClient(team.uri, team.uri).delete_registered_model("digits")


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_nor_where_the_note_of_the_ledger_is_put_back_with_them(how: str, team: TeamProject, tmp_path: Path):
    promote_versions(team, 1)
    asides: dict[str, Callable[[MlflowClient], object]] = {
        "deleted": lambda client: client.delete_registered_model("digits"),
        "renamed": lambda client: client.rename_registered_model("digits", "old"),
    }
    exchange(team, asides[how], note=True)
    for call in (
        lambda: opened(team),
        lambda: predict_to_file(
            "digits@champion", "digits", tmp_path / "scored.parquet", plan=plan(team), root=team.root, uri=team.uri
        ),
        lambda: serve("digits", plan=plan(team), root=team.root, uri=team.uri, host="127.0.0.1", port=free_port()),
    ):
        with pytest.raises(Refused, match=r"digits is not served, since its promotion does not hold: |was replaced"):
            call()
    assert not (tmp_path / "scored.parquet").exists()
    assert {each.what for each in verify("digits", team.service()).problems} >= {"model files"}


def test_replaced_files_are_not_served_even_without_objections(team: TeamProject, monkeypatch: pytest.MonkeyPatch):
    """Even if nothing else objected, what is loaded is held against the entry."""
    promote_versions(team, 1)
    exchange(team, lambda client: client.delete_registered_model("digits"), note=True)
    monkeypatch.setattr("headframe.promotion.promotion_checks.promotion_problems", lambda *_: [])
    with pytest.raises(
        Refused, match=r"the model of digits/1 is .*, but entry 3 of digits .* is about .* was replaced"
    ):
        opened(team)


def test_a_promotion_by_a_laxer_policy_does_not_serve_where_a_stricter_one_is_in_force(team: TeamProject):
    lax = team.service(needed=0, policy="solo", gates={"minimum": {**MINIMUM, "value": 0.0}})
    gate_version(team, 1, lax, by="anna")
    promote_version(team, 1, lax)
    assert champion_number("digits", team.uri) == 1
    with pytest.raises(Refused, match=r"digits is not served, .*does not satisfy policy team: "):
        opened(team)
    assert opened(team, "digits/1") == 1


def test_what_a_kill_kept_from_mlflow_is_projected_before_it_serves(
    team: TeamProject, caplog: pytest.LogCaptureFixture
):
    promote_versions(team, 1)
    gate_version(team, 2)
    approve_version(team, 2)

    def killed() -> None:
        ledgers.set_champion = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        promote_version(team, 2)

    assert in_child(killed) < 0
    assert champion_number("digits", team.uri) == 1
    with caplog.at_level(logging.INFO, "headframe"):
        assert opened(team) == 2
    assert "was not in MLflow yet; alias champion now names 2" in caplog.text
    assert verify("digits", team.service()).problems == ()


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object) -> None:
        msg = "MLflow does not allow this to dora: 403"
        raise HeadframeError(msg)

    for name in ("set_champion", "set_head"):
        monkeypatch.setattr(ledgers, name, no)


@pytest.mark.parametrize("first", [True, False])
def test_a_reader_gets_a_message_about_a_pending_projection(
    first: bool, team: TeamProject, monkeypatch: pytest.MonkeyPatch
):
    if not first:
        promote_versions(team, 1)
    gate_version(team, 2)
    approve_version(team, 2)
    forbid(monkeypatch)
    with pytest.raises(HeadframeError, match="is written nevertheless"):
        promote_version(team, 2)
    pattern = r"are not in MLflow yet, and you may not write them \(.*403\); have an author or approver do it"
    with pytest.raises(Refused, match=pattern):
        opened(team)


def test_a_reader_is_served_where_only_a_rejection_is_not_projected(
    team: TeamProject, postgres_server: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """PostgreSQL itself refuses: a reader may not note that MLflow was written."""
    address = fresh_database(postgres_server, f"read-{os.urandom(4).hex()}")
    service = team.service(ledger=address)
    promote_versions(team, 1, service=service)
    with monkeypatch.context() as patch:
        forbid(patch)
        with pytest.raises(HeadframeError, match="is written nevertheless"):
            reject(team.version(2), "no", service, team.keys["bert"])
    name = f"dora{os.urandom(4).hex()}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'dora'")  # type: ignore[call-overload]
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")  # type: ignore[call-overload]
    theirs = sa.make_url(address).set(username=name).render_as_string()  # this server trusts its clients
    with caplog.at_level(logging.WARNING, "headframe"):
        assert opened(team, ledger=theirs) == 1
    assert "are not in MLflow yet, and you may not write them (the ledger" in caplog.text
    assert "permission denied for table projected" in caplog.text


def test_a_cut_or_another_ledger_serves_nothing(team: TeamProject):
    promote_versions(team, 1)
    with pytest.raises(Refused, match="MLflow knows of 3 entries about digits from ledger"):
        opened(team, ledger="sqlite:///theirs.db")
