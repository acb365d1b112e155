"""Twenty processes promote at once: one champion, and everybody else learns who it is."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mlflow import MlflowClient
from postgres import fresh_database
from team_project import VERSIONS, TeamProject, approve_version, gate_version, promote_version, promote_versions

from headframe.errors import HeadframeError, Refused
from headframe.promotion.approve import reject
from headframe.promotion.rollback import rollback
from headframe.promotion.service import PromotionService
from headframe.promotion.verify import verify
from headframe.registry.versions import champion_number
from headframe.signing.trust import Trust

PROCESSES = 20
DONE, REFUSED, OTHER = 0, 4, 70


def at_once(works: Sequence[Callable[[], object]], messages: Path) -> list[int]:
    """Run functions in forked processes that begin in one moment; return their exit codes and write their refusals.

    Args:
        works: one for each process.
        messages: a folder; each process writes its refusal to a file there.
    """
    messages.mkdir(exist_ok=True)
    begin = time.monotonic() + 0.5
    children = []
    for number, work in enumerate(works):
        child = os.fork()
        if child == 0:
            code = OTHER
            try:
                time.sleep(max(0.0, begin - time.monotonic()))
                work()
                code = DONE
            except Refused as error:
                (messages / str(number)).write_text(str(error), encoding="utf-8")
                code = REFUSED
            except HeadframeError as error:
                (messages / str(number)).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, team: TeamProject) -> PromotionService:
    """An service whose ledger is in either kind of database."""
    if request.param == "sqlite":
        return team.service()
    server = request.getfixturevalue("postgres_server")
    return team.service(ledger=fresh_database(server, f"race-{os.urandom(4).hex()}"))


def test_of_twenty_promotions_at_once_one_wins(service: PromotionService, team: TeamProject, tmp_path: Path):
    for number in range(1, VERSIONS + 1):
        gate_version(team, number, service)
        approve_version(team, number, service=service)
    before = len(service.ledger.entries("digits", service.trust))
    versions = [1 + number % VERSIONS for number in range(PROCESSES)]
    codes = at_once(
        [lambda number=number: promote_version(team, number, service) for number in versions], tmp_path / "messages"
    )
    messages = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "messages").iterdir()}
    assert sorted(codes) == [DONE] + [REFUSED] * (PROCESSES - 1), messages
    winner = versions[codes.index(DONE)]
    entries = service.ledger.entries("digits", service.trust)
    assert [(entry.kind, entry.version) for entry in entries[before:]] == [("promote", winner)]
    assert champion_number("digits", team.uri) == winner
    for name, sentence in messages.items():
        if versions[int(name)] == winner:
            assert sentence.startswith(f"digits/{winner} is the champion already (entry {before + 1} of digits")
        else:
            assert f"but version {winner} has become champion since (entry {before + 1} of digits" in sentence
        assert ", by anna at 20" in sentence
    assert verify("digits", service).problems == ()


@pytest.mark.slow
def test_promotions_rollbacks_and_rejections_at_once_leave_a_whole_ledger(
    service: PromotionService, team: TeamProject, tmp_path: Path
):
    promote_versions(team, 1, 2, service=service)
    gate_version(team, 3, service)
    approve_version(team, 3, service=service)
    bert = team.keys["bert"]
    works = [
        *[lambda: promote_version(team, 3, service)] * 5,
        *[lambda: rollback("digits", service, bert, "slow", 1)] * 5,
        *[lambda: reject(team.version(4), "no", service, bert)] * 5,
        *[lambda: gate_version(team, 5, service)] * 5,
    ]
    codes = at_once(works, tmp_path / "messages")
    assert OTHER not in codes, [file.read_text(encoding="utf-8") for file in (tmp_path / "messages").iterdir()]
    entries = service.ledger.entries("digits", service.trust)
    champions = [entry.version for entry in entries[6:] if entry.kind in ("promote", "rollback")]
    assert champions in ([1], [3], [3, 1])
    assert [entry.kind for entry in entries].count("reject") == 5
    assert champion_number("digits", team.uri) == champions[-1]
    head = MlflowClient(team.uri, team.uri).get_registered_model("digits").tags["headframe.ledger"]
    assert head == f"{entries[0].digest} {entries[-1].number} {entries[-1].digest}"
    assert verify("digits", service).problems == ()


def test_twenty_entries_at_once_get_different_numbers(service: PromotionService, team: TeamProject, tmp_path: Path):
    """By people who judge nothing and take whatever number comes next, as `reproduce` does."""
    bert = team.keys["bert"]
    trust = Trust.of(team.config)
    assert (
        at_once([lambda: reject(team.version(4), "no", service, bert)] * PROCESSES, tmp_path / "messages")
        == [0] * PROCESSES
    )
    assert [entry.number for entry in service.ledger.entries("digits", trust)] == list(range(1, PROCESSES + 1))
