"""Gate, approve, promote, go back: what is refused, what is named, and what is remembered."""

import base64
import json
import logging
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from shared import scores_of
from team_project import (
    MINIMUM,
    TeamProject,
    approve_version,
    flip,
    folder,
    gate_version,
    problems,
    promote_version,
    promote_versions,
    tamper,
)

from headframe.config.plan.promotion import TeamConfig
from headframe.errors import ConfigurationError, Refused
from headframe.gates.error_control.familywise import spend_alpha
from headframe.ledger.entries import parse_time, utc_now
from headframe.promotion.approvals import APPROVAL
from headframe.promotion.approve import approve, record_approval, reject, sign_approval
from headframe.promotion.promote import promote
from headframe.promotion.rollback import rollback
from headframe.promotion.rules import PromotionRules, is_as_strict, valid_approvals
from headframe.promotion.run_gates import run_gates
from headframe.promotion.service import PromotionService
from headframe.promotion.verify import Verification, verify
from headframe.promotion.views.history import history
from headframe.registry.signature import sign_package
from headframe.registry.versions import champion_number, load_model
from headframe.signing.envelope import sign_statement, verify_statement
from headframe.signing.keys import create_key
from headframe.signing.trust import Trust

FAMILYWISE = "headframe.gates.error_control.familywise.Familywise"
GATES = {"minimum": MINIMUM, "better": {"_target_": "headframe.gates.better.Better"}}
STRICT = {"_target_": "headframe.gates.minimum.Minimum", "value": 0.9999}


def test_a_version_becomes_champion_by_gates_approval_and_promotion(team: TeamProject):
    report = gate_version(team, 1)
    assert (report.report.passed, report.report.champion, report.report.tries) == (True, None, 1)
    assert approve_version(team, 1).message.startswith("digits version 1 is approved by bert: bert says yes; until ")
    action = promote_version(team, 1)
    assert action.message == (f"digits version 1 is champion: {report.report.reason} (the first one, promoted by anna)")
    assert champion_number("digits", team.uri) == 1
    client = MlflowClient(team.uri, team.uri)
    assert client.get_model_version("digits", "1").tags["headframe.decision"].startswith("digits version 1 is champion")
    assert client.get_registered_model("digits").tags["headframe.ledger"].endswith(f" 3 {action.digest}")
    entries = team.service().ledger.entries("digits", Trust.of(team.config))
    assert [(entry.kind, entry.signer) for entry in entries] == [
        ("gate", "bert"), ("approve", "bert"), ("promote", "anna")
    ]  # fmt: skip
    assert set(entries[2].digests) == {
        "bundle", "plan", "table", "split", "predictions", "provenance", "report", "page", "signature"
    }  # fmt: skip
    assert entries[2].payload["approvals"] == [entries[2].payload["approvals"][0]]
    assert verify("digits", team.service()).problems == ()


def test_rollback_does_not_make_tests_undone(team: TeamProject):
    service = team.service(gates=GATES, error_control={"_target_": FAMILYWISE})
    promote_versions(team, 1, service=service)
    assert [gate_version(team, number, service).report.tries for number in (2, 2, 3)] == [1, 1, 2]
    promote_versions(team, 4)  # by a policy that compares nothing, so that no test row is consulted
    assert gate_version(team, 2, service).report.tries == 1, "against version 4"
    rollback("digits", team.service(), team.keys["bert"], "four is slow", 1)
    report = gate_version(team, 5, service).report
    assert report.tested is not None
    assert (report.tries, report.tested.level) == (3, spend_alpha(0.05, 3)), "against 1: versions 2, 3 and this one"
    assert verify("digits", team.service()).problems == ()


def test_a_version_that_was_not_gated_or_not_approved_is_refused(team: TeamProject):
    with pytest.raises(
        Refused, match=r"digits/1 was not checked against its gates yet; do it with: headframe models gate"
    ):
        promote_version(team, 1)
    with pytest.raises(Refused, match=r"digits/1 was not checked against its gates yet"):
        approve_version(team, 1)
    gate_version(team, 1)
    with pytest.raises(Refused, match=r"digits/1 needs 1 approval and has 0; ask for: headframe models approve"):
        promote_version(team, 1)
    assert champion_number("digits", team.uri) is None


