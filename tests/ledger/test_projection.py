"""What MLflow recorded of the ledger makes known what the ledger's chain cannot: a cut end, or another ledger."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from mlflow import MlflowClient
from team_project import TeamProject, approve_version, gate_version, problems, promote_version, promote_versions, tamper

from headframe.errors import ConfigurationError, HeadframeError, Refused, Unavailable
from headframe.ledger import database as databases
from headframe.ledger import store as ledgers
from headframe.ledger.champion_alias import LedgerHead, read_head
from headframe.ledger.entries import Entry, format_time, utc_now
from headframe.promotion import service as services
from headframe.promotion.approve import reject
from headframe.promotion.rollback import rollback
from headframe.promotion.service import PromotionService
from headframe.promotion.verify import verify
from headframe.promotion.views.history import history
from headframe.registry.versions import champion_number
from headframe.tracking import tags


def rejected(team: TeamProject, number: int, **changes: object) -> None:
    reject(team.version(number), "no", team.service(**changes), team.keys["bert"])


def tag(team: TeamProject) -> str | None:
    return MlflowClient(team.uri, team.uri).get_registered_model("digits").tags.get(tags.LEDGER)


ACTIONS: tuple[Callable[[TeamProject], object], ...] = (
    lambda team: gate_version(team, 3),
    lambda team: approve_version(team, 2),
    lambda team: rejected(team, 3),
    lambda team: promote_version(team, 2),
    lambda team: rollback("digits", team.service(), team.keys["bert"], "back", 1),
    lambda team: team.service().restore_alias("digits"),
    lambda team: team.service().current_entries("digits"),
)


def test_every_entry_is_projected(team: TeamProject):
    seen = []
    for action in (
        lambda: gate_version(team, 1),
        lambda: approve_version(team, 1),
        lambda: promote_version(team, 1),
        lambda: rejected(team, 2),
    ):
        action()
        entries = team.service().entries("digits")
        seen.append(tag(team))
        assert seen[-1] == f"{entries[0].digest} {len(entries)} {entries[-1].digest}"
        assert not team.service().ledger.is_pending("digits")
    assert len({*seen}) == len(seen)


def test_entries_cut_off_after_the_last_champion_are_named_and_nothing_is_done(team: TeamProject):
    promote_versions(team, 1)
    gate_version(team, 2)
    approve_version(team, 2)
    rejected(team, 2)
    tamper(team, "DELETE FROM entries WHERE number = 6")
    pattern = (
        "entry 6 of digits is missing: MLflow knows of 6 entries; the ledger's end was replaced, restore it from a"
    )
    assert problems(team)["head"].startswith(pattern)
    for action in ACTIONS:
        with pytest.raises(Refused, match="entry 6 of digits is missing"):
            action(team)
    assert len(team.service().entries("digits")) == 5
    assert champion_number("digits", team.uri) == 1


def test_a_verdict_that_was_rewritten_is_named_and_nothing_is_done(team: TeamProject):
    promote_versions(team, 1)
    rejected(team, 2)
    recorded = tag(team)
    tamper(team, "DELETE FROM entries WHERE number = 4")
    digests = {"digests": {"bundle": "0" * 64}, "reason": "another"}
    team.service().ledger.append("digits", "reject", 3, digests, team.keys["bert"], after=3)
    pattern = r"entry 4 of digits \(reject of version 3\) is not the entry 4 that MLflow knows of"
    with pytest.raises(Refused, match=pattern):
        gate_version(team, 2)
    assert tag(team) == recorded


@pytest.mark.parametrize("loss", ["entries", "file"])
def test_a_ledger_that_was_emptied_is_refused_and_named(loss: str, team: TeamProject):
    promote_versions(team, 1, 2)
    recorded = tag(team)
    if loss == "entries":
        tamper(team, "DELETE FROM entries")
        tamper(team, "DELETE FROM projected")
    else:
        (team.root / ".headframe" / "ledger.db").unlink()
    for action in ACTIONS:
        with pytest.raises(Refused, match=r"MLflow knows of 6 entries about digits from ledger .* has none; name that"):
            action(team)
    assert (tag(team), champion_number("digits", team.uri)) == (recorded, 2)
    reported = problems(team)
    assert "MLflow knows of 6 entries about digits from ledger" in reported["head"]
    assert not any("--restore" in each for each in reported.values())
    with pytest.raises(Refused, match="MLflow knows of 6 entries"):
        history("digits", team.service())
    with pytest.raises(ConfigurationError, match="has no entry about 'digts'"):
        verify("digts", team.service())


def test_a_second_ledger_on_the_same_mlflow_is_refused(team: TeamProject):
    promote_versions(team, 1)
    recorded, theirs = tag(team), "sqlite:///theirs.db"
    with pytest.raises(Refused, match=r"MLflow knows of 3 entries about digits from ledger .*theirs.db has none"):
        rejected(team, 2, ledger=theirs)
    assert not team.service(ledger=theirs).ledger.models(), "nothing is begun there"
    # Somebody who writes to it by other means gains nothing.
    service = team.service(ledger=theirs)
    digests = {"digests": {"bundle": "0" * 64}, "reason": "no"}
    service.ledger.append("digits", "reject", 2, digests, team.keys["bert"], after=0)
    pattern = "MLflow has the champion of digits from ledger .*, not from this one .*theirs.db, .*promotion.model"
    for action in (service.project_pending, service.current_entries, service.restore_alias):
        with pytest.raises(Refused, match=pattern):
            action("digits")
    with pytest.raises(Refused, match=pattern):
        rejected(team, 2, ledger=theirs)
    assert (tag(team), champion_number("digits", team.uri)) == (recorded, 1)
    rejected(team, 3)  # and the first one goes on


def test_an_alias_is_never_deleted_for_an_empty_ledger(team: TeamProject):
    MlflowClient(team.uri, team.uri).set_registered_model_alias("digits", "champion", "4")
    with pytest.raises(Refused, match="has no entry about digits, so it cannot name its champion"):
        team.service().restore_alias("digits")
    assert champion_number("digits", team.uri) == 4


@pytest.mark.parametrize("text", ["", "5", "0 0", "x" * 64 + " 1 " + "0" * 64, "0" * 64 + " ٣ " + "0" * 64])
def test_a_head_that_cannot_be_parsed_is_refused(text: str, team: TeamProject):
    promote_versions(team, 1)
    client = MlflowClient(team.uri, team.uri)
    client.set_registered_model_tag("digits", tags.LEDGER, text)
    with pytest.raises(
        Refused, match=f"tag {tags.LEDGER} of digits in MLflow is '.*', which names no entry of a ledger"
    ):
        read_head("digits", team.uri)
    with pytest.raises(Refused, match="which names no entry of a ledger"):
        gate_version(team, 2)
    assert "which names no entry of a ledger" in problems(team)["head"]


def test_a_head_that_was_removed_is_named_and_written_again_when_a_person_says_so(team: TeamProject):
    promote_versions(team, 1)
    before = tag(team)
    MlflowClient(team.uri, team.uri).delete_registered_model_tag("digits", tags.LEDGER)
    with pytest.raises(Refused, match="has it no longer: the tag was removed, or the model was created again"):
        gate_version(team, 2)
    assert "has it no longer" in problems(team)["head"]
    assert verify("digits", team.service(), restore=True).problems == ()
    assert tag(team) == before
    first, *_, last = team.service().entries("digits")
    assert read_head("digits", team.uri) == LedgerHead(first.digest, 3, last.digest)
    assert read_head("no such", team.uri) is None


def test_what_could_not_be_written_to_mlflow_is_written_by_the_next_command(
    team: TeamProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def away(*_: object) -> None:
        msg = "MLflow does not respond"
        raise Unavailable(msg)

    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "set_head", away)
        with pytest.raises(
            Unavailable, match=r"entry 1 of digits \(gate of version 1\) is written nevertheless, and the"
        ):
            gate_version(team, 1)
        assert team.service().ledger.is_pending("digits")
    assert tag(team) is None
    approve_version(team, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "set_champion", away)
        with pytest.raises(HeadframeError, match="is written nevertheless"):
            promote_version(team, 1)
    assert champion_number("digits", team.uri) is None
    with caplog.at_level(logging.INFO, "headframe"):
        assert verify("digits", team.service()).problems == ()
    assert "was not in MLflow yet; alias champion now names 1" in caplog.text
    assert champion_number("digits", team.uri) == 1


def test_one_entry_from_a_clock_that_is_a_year_ahead_stops_no_later_entry(
    team: TeamProject, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        for module in (databases, ledgers):
            patch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=365))
        gate_version(team, 1)
    promote_versions(team, 1, 2)
    entries = team.service().entries("digits")
    assert {entry.time for entry in entries} == {entries[0].time}
    assert entries[0].time > format_time(utc_now() + timedelta(days=364))
    assert [("clock" in entry.payload) for entry in entries] == [False] + [True] * 6
    assert problems(team) == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_ledger_that_another_writes_to_in_this_moment_is_not_mistaken_for_cut_off(
    when: str, team: TeamProject, monkeypatch: pytest.MonkeyPatch
):
    """What MLflow recorded is read before the entries, so that entries may be ahead, and never behind."""
    gate_version(team, 1)
    service = team.service()
    entries = PromotionService.entries

    def slowly(self: PromotionService, model: str) -> tuple[Entry, ...]:
        early = entries(self, model)
        with monkeypatch.context() as patch:
            patch.setattr(PromotionService, "entries", entries)
            rejected(team, 2)
        return early if when == "after" else entries(self, model)

    monkeypatch.setattr(PromotionService, "entries", slowly)
    assert service.ledger_mismatch("digits") is None
    assert len(entries(service, "digits")) == 2


def test_a_first_entry_that_another_writes_in_this_moment_is_not_mistaken_for_a_removed_head(
    team: TeamProject, monkeypatch: pytest.MonkeyPatch
):
    def slowly(model: str, uri: str) -> LedgerHead | None:
        early = read_head(model, uri)
        with monkeypatch.context() as patch:
            patch.setattr(services, "read_head", read_head)
            rejected(team, 2)
        return early

    monkeypatch.setattr(services, "read_head", slowly)
    assert team.service().ledger_mismatch("digits") is None
    assert tag(team) is not None


def test_a_model_that_was_never_promoted_has_no_history(team: TeamProject):
    gate_version(team, 1)
    assert str(history("digits", team.service())) == "digits had no champion yet"
