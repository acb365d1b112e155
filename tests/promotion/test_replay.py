"""Signed records that come from elsewhere - another version, ledger or project - or are exchanged on the way."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from team_project import (
    TeamProject,
    approve_version,
    gate_version,
    promote_version,
    promote_versions,
)

from headframe.errors import HeadframeError, Refused
from headframe.ledger.database import ENTRIES
from headframe.promotion.approve import record_approval, sign_approval
from headframe.tracking.tags import LEDGER

ELSEWHERE = "sqlite:///elsewhere.db"


def reports(team: TeamProject, number: int) -> list[Path]:
    """The files of a version's last gate report, page and JSON."""
    run = team.root / ".headframe" / "artifacts" / team.version(number).run_id
    return sorted(file for file in run.rglob("gates/*") if file.is_file())


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("suffix", [".json", ".html"])
def test_a_report_exchanged_for_another_versions_after_gating_is_refused(
    team: TeamProject, suffix: str, approved: bool
):
    for number in (1, 2):
        gate_version(team, number)
    if approved:
        approve_version(team, 2)
    [ours], [theirs] = ([file for file in reports(team, n) if file.suffix == suffix] for n in (2, 1))
    shutil.copyfile(theirs, ours)
    act: Callable[..., Any] = promote_version if approved else approve_version
    with pytest.raises(Refused, match=rf"gates/[0-9a-f]{{16}}\{suffix} of models:/digits/2 has sha256"):
        act(team, 2)


def test_an_approval_of_one_version_approves_no_other_and_counts_once(team: TeamProject):
    service = team.service(needed=2)
    for number in (1, 2):
        gate_version(team, number, service)
    given = sign_approval(team.version(1), "fine", service, team.keys["bert"])
    with pytest.raises(Refused, match="digits/2"):
        record_approval(team.version(2), given, service, team.keys["anna"])
    record_approval(team.version(1), given, service, team.keys["anna"])
    with pytest.raises(Refused):
        record_approval(team.version(1), given, service, team.keys["anna"])
    with pytest.raises(Refused, match="approval"):
        promote_version(team, 1, service)


def test_an_approval_given_in_another_ledger_does_not_count(team: TeamProject):
    """Somebody with rights in MLflow removes the ledger's tag and starts over, with approvals of before."""
    gate_version(team, 1)
    given = sign_approval(team.version(1), "fine", team.service(), team.keys["bert"])
    service = team.service(ledger=ELSEWHERE)
    with pytest.raises(HeadframeError, match="ledger"):
        record_approval(team.version(1), given, service, team.keys["anna"])
    MlflowClient(team.uri, team.uri).delete_registered_model_tag("digits", LEDGER)
    gate_version(team, 1, service, by="cora")  # by bert in the same second it would be the same entry
    before, after = (each.entries("digits")[0].digests["report"] for each in (team.service(), service))
    assert before == after, "the report is the same, so that alone would let the approval count"
    with pytest.raises(
        Refused, match="the approval by bert does not count for digits/1: it was given in another ledger"
    ):
        record_approval(team.version(1), given, service, team.keys["anna"])
    about = {name: service.entries("digits")[0].digests[name] for name in ("bundle", "report", "signature")}
    service.ledger.append("digits", "approve", 1, {"approval": given, "digests": about}, team.keys["anna"], after=1)
    with pytest.raises(Refused, match="by bert in entry 2 does not count: it was given in another ledger"):
        promote_version(team, 1, service)


def test_entries_of_another_model_or_ledger_cannot_be_appended(team: TeamProject):
    promote_versions(team, 1)
    service = team.service(ledger=ELSEWHERE)
    with service.ledger.database.connect(writing=True) as connection:
        with team.service().ledger.database.connect(writing=False) as original:
            rows = [dict(row._mapping) for row in original.execute(sa.select(ENTRIES))]
        connection.execute(sa.insert(ENTRIES), [{**row, "model": "other"} for row in rows])
        connection.execute(sa.insert(ENTRIES), rows[1:2])  # one from the middle of a chain
    for model in ("other", "digits"):
        with pytest.raises(Refused, match=f"of {model} "):
            service.entries(model)