def test_a_version_that_failed_its_gates_is_neither_approved_nor_promoted(team: TeamProject):
    service = team.service(gates={"minimum": STRICT})
    assert not gate_version(team, 1, service).report.passed
    with pytest.raises(Refused, match=r"did not pass its gates .* so there is nothing to approve"):
        approve_version(team, 1, service=service)
    with pytest.raises(Refused, match=r"did not pass its gates \(minimum: accuracy .* misses the minimum of 0.9999"):
        promote_version(team, 1, team.service(needed=0))


def test_gates_that_the_policy_added_since_are_asked_for(team: TeamProject):
    gate_version(team, 1)
    more = {"minimum": MINIMUM, "second": MINIMUM}
    with pytest.raises(Refused, match="digits/1 was not judged by gate second of policy team; run them again"):
        promote_version(team, 1, team.service(needed=0, gates=more))
    for other in ({"value": 0.2}, {"_target_": "headframe.gates.data_contract.DataContract"}, {"more": 1}):
        with pytest.raises(Refused, match="was judged by gate minimum with other settings than policy team has"):
            promote_version(team, 1, team.service(needed=0, gates={"minimum": {**MINIMUM, **other}}))
    promote_version(team, 1, team.service(needed=0, gates={"minimum": {**MINIMUM, "value": None}}))


def test_what_is_null_in_force_asks_for_nothing():
    assert is_as_strict({"a": 1, "b": 2}, {"a": 1, "b": None})
    assert is_as_strict({"a": 1}, {"a": 1, "b": None})
    assert not is_as_strict({"a": 1, "b": None}, {"a": 1, "b": 2})
    assert not is_as_strict({"a": 1, "b": 2}, {"a": 1})
    assert not is_as_strict({"a": 1}, {"a": 1, "b": 2})


def test_roles_are_held_to(team: TeamProject, tmp_path: Path):
    promote_versions(team, 1)
    gate_version(team, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(tmp_path / "mallory"))
        keys = {**team.keys, "mallory": create_key("mallory")}
    service, version = team.service(), team.version(2)
    actions = {
        "gate": lambda key: run_gates(version, service, key),
        "approve": lambda key: approve(version, "why", service, key),
        "reject": lambda key: reject(version, "why", service, key),
        "promote": lambda key: promote(version, service, key),
        "rollback": lambda key: rollback("digits", service, key, "why"),
    }
    for action, do in actions.items():
        with pytest.raises(
            Refused, match=r"key 'mallory' \([0-9a-f]{64}\) is not in conf/team/, so its signature does not"
        ):
            do(keys["mallory"])
        few = {"gate": "author or approver", "promote": "author or approver"}.get(action, "approver")
        with pytest.raises(
            Refused, match=f"dora is reader in conf/team/, and to {action} takes role {few}; ask a person"
        ):
            do(keys["dora"])
        if few == "approver":
            with pytest.raises(Refused, match=f"anna is author in conf/team/, and to {action} takes role approver"):
                do(keys["anna"])


def test_an_author_cannot_approve_a_model_of_their_own_where_four_eyes_are_due(team: TeamProject):
    gate_version(team, 5)
    with pytest.raises(
        Refused, match=r"cora registered digits/5 and policy team asks for four eyes, so another person has"
    ):
        approve_version(team, 5, "cora")
    two = team.service()
    lax = PromotionService(
        two.promotion.model_copy(
            update={"approvals": two.promotion.approvals.model_copy(update={"four_eyes": False})}
        ),
        two.trust, two.uri, two.root,
    )  # fmt: skip
    approve_version(team, 5, "cora", lax)
    with pytest.raises(
        Refused, match="needs 1 approval and has 0; the approval by cora in entry 2 does not count: cora"
    ):
        promote_version(team, 5)
    promote_version(team, 5, lax)
    assert "cora registered digits/5 and policy team asks for four eyes" in problems(team)["policy"]


def test_two_approvals_take_two_people(team: TeamProject):
    service = team.service(needed=2)
    gate_version(team, 1, service)
    approve_version(team, 1, "bert", service)
    approve(team.version(1), "bert says yes twice", service, team.keys["bert"])
    with pytest.raises(Refused, match=r"digits/1 needs 2 approvals by different people and has 1 \(bert\)"):
        promote_version(team, 1, service)
    approve_version(team, 1, "cora", service)
    promote_version(team, 1, service)
    period = history("digits", service).periods[0]
    assert [(approval.by, approval.reason) for approval in period.approvals] == [
        ("bert", "bert says yes twice"), ("cora", "cora says yes")
    ]  # fmt: skip


