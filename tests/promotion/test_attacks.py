"""What somebody of the team might try who wants a version promoted that should not be: each is refused or named."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from team_project import (
    MINIMUM,
    TeamProject,
    approve_version,
    gate_version,
    problems,
    promote_version,
    promote_versions,
)

from headframe.config.plan.promotion import TeamConfig
from headframe.errors import Refused
from headframe.evaluation.significance import mcnemar
from headframe.gates.error_control.familywise import spend_alpha
from headframe.gates.judge import judge_version
from headframe.gates.request import GateRequest
from headframe.gates.stored_report import store_report
from headframe.ledger.entries import format_time, parse_time
from headframe.ledger.rules import require_valid_payloads
from headframe.promotion.approvals import APPROVAL
from headframe.promotion.approve import approve, record_approval, sign_approval
from headframe.promotion.promote import promote
from headframe.promotion.promotion_checks import promotion_problems
from headframe.promotion.rollback import rollback
from headframe.promotion.rules import allowed_level, reproduction_verdict
from headframe.promotion.run_gates import run_gates
from headframe.promotion.service import PromotionService
from headframe.promotion.verify import verify
from headframe.promotion.views.history import history
from headframe.signing.envelope import sign_statement
from headframe.signing.keys import SigningKey
from headframe.signing.trust import Trust

BETTER = {
    "_target_": "headframe.gates.better.Better",
    "effect": 0.01, "power": 0.8, "test": "auto", "resamples": 2000,
}  # fmt: skip
GATES = {"minimum": MINIMUM, "better": BETTER}


@pytest.mark.parametrize("changes", [{"_target_": "headframe.gates.minimum.Minimum"}, {"power": 0.5}, {"effect": 0.2}])
def test_gates_that_were_asked_for_less_than_is_in_force_do_not_count(changes: dict[str, Any], team: TeamProject):
    promote_versions(team, 1, service=team.service(gates=GATES))
    changed = {**BETTER, **changes}
    lax = {name: changed[name] for name in ("_target_",)} if "_target_" in changes else changed
    gate_version(team, 4, team.service(gates={"minimum": MINIMUM, "better": lax}))
    approve_version(team, 4, service=team.service(gates={"minimum": MINIMUM, "better": lax}))
    with pytest.raises(Refused, match="digits/4 was judged by gate better with other settings than policy team has"):
        promote_version(team, 4, team.service(gates=GATES))


def forge(team: TeamProject, number: int, service: PromotionService, key: SigningKey) -> None:
    """Write down a gate report that calls a version better than it is, as somebody can who does not ask our code."""
    entries = service.current_entries("digits")
    present = next(entry for entry in reversed(entries) if entry.kind in ("promote", "rollback"))
    version = team.version(number)
    report = judge_version(GateRequest(
        version, service.version("digits", present.version), service.promotion, uri=service.uri,
        root=service.root, trust=service.trust,
        level=allowed_level(entries, number, present.version, service.promotion),
    ))  # fmt: skip
    assert not report.passed
    results = tuple(
        each.model_copy(update={"passed": True, "verdict": "better", "reason": "accuracy 0.99 is better"})
        if each.gate == "better"
        else each
        for each in report.results
    )
    report = report.model_copy(update={"results": results})
    assert report.passed
    stored, files = store_report(version, report, service.uri), service.version_files(version)
    payload: Mapping[str, Any] = {
        "passed": True,
        "reason": report.reason,
        "results": [
            {"gate": each.gate, "passed": each.passed, "verdict": each.verdict, "reason": each.reason}
            for each in results
        ],
        "champion": present.version,
        "tested": None if report.tested is None else report.tested.model_dump(),
        "error_control": report.error_control,
        "commit": "",
        "digests": {
            **service.registered_digests(version), **report.digests, **stored, "bundle": files.bundle,
            "signature": files.signature,
        },
    }  # fmt: skip
    service.ledger.append("digits", "gate", number, payload, key, after=len(entries))


def test_a_verdict_that_its_author_forged_is_refused_where_four_eyes_are_due(team: TeamProject):
    service = team.service(gates=GATES)
    promote_versions(team, 4, service=service)
    forge(team, 1, service, team.keys["anna"])
    pattern = (
        r"digits/1 was gated by its author anna \(entry 4 of digits \(gate of version 1\)\), and policy team asks for "
        "four eyes; another person has to run them: headframe models gate digits/1"
    )
    with pytest.raises(Refused, match=pattern):
        approve_version(team, 1, service=service)
    lax = team.service(gates=GATES, needed=0)
    given = sign_approval(team.version(1), "looks fine", lax, team.keys["bert"])
    with pytest.raises(Refused, match=pattern):
        record_approval(team.version(1), given, service, team.keys["anna"])
    record_approval(team.version(1), given, lax, team.keys["anna"])
    with pytest.raises(Refused, match=pattern):
        promote_version(team, 1, service)
    promote_version(team, 1, lax)
    [reported] = [each.message for each in verify("digits", service).problems if each.what == "policy"]
    assert reported.startswith(
        "entry 6 of digits (promote of version 1) does not satisfy policy team: digits/1 was gated by"
    )


def test_a_forged_verdict_is_named_when_the_gates_are_asked_again(team: TeamProject):
    service = PromotionService(
        team.service(needed=0, gates=GATES).promotion, Trust.of(TeamConfig()), team.uri, team.root
    )
    anna = team.keys["anna"]
    run_gates(team.version(4), service, anna)
    promote(team.version(4), service, anna)
    honest = verify("digits", service, recompute=True)
    assert (honest.problems, honest.recomputed) == ((), 2)
    assert str(honest).endswith("by ledger and by alias; 2 gates, run again, agree")
    forge(team, 1, service, anna)
    promote(team.version(1), service, anna)
    assert verify("digits", service).problems == ()
    [found] = verify("digits", service, recompute=True).problems
    assert found.what == "verdict"
    assert found.message.startswith(
        "entry 3 of digits (gate of version 1): gate better found: accuracy 0.99 is better; run again it found: "
        "accuracy 0."
    )


def test_the_authors_gates_take_nothing_from_those_of_others(team: TeamProject):
    gate_version(team, 1)
    gate_version(team, 1, by="anna")
    approve_version(team, 1)
    promote_version(team, 1)
    assert verify("digits", team.service()).problems == ()


def test_a_reader_cannot_write_down_gates(team: TeamProject):
    """As one could who has the database."""
    gate_version(team, 1)
    ledger = team.service().ledger
    [first] = ledger.entries("digits", Trust.of(team.config))
    ledger.append("digits", "gate", 2, first.payload, team.keys["dora"], after=1)
    with pytest.raises(Refused, match=r"digits/2 was gated by dora \(entry 2 of digits .*, who is reader; headframe"):
        promote_version(team, 2, team.service(needed=0))


def test_the_best_of_twenty_has_twenty_candidates(team: TeamProject):
    service = team.service(needed=0, gates=GATES)
    assert gate_version(team, 1, service).report.candidates == 1, "there is no champion to be better than"
    promote_version(team, 1, service)
    client = MlflowClient(team.uri, team.uri)
    source = client.get_model_version("digits", "2").source
    for _ in range(19):
        client.create_model_version("digits", source)
    report = gate_version(team, 2, service).report
    assert (report.tries, report.candidates) == (1, 20)
    report = gate_version(team, 3, service).report
    assert (report.tries, report.candidates) == (2, 20)
    numbers = report.results[-1].numbers
    assert numbers["alpha_used"] == pytest.approx(numbers["level"] / 20)


def test_the_best_of_many_equally_good_ones_passes_no_more_often_than_allowed():
    """Twenty versions as good as the champion; the one with the best test score is gated at a twentieth."""
    alpha, many, rows, times = 0.05, 20, 400, 1000
    random = np.random.default_rng(7)
    passed, naive = 0, 0
    for _ in range(times):
        hard = random.random(rows)  # some rows are hard for all, so that versions agree more than chance has it
        champion = random.random(rows) > 0.4 * hard
        right = random.random((many, rows)) > 0.4 * hard
        best = right[right.sum(axis=1).argmax()]
        p = mcnemar(int((best & ~champion).sum()), int((~best & champion).sum()))
        passed += p <= spend_alpha(alpha, 1) / many
        naive += p <= spend_alpha(alpha, 1)
    slack = 3 * np.sqrt(alpha * (1 - alpha) / times)
    assert passed / times <= alpha + slack
    assert naive / times > 2 * alpha + slack, "which is why candidates are counted"
    assert 1 - (1 - spend_alpha(alpha, 1) / many) ** many <= spend_alpha(alpha, 1), "independent ones, exactly"


def test_an_invalid_champion_period_is_reported_after_a_rollback(team: TeamProject):
    promote_versions(team, 1)
    lax = team.service(needed=0)
    gate_version(team, 2, lax)
    promote_version(team, 2, lax)
    rollback("digits", team.service(), team.keys["bert"], "never approved")
    assert problems(team) == {
        "policy": "entry 5 of digits (promote of version 2) does not satisfy policy team: digits/2 needs 1 approval "
        "and has 0; ask for: headframe models approve digits/2"
    }
    service = team.service()
    entries = service.entries("digits")
    assert promotion_problems(entries, entries[-1], service) == []
    [reported] = promotion_problems(entries, entries[4], service)
    assert reported == problems(team)["policy"]
    with pytest.raises(
        Refused, match=r"digits/2 cannot become champion again: entry 5 .* does not satisfy policy team"
    ):
        rollback("digits", service, team.keys["bert"], "it was good", 2)


def test_a_promotion_by_gates_that_failed_later_is_named(team: TeamProject):
    gate_version(team, 1)
    approve_version(team, 1)
    service = team.service()
    gate_version(team, 1, team.service(gates={"minimum": {**MINIMUM, "value": 0.9999}}))
    entries = service.entries("digits")
    payload = {
        "from": None, "to": 1, "reason": "", "gate_reason": "", "message": "one", "policy": "team", "gate_entry": 1,
        "approvals": [], "commit": "", "digests": entries[0].digests,
    }  # fmt: skip
    entry = service.ledger.append("digits", "promote", 1, payload, team.keys["anna"], after=3)
    [reported] = promotion_problems((*entries, entry), entry, service)
    assert reported.endswith("it refers to entry 1 of digits (gate of version 1), though entry 3 of digits (gate of "
                         "version 1) came after it")  # fmt: skip


def report_of(team: TeamProject, ending: str) -> Path:
    [file] = (team.root / ".headframe" / "artifacts").rglob(f"gates/*.{ending}")
    return file


def test_rollback_is_refused_where_the_gate_report_was_replaced(team: TeamProject):
    promote_versions(team, 1)
    report = report_of(team, "json")
    promote_versions(team, 2)
    report.write_text("{}", encoding="utf-8")
    with pytest.raises(
        Refused, match=r"digits/1 cannot become champion again: entry 3 .* gate report gates/.* has sha256"
    ):
        rollback("digits", team.service(), team.keys["bert"], "slow")


def test_a_page_that_was_replaced_is_named(team: TeamProject):
    gate_version(team, 1)
    page = report_of(team, "html")
    stored = page.read_bytes()
    page.write_text("<html>all is well</html>", encoding="utf-8")
    with pytest.raises(Refused, match=r"gates/[0-9a-f]{16}\.html of models:/digits/1 has sha256"):
        approve_version(team, 1)
    page.write_bytes(stored)
    approve_version(team, 1)
    promote_version(team, 1)
    page.write_text("<html>all is well</html>", encoding="utf-8")
    assert ".html of models:/digits/1 has sha256" in problems(team)["gate report"]


@pytest.mark.parametrize(
    "name",
    ["validated.json", "provenance.json", "plan.json", "predictions.parquet", "evaluation/metrics.json", "slices.json"],
)
def test_what_the_author_signed_beside_the_model_is_checked(name: str, team: TeamProject):
    promote_versions(team, 1)
    run = team.version(1).run_id
    [file] = (team.root / ".headframe" / "artifacts" / run).rglob(name)
    file.write_text("[]", encoding="utf-8")
    assert f"{name} of models:/digits/1 was changed" in problems(team)["model files"]


def test_a_tag_that_was_changed_is_named(team: TeamProject):
    promote_versions(team, 1)
    MlflowClient(team.uri, team.uri).set_model_version_tag("digits", "1", "headframe.predictions", "0" * 64)
    assert "tag headframe.predictions of models:/digits/1 was changed" in problems(team)["model files"]


def test_a_metric_that_was_changed_in_mlflow_is_named(team: TeamProject):
    promote_versions(team, 1)
    MlflowClient(team.uri, team.uri).set_model_version_tag("digits", "1", "headframe.accuracy", "0.195")
    message = problems(team)["model files"]
    assert "tag headframe.accuracy of models:/digits/1 was changed: it is 0.195, but 0." in message


def test_a_second_key_of_ones_own_is_no_second_person(team: TeamProject):
    service = PromotionService(team.service().promotion, Trust.of(TeamConfig()), team.uri, team.root)
    run_gates(team.version(1), service, team.keys["bert"])
    pattern = "policy team asks for approvals of others, but conf/team/ lists nobody, so two keys of one person would"
    with pytest.raises(Refused, match=pattern):
        approve(team.version(1), "fine", service, team.keys["bert"])
    approve_version(team, 1)  # by those who are listed
    with pytest.raises(Refused, match=pattern):
        promote(team.version(1), service, team.keys["anna"])
    promote_version(team, 1)
    assert pattern in next(each.message for each in verify("digits", service).problems if each.what == "policy")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"reason": None}, "it has no valid reason"),
        ({"version": "1"}, "it has no valid version"),
        ({"expires": "soon"}, "it has no valid expires"),
        ({"report": None}, "it has no valid report"),
        ({"time": 7}, "it has no valid time"),
    ],
)
def test_an_incomplete_approval_is_refused_in_one_sentence(changes: dict[str, Any], pattern: str, team: TeamProject):
    gate_version(team, 1)
    payload: dict[str, Any] = {
        "model": "digits", "version": 1, "reason": "x", "time": "2026-11-17T09:30:00Z",
        "expires": "2100-11-17T09:30:00Z", **changes,
    }  # fmt: skip
    about = {name: "0" * 64 for name in ("bundle", "report", "signature") if changes.get(name, "") is not None}
    envelope = sign_statement(
        APPROVAL, about, {name: value for name, value in payload.items() if value is not None}, team.keys["bert"]
    )
    with pytest.raises(Refused, match=pattern) as refused:
        record_approval(team.version(1), envelope, team.service(), team.keys["anna"])
    assert "\n" not in str(refused.value)


def test_a_reproduction_counts_if_another_person_signed_it_for_this_very_model(team: TeamProject):
    service = team.service()
    files = service.version_files(team.version(1))
    payload = {"verdict": "bitwise", "digests": {"bundle": files.bundle}}
    service.ledger.append("digits", "reproduce", 1, payload, team.keys["bert"], after=0)
    service.ledger.append("digits", "reproduce", 1, {**payload, "verdict": "different"}, team.keys["anna"], after=1)
    entries = service.entries("digits")
    for promotion, expected in ((service.promotion, "bitwise"), (team.service(needed=0).promotion, "different")):
        assert reproduction_verdict(entries, 1, files, promotion) == expected
    assert reproduction_verdict(entries, 1, replace(files, bundle="0" * 64), service.promotion) is None
    bert = service.trust.signers[team.keys["bert"].public]
    assert reproduction_verdict(entries, 1, replace(files, author=bert), service.promotion) == "different"


# People who left


def leaving(team: TeamProject, name: str, at: datetime, **changes: Any) -> PromotionService:
    """Return the service after somebody left."""
    service, config = team.service(**changes), team.config.model_dump(mode="json")
    config["people"][name]["until"] = format_time(at)
    return PromotionService(service.promotion, Trust.of(TeamConfig.model_validate(config)), team.uri, team.root)


def test_what_a_person_signed_before_leaving_still_counts_and_nothing_new(team: TeamProject):
    promote_versions(team, 1, 2)
    entries = team.service().entries("digits")
    gone = parse_time(entries[-1].time) + timedelta(seconds=1)
    without_bert = leaving(team, "bert", gone)
    assert verify("digits", without_bert).problems == ()
    assert [each.by for each in history("digits", without_bert).periods[0].approvals] == ["bert"]
    assert promotion_problems(entries, entries[-1], without_bert) == []
    if datetime.now(UTC) < gone:
        without_bert = leaving(team, "bert", gone - timedelta(seconds=1))
    pattern = r"bert's key counts in conf/team/ only until 20.*, so it signs nothing new"
    for action in (
        lambda: run_gates(team.version(3), without_bert, team.keys["bert"]),
        lambda: rollback("digits", without_bert, team.keys["bert"], "slow"),
    ):
        with pytest.raises(Refused, match=pattern):
            action()


def test_models_of_a_person_who_left_are_not_gated_or_promoted_again(team: TeamProject):
    gate_version(team, 1)
    approve_version(team, 1)
    without_anna = leaving(team, "anna", datetime.now(UTC))
    pattern = "digits/1 was signed by its author anna, but anna's key counts in conf/team/ only until 20"
    with pytest.raises(Refused, match=pattern):
        run_gates(team.version(1), without_anna, team.keys["bert"])
    with pytest.raises(Refused, match=pattern):
        approve(team.version(1), "fine", without_anna, team.keys["cora"])
    with pytest.raises(Refused, match=pattern):
        promote(team.version(1), without_anna, team.keys["cora"])
    assert without_anna.version_files(team.version(1)).author.name == "anna", "they still load"


def test_an_entry_dated_after_its_signer_left_is_refused(team: TeamProject):
    promote_versions(team, 1)
    earlier = leaving(team, "bert", datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(
        Refused, match=r"entry 1 of digits .*: it is of 20.*, but bert's key counts .* until 2026-01-01T"
    ):
        earlier.entries("digits")


def test_an_approval_that_was_kept_back_until_its_signer_left_does_not_count(team: TeamProject):
    """Approvals bear their signer's own clock, so when they were written down decides."""
    gate_version(team, 1, by="cora")
    held_back = sign_approval(team.version(1), "fine", team.service(), team.keys["bert"])
    record_approval(team.version(1), held_back, team.service(), team.keys["anna"])
    statement = {"model": "digits", "version": 1, "reason": "fine", "expires": "2100-01-01T00:00:00Z"}
    digests = team.service().entries("digits")[0].digests
    about = {name: digests[name] for name in ("bundle", "report", "signature")}
    backdated = sign_statement(APPROVAL, about, {**statement, "time": "2020-01-01T00:00:00Z"}, team.keys["bert"])
    service = leaving(team, "bert", datetime(2021, 1, 1, tzinfo=UTC))
    with pytest.raises(
        Refused, match="the approval by bert does not count for digits/1: bert's key counts in conf/team/ only until"
    ):
        record_approval(team.version(1), backdated, service, team.keys["anna"])
    payload = {"approval": backdated, "digests": about}
    service.ledger.append("digits", "approve", 1, payload, team.keys["anna"], after=2)
    with pytest.raises(
        Refused, match="by bert in entry 3 does not count: bert's key counts in conf/team/ only until 2021"
    ):
        promote(team.version(1), service, team.keys["anna"])


def test_what_an_entry_says_in_another_form_is_refused(team: TeamProject):
    gate_version(team, 1)
    service = team.service()
    [first] = service.entries("digits")
    for name, value in (("results", ["better"]), ("passed", "yes"), ("champion", "1"), ("reason", None)):
        payload = json.loads(json.dumps({**first.payload, name: value}))
        entry = first.model_copy(update={"payload": payload})
        with pytest.raises(Refused, match=f"it has no valid {name}, so it was not written by headframe"):
            require_valid_payloads([entry])
