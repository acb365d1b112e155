"""What the ledger knows of the allowed error: who spends it, and that everybody can compute it again."""

from collections.abc import Mapping
from typing import Any

import pytest
from team_project import TeamProject, approve_version, gate_version, problems, promote_version, promote_versions

from headframe.errors import Refused
from headframe.gates.error_control.addis import Addis
from headframe.gates.error_control.familywise import spend_alpha
from headframe.gates.judge import judge_version
from headframe.gates.report import GateReport
from headframe.gates.request import GateRequest
from headframe.ledger.past_tests import past_tests
from headframe.promotion import run_gates
from headframe.promotion.service import PromotionService
from headframe.promotion.verify import verify
from headframe.promotion.views.version_details import version_details

GATES = {
    "validation": {"_target_": "headframe.gates.validation.ShownOnValidation"},
    "better": {"_target_": "headframe.gates.better.Better"},
}
ADDIS = {"_target_": "headframe.gates.error_control.addis.Addis"}
FAMILYWISE = {"_target_": "headframe.gates.error_control.familywise.Familywise"}


def spent_pairs(service: PromotionService) -> list[tuple[int, int]]:
    return [(each.version, each.champion) for each in past_tests(service.entries("digits"))]


def forge_level(team: TeamProject, number: int, service: PromotionService, **changes: Any) -> None:
    """Append a copy of the last entry about a version's gates whose test has other numbers."""
    entries = service.entries("digits")
    last = next(each for each in reversed(entries) if each.kind == "gate" and each.version == number)
    payload: Mapping[str, Any] = {**last.payload, "tested": {**last.payload["tested"], **changes}}
    service.ledger.append("digits", "gate", number, payload, team.keys["bert"], after=len(entries))


def test_exploring_costs_nothing_where_validation_rows_decide(team: TeamProject):
    """Version 5 was trained longest; the shorter a training, the worse."""
    service = team.service(needed=0, gates=GATES, error_control=FAMILYWISE)
    promote_versions(team, 4, service=team.service(needed=1, gates=GATES, error_control=FAMILYWISE))
    for number in (1, 2, 3, 1):
        gated = gate_version(team, number, service)
        assert (gated.report.passed, gated.report.tested) == (False, None)
        assert "no test row was consulted and nothing spent" in gated.message
    assert spent_pairs(service) == []
    assert service.gate_request(
        team.version(5), 4, service.entries("digits"), service.version_files(team.version(5))
    ).level == spend_alpha(0.05, 1)  # fmt: skip


def test_the_level_follows_from_the_ledger_alone(team: TeamProject):
    service = team.service(gates={"better": GATES["better"]})
    promote_versions(team, 1, service=service)
    assert service.entries("digits")[0].payload["tested"] is None, "there was no champion to test against"
    first = gate_version(team, 4, service).report
    assert first.tested.level == Addis().level([], 1)
    promote_versions(team, 4, service=service)
    assert spent_pairs(service) == [(4, 1)], "gated twice, tested once"
    [test] = past_tests(service.entries("digits"))
    assert test.promoted_after == 1
    second = gate_version(team, 2, service).report
    assert second.tested.level == Addis().level([test], 4)
    assert verify("digits", service, recompute=True).problems == ()


@pytest.mark.parametrize("level", [0.04, 1e-9])
def test_a_level_that_the_ledger_does_not_allow_is_found(level: float, team: TeamProject):
    service = team.service(gates={"better": GATES["better"]})
    promote_versions(team, 1, service=service)
    gate_version(team, 4, service)
    forge_level(team, 4, service, level=level)
    found = problems(team, gates={"better": GATES["better"]})
    assert found.keys() == {"level"}
    assert f"was tested at level {level:.6g}, but the entries before it allow 0.0121585" in found["level"]
    approve_version(team, 4, service=service)
    with pytest.raises(Refused, match="but its gate report with version 1"):
        promote_version(team, 4, service)


def test_a_version_judged_by_a_laxer_rule_than_is_in_force_is_refused(team: TeamProject):
    lax = team.service(gates={"better": GATES["better"]}, error_control={**ADDIS, "alpha": 0.4})
    service = team.service(gates={"better": GATES["better"]})
    promote_versions(team, 1, service=service)
    gate_version(team, 4, lax)
    approve_version(team, 4, service=lax)
    with pytest.raises(Refused, match=r"tested at level 0.0973, but by the ledger and policy team 0.0122 was allowed"):
        promote_version(team, 4, service)
    assert verify("digits", lax).problems == (), "the level is the one of the rule that the entry names"


def test_of_two_that_race_each_is_tested_at_the_level_of_its_place(team: TeamProject, monkeypatch: pytest.MonkeyPatch):
    """Version 3 is gated and written while version 2 is judged, whose entry then comes second."""
    service = team.service(gates={"better": GATES["better"]}, error_control=FAMILYWISE)
    promote_versions(team, 1, service=service)
    judged: list[tuple[int, float]] = []

    def judge(request: GateRequest) -> GateReport:
        judged.append((request.version.number, request.level))
        if len(judged) == 1:
            gate_version(team, 3, service)
        return judge_version(request)

    monkeypatch.setattr(run_gates, "judge_version", judge)
    gate_version(team, 2, service)
    first, second = spend_alpha(0.05, 1), spend_alpha(0.05, 2)
    assert judged == [(2, first), (3, first), (2, second)]
    entries = [each for each in service.entries("digits") if each.payload.get("tested")]
    assert [(each.version, each.payload["tested"]["level"]) for each in entries] == [(3, first), (2, second)]
    assert verify("digits", service).problems == ()


def test_a_first_version_that_validation_rows_refuse_is_counted_as_theirs(team: TeamProject):
    """Version 1 was hardly trained; a policy that allows next to no chance takes it for no better than the prior."""
    strict = {"validation": {**GATES["validation"], "alpha": 1e-300}, "better": GATES["better"]}
    service = team.service(gates=strict)
    gated = gate_version(team, 1, service)
    assert not gated.report.passed
    assert "is not shown to be better than" in gated.message
    assert gated.message.endswith("no test row was consulted and nothing spent")
    assert spent_pairs(service) == []
    [line] = [each for each in version_details(team.version(1), service).lines if each.startswith("allowed")]
    assert line == ("allowed    no champion yet, so nothing is tested; 1 version decided by validation rows alone")
    assert verify("digits", service, recompute=True).problems == ()


def test_a_version_shows_what_is_left_of_the_allowed_error(team: TeamProject):
    service = team.service(gates=GATES)
    before = [each for each in version_details(team.version(1), service).lines if each.startswith("allowed")]
    assert before == ["allowed    no champion yet, so nothing is tested"]
    promote_versions(team, 3, service=service)
    gate_version(team, 1, service)
    [line] = [each for each in version_details(team.version(3), service).lines if each.startswith("allowed")]
    assert line == (
        "allowed    p 0.0122 for the next version against version 3, so that the expected share of false promotions "
        "stays below 0.05; 0 tests on test rows so far, 0 of them promoted, 1 version decided by validation rows alone"
    )