def test_an_expired_approval_does_not_count(team: TeamProject):
    gate_version(team, 1)
    short = team.service(days=1e-6)
    envelope = sign_approval(team.version(1), "for a moment", short, team.keys["bert"])
    with pytest.raises(Refused, match="the approval by bert does not count for digits/1: it expired at "):
        record_approval(team.version(1), envelope, team.service(), team.keys["anna"])
    approve_version(team, 1)  # for 14 days, of which the policy in force gives none
    with pytest.raises(Refused, match=r"has 0; the approval by bert in entry 2 does not count: it expired at 20"):
        promote_version(team, 1, short)
    promote_version(team, 1)


def test_an_approval_of_one_version_does_not_count_for_another(team: TeamProject):
    gate_version(team, 1)
    gate_version(team, 2)
    envelope = sign_approval(team.version(1), "one is good", team.service(), team.keys["bert"])
    with pytest.raises(Refused, match="does not count for digits/2: it is for digits/1, not for digits/2"):
        record_approval(team.version(2), envelope, team.service(), team.keys["anna"])
    # Written by somebody who does not ask our code first:
    ledger, trust = team.service().ledger, Trust.of(team.config)
    after = ledger.entries("digits", trust)
    payload = {"approval": envelope, "digests": {"bundle": after[1].digests["bundle"]}}
    ledger.append("digits", "approve", 2, payload, team.keys["anna"], after=2)
    with pytest.raises(Refused, match=r"digits/2 needs 1 .* the approval by bert in entry 3 does not count: it is for"):
        promote_version(team, 2)


def test_an_approval_counts_once(team: TeamProject):
    gate_version(team, 1)
    envelope = sign_approval(team.version(1), "one is good", team.service(), team.keys["bert"])
    record_approval(team.version(1), envelope, team.service(), team.keys["anna"])
    with pytest.raises(Refused, match="was recorded before, as entry 2; an approval counts once"):
        record_approval(team.version(1), envelope, team.service(), team.keys["anna"])
    promote_version(team, 1)
    promote_versions(team, 2)
    rollback("digits", team.service(), team.keys["bert"], "two is slow", 1)
    with pytest.raises(
        Refused, match="digits/2 was gated against version 1, but version 1 became champion again since"
    ):
        promote_version(team, 2)
    gate_version(team, 2)
    service = team.service()
    entries = service.entries("digits")
    first, last = [entry for entry in entries if (entry.kind, entry.version) == ("gate", 2)]
    assert first.digests == last.digests, "the same gates say the same of the same files: only their place differs"
    rules = PromotionRules(service.promotion, service.trust, service.trust.signers[team.keys["anna"].public], utc_now())
    assert valid_approvals(entries, last, rules) == ([], [])
    with pytest.raises(
        Refused, match=r"bert rolled back from it at .* \(two is slow\), so digits/2 has to be gated again"
    ):
        promote_version(team, 2)
    approve_version(team, 2)
    promote_version(team, 2)


def test_two_approvals_in_one_second_are_two(team: TeamProject):
    gate_version(team, 1)
    given = [sign_approval(team.version(1), "yes", team.service(), team.keys["bert"]) for _ in range(3)]
    assert len(set(given)) == 3


def test_an_approval_is_for_one_gate_report_and_one_set_of_files(team: TeamProject):
    gate_version(team, 1)
    envelope = sign_approval(team.version(1), "read with care", team.service(), team.keys["bert"])
    approve_version(team, 1, "cora")
    other = team.service(gates={"minimum": {**MINIMUM, "value": 0.2}})
    gate_version(team, 1, other)
    with pytest.raises(
        Refused,
        match="count for digits/1: it is for another gate report of digits/1 than entry 3 of",
    ):
        record_approval(team.version(1), envelope, other, team.keys["anna"])
    phrase = "needs 1 approval and has 0; the approval by cora in entry 2 does not count: it is for another gate report"
    with pytest.raises(Refused, match=phrase):
        promote_version(team, 1, other)
    gate_version(team, 1)  # as at first, and so is the report
    model = folder(team, 1)
    payload = json.loads(base64.b64decode(json.loads((model / "model.dsse.json").read_text())["payload"]))["predicate"]
    sign_package(model, team.keys["cora"], payload)
    gate_version(team, 1)
    with pytest.raises(
        Refused,
        match="count for digits/1: it is for another set of model files of digits/1 than",
    ):
        record_approval(team.version(1), envelope, team.service(), team.keys["anna"])


