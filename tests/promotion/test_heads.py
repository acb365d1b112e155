"""What MLflow was told of the ledger makes known what the ledger's chain cannot: a cut end, or another ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from mlflow import MlflowClient
from roles import Shift, approved, crown, findings, gated, promoted, tamper

from headframe.errors import ConfigurationError, HeadframeError, Refused, Unavailable
from headframe.ledger import database as databases
from headframe.ledger import store as ledgers
from headframe.ledger.alias import LedgerHead, read_head
from headframe.ledger.entries import Entry, format_time, utc_now
from headframe.promotion import service as services
from headframe.promotion.approve import reject
from headframe.promotion.rollback import rollback
from headframe.promotion.service import PromotionService
from headframe.promotion.verify import verify
from headframe.promotion.views.history import history
from headframe.registry.versions import champion_number
from headframe.tracking import tags


def rejected(shift: Shift, number: int, **changes: object) -> None:
    reject(shift.version(number), "no", shift.service(**changes), shift.keys["bert"])


def tag(shift: Shift) -> str | None:
    return MlflowClient(shift.uri, shift.uri).get_registered_model("digits").tags.get(tags.LEDGER)


ACTS: tuple[Callable[[Shift], object], ...] = (
    lambda shift: gated(shift, 3),
    lambda shift: approved(shift, 2),
    lambda shift: rejected(shift, 3),
    lambda shift: promoted(shift, 2),
    lambda shift: rollback("digits", shift.service(), shift.keys["bert"], "back", 1),
    lambda shift: shift.service().restore_alias("digits"),
    lambda shift: shift.service().current_entries("digits"),
)


def test_every_entry_is_told(shift: Shift):
    seen = []
    for act in (
        lambda: gated(shift, 1),
        lambda: approved(shift, 1),
        lambda: promoted(shift, 1),
        lambda: rejected(shift, 2),
    ):
        act()
        entries = shift.service().entries("digits")
        seen.append(tag(shift))
        assert seen[-1] == f"{entries[0].digest} {len(entries)} {entries[-1].digest}"
        assert not shift.service().ledger.is_pending("digits")
    assert len({*seen}) == len(seen)


def test_entries_cut_off_after_the_last_champion_are_named_and_nothing_is_done(shift: Shift):
    crown(shift, 1)
    gated(shift, 2)
    approved(shift, 2)
    rejected(shift, 2)
    tamper(shift, "DELETE FROM entries WHERE number = 6")
    said = "entry 6 of digits is missing: MLflow knows of 6 entries; the ledger's end was replaced, restore it from a"
    assert findings(shift)["head"].startswith(said)
    for act in ACTS:
        with pytest.raises(Refused, match="entry 6 of digits is missing"):
            act(shift)
    assert len(shift.service().entries("digits")) == 5
    assert champion_number("digits", shift.uri) == 1


def test_a_verdict_written_anew_is_named_and_nothing_is_done(shift: Shift):
    crown(shift, 1)
    rejected(shift, 2)
    told = tag(shift)
    tamper(shift, "DELETE FROM entries WHERE number = 4")
    digests = {"digests": {"bundle": "0" * 64}, "reason": "another"}
    shift.service().ledger.append("digits", "reject", 3, digests, shift.keys["bert"], after=3)
    said = r"entry 4 of digits \(reject of version 3\) is not the entry 4 that MLflow knows of"
    with pytest.raises(Refused, match=said):
        gated(shift, 2)
    assert tag(shift) == told


@pytest.mark.parametrize("loss", ["entries", "file"])
def test_a_ledger_that_was_emptied_is_refused_and_named(loss: str, shift: Shift):
    crown(shift, 1, 2)
    told = tag(shift)
    if loss == "entries":
        tamper(shift, "DELETE FROM entries")
        tamper(shift, "DELETE FROM projected")
    else:
        (shift.root / ".headframe" / "ledger.db").unlink()
    for act in ACTS:
        with pytest.raises(Refused, match=r"MLflow knows of 6 entries about digits from ledger .* has none; name that"):
            act(shift)
    assert (tag(shift), champion_number("digits", shift.uri)) == (told, 2)
    told_of = findings(shift)
    assert "MLflow knows of 6 entries about digits from ledger" in told_of["head"]
    assert not any("--restore" in each for each in told_of.values())
    with pytest.raises(Refused, match="MLflow knows of 6 entries"):
        history("digits", shift.service())
    with pytest.raises(ConfigurationError, match="has no entry about 'digts'"):
        verify("digts", shift.service())


def test_a_second_ledger_on_the_same_mlflow_is_told_so(shift: Shift):
    crown(shift, 1)
    told, theirs = tag(shift), "sqlite:///theirs.db"
    with pytest.raises(Refused, match=r"MLflow knows of 3 entries about digits from ledger .*theirs.db has none"):
        rejected(shift, 2, ledger=theirs)
    assert not shift.service(ledger=theirs).ledger.models(), "nothing is begun there"
    # Somebody who writes to it by other means gains nothing.
    service = shift.service(ledger=theirs)
    digests = {"digests": {"bundle": "0" * 64}, "reason": "no"}
    service.ledger.append("digits", "reject", 2, digests, shift.keys["bert"], after=0)
    said = "MLflow has the champion of digits from ledger .*, not from this one .*theirs.db, .*promotion.model"
    for act in (service.project_pending, service.current_entries, service.restore_alias):
        with pytest.raises(Refused, match=said):
            act("digits")
    with pytest.raises(Refused, match=said):
        rejected(shift, 2, ledger=theirs)
    assert (tag(shift), champion_number("digits", shift.uri)) == (told, 1)
    rejected(shift, 3)  # and the first one goes on


def test_an_alias_is_never_taken_down_for_an_empty_ledger(shift: Shift):
    MlflowClient(shift.uri, shift.uri).set_registered_model_alias("digits", "champion", "4")
    with pytest.raises(Refused, match="has no entry about digits, so it cannot name its champion"):
        shift.service().restore_alias("digits")
    assert champion_number("digits", shift.uri) == 4


@pytest.mark.parametrize("text", ["", "5", "0 0", "x" * 64 + " 1 " + "0" * 64, "0" * 64 + " ٣ " + "0" * 64])
def test_a_note_that_nobody_can_read_is_refused(text: str, shift: Shift):
    crown(shift, 1)
    client = MlflowClient(shift.uri, shift.uri)
    client.set_registered_model_tag("digits", tags.LEDGER, text)
    with pytest.raises(
        Refused, match=f"tag {tags.LEDGER} of digits in MLflow is '.*', which names no entry of a ledger"
    ):
        read_head("digits", shift.uri)
    with pytest.raises(Refused, match="which names no entry of a ledger"):
        gated(shift, 2)
    assert "which names no entry of a ledger" in findings(shift)["head"]


def test_a_note_that_was_removed_is_named_and_told_again_when_a_person_says_so(shift: Shift):
    crown(shift, 1)
    before = tag(shift)
    MlflowClient(shift.uri, shift.uri).delete_registered_model_tag("digits", tags.LEDGER)
    with pytest.raises(Refused, match="has it no longer: the tag was removed, or the model was created again"):
        gated(shift, 2)
    assert "has it no longer" in findings(shift)["head"]
    assert verify("digits", shift.service(), restore=True).problems == ()
    assert tag(shift) == before
    first, *_, last = shift.service().entries("digits")
    assert read_head("digits", shift.uri) == LedgerHead(first.digest, 3, last.digest)
    assert read_head("no such", shift.uri) is None


def test_what_mlflow_could_not_be_told_is_told_by_the_next_command(
    shift: Shift, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def away(*_: object) -> None:
        msg = "MLflow does not answer"
        raise Unavailable(msg)

    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "set_head", away)
        with pytest.raises(
            Unavailable, match=r"entry 1 of digits \(gate of version 1\) is written nevertheless, and the"
        ):
            gated(shift, 1)
        assert shift.service().ledger.is_pending("digits")
    assert tag(shift) is None
    approved(shift, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "set_alias", away)
        with pytest.raises(HeadframeError, match="is written nevertheless"):
            promoted(shift, 1)
    assert champion_number("digits", shift.uri) is None
    with caplog.at_level(logging.INFO, "headframe"):
        assert verify("digits", shift.service()).problems == ()
    assert "was not in MLflow yet; alias champion now names 1" in caplog.text
    assert champion_number("digits", shift.uri) == 1


def test_one_entry_from_a_clock_that_is_a_year_ahead_stops_nobody(shift: Shift, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        for module in (databases, ledgers):
            patch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=365))
        gated(shift, 1)
    crown(shift, 1, 2)
    entries = shift.service().entries("digits")
    assert {entry.time for entry in entries} == {entries[0].time}
    assert entries[0].time > format_time(utc_now() + timedelta(days=364))
    assert [("clock" in entry.payload) for entry in entries] == [False] + [True] * 6
    assert findings(shift) == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_ledger_that_another_writes_to_in_this_moment_is_not_taken_for_cut_off(
    when: str, shift: Shift, monkeypatch: pytest.MonkeyPatch
):
    """What MLflow was told is read before the entries, so that entries may be ahead, and never behind."""
    gated(shift, 1)
    service = shift.service()
    entries = PromotionService.entries

    def slowly(self: PromotionService, model: str) -> tuple[Entry, ...]:
        early = entries(self, model)
        with monkeypatch.context() as patch:
            patch.setattr(PromotionService, "entries", entries)
            rejected(shift, 2)
        return early if when == "after" else entries(self, model)

    monkeypatch.setattr(PromotionService, "entries", slowly)
    assert service.ledger_mismatch("digits") is None
    assert len(entries(service, "digits")) == 2


def test_a_first_entry_that_another_writes_in_this_moment_is_not_taken_for_a_note_that_was_removed(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
):
    def slowly(model: str, uri: str) -> LedgerHead | None:
        early = read_head(model, uri)
        with monkeypatch.context() as patch:
            patch.setattr(services, "read_head", read_head)
            rejected(shift, 2)
        return early

    monkeypatch.setattr(services, "read_head", slowly)
    assert shift.service().ledger_mismatch("digits") is None
    assert tag(shift) is not None


def test_a_model_that_was_never_promoted_has_no_history(shift: Shift):
    gated(shift, 1)
    assert history("digits", shift.service()).summary == "digits had no champion yet"