def test_an_approval_made_elsewhere_is_recorded_after_a_check(team: TeamProject):
    gate_version(team, 1)
    envelope = sign_approval(team.version(1), "read on paper", team.service(), team.keys["bert"])
    parts = json.loads(envelope)
    statement = json.loads(base64.b64decode(parts["payload"]))
    statement["predicate"]["reason"] = "read in bed"
    forged = json.dumps({**parts, "payload": base64.b64encode(json.dumps(statement).encode()).decode()})
    with pytest.raises(Refused, match="this approval of digits/1 is refused: it was changed after bert signed it"):
        record_approval(team.version(1), forged, team.service(), team.keys["anna"])
    with pytest.raises(Refused, match="it cannot be read as a signed statement"):
        record_approval(team.version(1), "yes", team.service(), team.keys["anna"])
    given = verify_statement(envelope, APPROVAL, Trust.of(team.config))
    own = sign_statement(APPROVAL, given.subjects, given.payload, team.keys["dora"])
    with pytest.raises(Refused, match="dora is reader in conf/team/, and to approve takes role approver; ask a person"):
        record_approval(team.version(1), own, team.service(), team.keys["anna"])
    action = record_approval(team.version(1), envelope + "\n", team.service(), team.keys["anna"])
    assert (action.signer, action.message.partition(";")[0]) == (
        "anna",
        "digits version 1 is approved by bert: read on paper",
    )
    promote_version(team, 1)


def test_a_reason_is_required(team: TeamProject):
    gate_version(team, 1)
    for action in (
        lambda: approve(team.version(1), " ", team.service(), team.keys["bert"]),
        lambda: reject(team.version(1), "", team.service(), team.keys["bert"]),
        lambda: rollback("digits", team.service(), team.keys["bert"], "\n"),
    ):
        with pytest.raises(ConfigurationError, match="takes a reason; give one with --reason 'WHY'"):
            action()


def test_a_rejected_version_waits_for_gates_and_approval(team: TeamProject):
    service = team.service(needed=0)
    gate_version(team, 1, service)
    assert reject(team.version(1), "biased", service, team.keys["bert"]).message.endswith("by bert: biased")
    with pytest.raises(
        Refused, match=r"bert rejected it at .* \(biased\), so digits/1 has to be gated again and approved"
    ):
        promote_version(team, 1, service)
    approve_version(team, 1, "cora", service)  # another person's approval alone does not overrule it
    with pytest.raises(Refused, match="bert rejected it"):
        promote_version(team, 1, service)
    gate_version(team, 1, service)
    with pytest.raises(Refused, match="bert rejected it"):
        promote_version(team, 1, service)
    approve(team.version(1), "not biased any more", service, team.keys["cora"])
    promote_version(team, 1, service)
    assert verify("digits", service).problems == ()


def test_a_person_alone_overrules_their_own_rejection_by_running_the_gates_again(team: TeamProject):
    service = replace(team.service(needed=0), trust=Trust.of(TeamConfig()))
    for number in (1, 2):
        gate_version(team, number, service)
        promote_version(team, number, service)
    rollback("digits", service, team.keys["bert"], "slow")
    with pytest.raises(Refused, match="gated against version 1, but version 1 became champion again since"):
        promote_version(team, 2, service)
    reject(team.version(2), "really slow", service, team.keys["bert"])
    with pytest.raises(Refused, match="digits/2 was rejected by bert since"):
        rollback("digits", service, team.keys["bert"], "the other was worse", 2)
    gate_version(team, 2, service)
    promote_version(team, 2, service)
    assert verify("digits", service).problems == ()


def test_who_rejected_may_think_better_of_it(team: TeamProject):
    gate_version(team, 1)
    approve_version(team, 1)
    reject(team.version(1), "wait", team.service(), team.keys["bert"])
    with pytest.raises(Refused, match="bert rejected it"):
        promote_version(team, 1)
    approve(team.version(1), "no need to wait", team.service(), team.keys["bert"])
    promote_version(team, 1)
    with pytest.raises(Refused, match="digits version 1 is the champion; roll back to another"):
        reject(team.version(1), "no", team.service(), team.keys["bert"])


def test_files_replaced_after_approval_are_refused(team: TeamProject):
    gate_version(team, 1)
    approve_version(team, 1)
    [weights] = folder(team, 1).rglob("*.safetensors")
    flip(weights)
    with pytest.raises(Refused, match=r"models:/digits/1 is refused: .*safetensors was changed after anna signed it"):
        promote_version(team, 1)


def test_files_signed_again_after_approval_are_refused(team: TeamProject):
    """By an author, with their own key: whatever the files are, nobody approved these."""
    gate_version(team, 1)
    approve_version(team, 1)
    model = folder(team, 1)
    payload = json.loads(base64.b64decode(json.loads((model / "model.dsse.json").read_text())["payload"]))["predicate"]
    [weights] = model.rglob("*.safetensors")
    kept = weights.read_bytes()
    flip(weights)
    sign_package(model, team.keys["cora"], payload)
    with pytest.raises(Refused, match=r"the model of digits/1 is .* but entry 1 of digits .* it was replaced since"):
        promote_version(team, 1)
    weights.write_bytes(kept)
    sign_package(model, team.keys["cora"], payload)
    with pytest.raises(Refused, match=r"the signature of the model files of digits/1 is .* it was replaced since"):
        promote_version(team, 1)


def test_gates_made_against_another_champion_are_refused_and_the_winner_is_named(team: TeamProject):
    for number in (1, 2):
        gate_version(team, number)
        approve_version(team, number)
    promote_version(team, 2)
    with pytest.raises(Refused) as refused:
        promote_version(team, 1)
    sentence = str(refused.value)
    assert sentence.startswith(
        "digits/1 was gated when there was no champion, but version 2 has become champion since "
        "(entry 5 of digits (promote of version 2), by anna at 20"
    )
    assert sentence.endswith("run the gates again: headframe models gate digits/1")
    with pytest.raises(Refused, match=r"digits/2 is the champion already \(entry 5 of digits .*, by anna at "):
        promote_version(team, 2)
    with pytest.raises(Refused, match="digits/2 is the champion already"):
        gate_version(team, 2)


def test_there_is_no_going_back_to_what_was_rejected_since(team: TeamProject):
    promote_versions(team, 1, 2)
    bert, service = team.keys["bert"], team.service()
    reject(team.version(1), "unfair to small digits", service, bert)
    for to in (1, None):
        with pytest.raises(Refused, match=r"digits/1 was rejected by bert since \(entry \d+, unfair to small digits\)"):
            rollback("digits", service, bert, "broken", to)
    assert champion_number("digits", team.uri) == 2


def test_rollback_leads_further_back_each_time(team: TeamProject):
    promote_versions(team, 1, 2, 3)
    bert, service = team.keys["bert"], team.service()
    for expected in (2, 1):
        action = rollback("digits", service, bert, "broken")
        assert (action.version, champion_number("digits", team.uri)) == (expected, expected)
    with pytest.raises(Refused, match=r"digits had no champion before version 1; name one that was \(there: 2, 3\)"):
        rollback("digits", service, bert, "broken")
    with pytest.raises(
        Refused, match="digits/4 was never champion, so it cannot become champion again; former champions: 2"
    ):
        rollback("digits", service, bert, "broken", 4)
    with pytest.raises(Refused, match="digits/1 is the champion already"):
        rollback("digits", service, bert, "broken", 1)
    assert rollback("digits", service, bert, "it was not three", 3).message == (
        "digits version 3 is champion again, in place of version 1: it was not three (by bert)"
    )
    assert verify("digits", service).problems == ()


def test_a_champion_that_was_restored_predicts_as_before(team: TeamProject):
    rows = pq.read_table(team.root / "data" / "digits" / "table.parquet").slice(0, 64)
    trust = Trust.of(team.config)
    promote_versions(team, 1)
    before = scores_of(load_model(team.version(1), team.uri, trust), rows)
    promote_versions(team, 2)
    assert not np.array_equal(scores_of(load_model(team.version(2), team.uri, trust), rows), before)
    rollback("digits", team.service(), team.keys["bert"], "one was better")
    number = champion_number("digits", team.uri)
    assert number == 1
    np.testing.assert_array_equal(scores_of(load_model(team.version(number), team.uri, trust), rows), before)


def test_rollback_is_refused_where_the_proof_does_not_hold(team: TeamProject):
    promote_versions(team, 1, 2)
    [weights] = folder(team, 1).rglob("*.safetensors")
    flip(weights)
    with pytest.raises(Refused, match="safetensors was changed after anna signed it"):
        rollback("digits", team.service(), team.keys["bert"], "broken")
    flip(weights)
    tamper(team, "UPDATE entries SET version = 2 WHERE number = 3")
    with pytest.raises(Refused, match=r"entry 3 of digits .* column version is 2, but 1 was signed"):
        rollback("digits", team.service(), team.keys["bert"], "broken")
    assert champion_number("digits", team.uri) == 2


def test_history_tells_who_was_champion_when_and_why(team: TeamProject):
    promote_versions(team, 1, 2)
    rollback("digits", team.service(), team.keys["bert"], "two is slow")
    reported = history("digits", team.service())
    assert [(period.version, period.kind, period.by, period.instead_of) for period in reported.periods] == [
        (1, "promote", "anna", None), (2, "promote", "anna", 1), (1, "rollback", "bert", 2)
    ]  # fmt: skip
    first, _, last = reported.periods
    assert (first.until, last.until) == (reported.periods[1].since, None)
    assert last.reason == "two is slow"
    assert first.gate_reason.startswith("accuracy 0.9")
    assert (first.gates[0]["gate"], first.gates[0]["verdict"]) == ("minimum", "reached")
    assert [approval.reason for approval in last.approvals] == ["bert says yes"]
    today = last.since[:10]
    assert [period.version for period in history("digits", team.service(), today).periods] == [1]
    assert history("digits", team.service(), last.since).periods[0].entry == last.entry
    before = history("digits", team.service(), "2020-01-31")
    assert (before.periods, str(before)) == ((), "digits had no champion at 2020-01-31")
    MlflowClient(team.uri, team.uri).set_registered_model_alias("digits", "champion", "4")
    assert history("digits", team.service()) == reported
    with pytest.raises(ConfigurationError, match=r"'last week' is no date or time; expected UTC as in 2026-11-17"):
        history("digits", team.service(), "last week")
    with pytest.raises(ConfigurationError, match=r"has no entry about 'digts'; did you mean 'digits'\?"):
        history("digts", team.service())
    assert parse_time(last.since).tzinfo is not None


def test_an_alias_that_was_moved_is_reported_and_put_back(team: TeamProject, caplog: pytest.LogCaptureFixture):
    promote_versions(team, 1)
    client = MlflowClient(team.uri, team.uri)
    client.set_registered_model_alias("digits", "champion", "4")
    assert problems(team) == {
        "alias": "alias champion of digits names version 4, but entry 3 of digits (promote of version 1) says 1: "
        "it was moved without the ledger; restore it with: headframe models verify digits --restore"
    }
    gate_version(team, 2)
    assert champion_number("digits", team.uri) == 4, "only --restore puts it back"
    with caplog.at_level(logging.WARNING, "headframe"), pytest.raises(Refused):
        promote_version(team, 2)
    assert "it was moved without the ledger" in caplog.text
    assert verify("digits", team.service(), restore=True).problems == ()
    assert champion_number("digits", team.uri) == 1
    client.delete_registered_model_alias("digits", "champion")
    assert "names no version" in problems(team)["alias"]
    verify("digits", team.service(), restore=True)
    assert champion_number("digits", team.uri) == 1


def test_an_alias_that_no_entry_stands_for_is_taken_down(team: TeamProject):
    gate_version(team, 1)
    MlflowClient(team.uri, team.uri).set_registered_model_alias("digits", "champion", "4")
    assert "but the ledger has made no version champion" in problems(team)["alias"]
    assert verify("digits", team.service(), restore=True).problems == ()
    assert champion_number("digits", team.uri) is None


def test_one_flipped_byte_of_a_gate_report_is_named(team: TeamProject):
    promote_versions(team, 1)
    [report] = (team.root / ".headframe" / "artifacts").rglob("gates/*.json")
    flip(report, 40)
    reported = problems(team)
    assert list(reported) == ["gate report"]
    assert reported["gate report"].startswith("entry 1 of digits (gate of version 1): gate report gates/")
    gate_version(team, 2)
    approve_version(team, 2)
    [second] = [each for each in (team.root / ".headframe" / "artifacts").rglob("gates/*.json") if each != report]
    flip(second, 40)
    with pytest.raises(Refused, match=r"gate report gates/.*\.json of models:/digits/2 has sha256 "):
        promote_version(team, 2)


@pytest.mark.parametrize("name", ["MLmodel", "model.dsse.json", "*.safetensors", "requirements.txt"])
def test_one_flipped_byte_of_a_model_file_is_named(name: str, team: TeamProject):
    promote_versions(team, 1, 2)
    [file] = folder(team, 1).rglob(name)
    flip(file, 30)
    reported = problems(team)
    assert list(reported) == ["model files"]
    assert reported["model files"].startswith("entry 3 of digits (promote of version 1): models:/digits/1 is refused: ")
    assert file.name in reported["model files"]


def test_one_flipped_byte_of_an_approval_is_named(team: TeamProject):
    """In the entry that holds it; what the entry holds beside it is the ledger's own test."""
    promote_versions(team, 1)
    connection = sqlite3.connect(team.root / ".headframe" / "ledger.db")
    [text] = connection.execute("SELECT envelope FROM entries WHERE number = 2").fetchone()
    connection.close()
    parts = json.loads(text)
    payload = base64.b64decode(parts["payload"]).replace(b"bert says yes", b"bert says yea")
    inner = json.loads(base64.b64decode(parts["payload"]))["predicate"]["approval"]
    changed = inner[:60] + chr(ord(inner[60]) ^ 1) + inner[61:]
    raw = base64.b64decode(parts["payload"]).replace(
        json.dumps(inner)[1:-1].encode(), json.dumps(changed)[1:-1].encode()
    )
    assert payload != raw != base64.b64decode(parts["payload"])
    parts["payload"] = base64.b64encode(raw).decode()
    tamper(team, "UPDATE entries SET envelope = ? WHERE number = 2", json.dumps(parts, sort_keys=True))
    reported = problems(team)
    assert list(reported) == ["chain"]
    assert reported["chain"].startswith(
        "entry 2 of digits (approve of version 1): its digest is not that of its envelope"
    )


def test_an_approval_that_does_not_hold_is_named_even_in_an_entry_that_does(team: TeamProject):
    """As somebody would write it who has a key of the team and the database, but not bert's key."""
    gate_version(team, 1)
    envelope = sign_approval(team.version(1), "yes", team.service(), team.keys["bert"])
    parts = json.loads(envelope)
    parts["payload"] = base64.b64encode(base64.b64decode(parts["payload"]).replace(b'"yes"', b'"yea"')).decode()
    ledger = team.service().ledger
    [first] = ledger.entries("digits", Trust.of(team.config))
    payload = {"approval": json.dumps(parts), "digests": {"bundle": first.digests["bundle"]}}
    ledger.append("digits", "approve", 1, payload, team.keys["anna"], after=1)
    with pytest.raises(Refused, match="the approval in entry 2 does not count: it was changed after bert signed it"):
        promote_version(team, 1)


def test_an_end_that_was_cut_off_is_noticed(team: TeamProject):
    promote_versions(team, 1, 2)
    tamper(team, "DELETE FROM entries WHERE number >= 5")
    reported = problems(team)
    assert reported["head"] == (
        "entries 5 to 6 of digits are missing: MLflow knows of 6 entries; the ledger's end was replaced, restore "
        "it from a copy"
    )
    assert "names version 2, but entry 3" in reported["alias"]
    with pytest.raises(Refused, match="entries 5 to 6 of digits are missing"):
        gate_version(team, 3)


def test_an_end_that_was_rewritten_is_noticed(team: TeamProject):
    """By somebody of the team who does not ask our code."""
    promote_versions(team, 1, 2)
    tamper(team, "DELETE FROM entries WHERE number >= 6")
    ledger = team.service().ledger
    last = ledger.entries("digits", Trust.of(team.config))[-1]
    payload = {"reason": "no", "digests": {"bundle": last.digests["bundle"]}}
    ledger.append("digits", "reject", 3, payload, team.keys["bert"], after=5)
    reported = problems(team)
    assert reported["head"].startswith(
        "entry 6 of digits (reject of version 3) is not the entry 6 that MLflow knows of"
    )


def test_a_champion_of_a_laxer_policy_is_named(team: TeamProject):
    lax = team.service(needed=0)
    gate_version(team, 1, lax)
    promote_version(team, 1, lax)
    assert verify("digits", lax).problems == ()
    assert problems(team)["policy"] == (
        "entry 2 of digits (promote of version 1) does not satisfy policy team: digits/1 needs 1 approval and has 0; "
        "ask for: headframe models approve digits/1"
    )


def test_a_promotion_without_the_role_is_reported(team: TeamProject):
    """As a reader could write it who has the database."""
    promote_versions(team, 1)
    ledger, trust = team.service().ledger, Trust.of(team.config)
    entries = ledger.entries("digits", trust)
    ledger.append("digits", "promote", 1, {**entries[2].payload}, team.keys["dora"], after=3)
    reported = [each.message for each in verify("digits", team.service()).problems if each.what == "policy"]
    assert reported[0].startswith(
        "entry 4 of digits (promote of version 1) was signed by dora, who is reader in conf/team/;"
    )


@pytest.mark.parametrize(
    ("payload", "phrase"),
    [
        (
            {"gate_entry": 1},
            "it has no valid from, reason, gate_reason, message, policy, approvals, commit, digests.",
        ),
        (
            {"gate_entry": 2},
            "it refers to entry 2, which is no gate of this version, so it was not written by headframe",
        ),
        ({"gate_entry": 9}, "it refers to entry 9, which is no gate of this version"),
        ({"gate_entry": "1"}, "it refers to entry 1, which is no gate of this version"),
    ],
)
def test_an_entry_with_an_incomplete_payload_is_named(payload: dict[str, Any], phrase: str, team: TeamProject):
    """As somebody of the team may sign it who does not ask our code."""
    promote_versions(team, 1)
    service = team.service()
    entry = service.entries("digits")[2]
    whole = {"digests": {"bundle": entry.digests["bundle"]}} if payload == {"gate_entry": 1} else entry.payload
    service.ledger.append("digits", "promote", 1, {**whole, **payload}, team.keys["anna"], after=3)
    assert problems(team)["chain"].startswith(f"entry 4 of digits (promote of version 1): {phrase}")
    with pytest.raises(Refused, match=r"entry 4 of digits \(promote of version 1\): "):
        history("digits", service)


@pytest.mark.parametrize("command", ["read", "verify", "gate"])
def test_what_was_left_of_a_promotion_is_finished_by_the_next_command(
    command: str, team: TeamProject, caplog: pytest.LogCaptureFixture
):
    promote_versions(team, 1)
    service = team.service()
    entries = service.ledger.entries("digits", service.trust)
    payload = {**entries[2].payload, "message": "two", "gate_entry": 4}
    gate_version(team, 2)
    service.ledger.append("digits", "promote", 2, payload, team.keys["anna"], after=4)
    commands = {
        "read": lambda: service.current_entries("digits"),
        "verify": lambda: verify("digits", service),
        "gate": lambda: gate_version(team, 3),
    }
    with caplog.at_level(logging.INFO, "headframe"):
        commands[command]()
    reported = "entry 5 of digits (promote of version 2) was not in MLflow yet; alias champion now names 2"
    assert reported in caplog.text
    assert champion_number("digits", team.uri) == 2


def test_one_person_alone_needs_no_approval(team: TeamProject):
    service = PromotionService(team.service(needed=0).promotion, Trust.of(TeamConfig()), team.uri, team.root)
    anna = team.keys["anna"]
    for number in (1, 2):
        run_gates(team.version(number), service, anna)
        promote(team.version(number), service, anna, "a better one")
    rollback("digits", service, anna, "worse after all")
    verified: Verification = verify("digits", service)
    assert verified.problems == ()
    assert str(verified) == (
        "digits: 5 entries, 2 gate reports and the files of 1, 2 hold; champion is version 1, by ledger and by alias"
    )
