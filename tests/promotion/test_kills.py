"""After a kill at any point of an action, the next command leaves one champion, a complete ledger and MLflow."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from fixtures import in_child
from team_project import TeamProject, approve_version, gate_version, promote_version, promote_versions

from headframe.errors import Refused
from headframe.ledger.champion_alias import LedgerHead, read_head
from headframe.ledger.entries import Entry, champion_entry
from headframe.promotion.approve import reject
from headframe.promotion.rollback import rollback
from headframe.promotion.verify import verify
from headframe.registry.versions import champion_number

KILLS = 50
WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True)
class Scene:
    """Two databases as they were before an action, and the action.

    This process no longer reads either of them: it would remember what a killed child has not written.
    """

    team: TeamProject
    action: Callable[[], object]
    before: int
    after: int
    entries: int
    saved: dict[Path, bytes]

    def restore(self) -> None:
        for file, content in self.saved.items():
            for left in file.parent.glob(f"{file.name}-*"):  # journals of a killed process
                left.unlink()
            file.write_bytes(content)


def scene(team: TeamProject, kind: str) -> Scene:
    """Return a scene in which version 1 is champion and 2 gets promoted or rejected; or 2 is, and 1 gets restored."""
    promote_versions(team, 1)
    gate_version(team, 2)
    approve_version(team, 2)
    if kind == "rollback":
        promote_version(team, 2)
    folder = team.root / ".headframe"
    saved = {folder / name: (folder / name).read_bytes() for name in ("mlflow.db", "ledger.db")}
    bert, count = team.keys["bert"], 6 if kind == "rollback" else 5
    if kind == "promote":
        return Scene(team, lambda: promote_version(team, 2), 1, 2, count, saved)
    if kind == "reject":
        return Scene(team, lambda: reject(team.version(2), "no", team.service(), bert), 1, 1, count, saved)
    return Scene(team, lambda: rollback("digits", team.service(), bert, "two is slow"), 2, 1, count, saved)


def at_write(count: int, do: Callable[[], None]) -> None:
    """Call a function in this process at its write of a number, to either database.

    A write is a statement that changes something, as it begins, and a commit, as it begins. What lies between the
    end of one and the beginning of the next is not seen by any other process.
    """
    seen = 0

    def tick() -> None:
        nonlocal seen
        if seen == count:
            do()
        seen += 1

    def executing(_: object, __: object, statement: str, *___: object) -> None:
        if statement.lstrip().upper().startswith(WRITES):
            tick()

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", executing)
    sa.event.listen(sa.engine.Engine, "commit", lambda _: tick())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_writes(setup: Scene, outcome: Path) -> int:
    """Count the writes of an action that is not interrupted."""

    def work() -> None:
        seen: list[int] = []
        sa.event.listen(
            sa.engine.Engine,
            "before_cursor_execute",
            lambda *given: seen.append(1) if given[2].lstrip().upper().startswith(WRITES) else None,
        )
        sa.event.listen(sa.engine.Engine, "commit", lambda _: seen.append(1))
        setup.action()
        outcome.write_text(str(len(seen)), encoding="utf-8")

    setup.restore()
    assert in_child(work) == 0
    return int(outcome.read_text(encoding="utf-8"))


def whole(setup: Scene, outcome: Path) -> None:
    """Run any command, which completes what was interrupted; all must hold, and the action can be completed."""
    team, service = setup.team, setup.team.service()

    def one_champion() -> tuple[Entry, ...]:
        entries = service.current_entries("digits")
        present = champion_entry(entries)
        assert present is not None
        assert present.version in (setup.before, setup.after)
        assert champion_number("digits", team.uri) == present.version
        assert not service.ledger.is_pending("digits")
        assert read_head("digits", team.uri) == LedgerHead(entries[0].digest, len(entries), entries[-1].digest)
        assert verify("digits", service).problems == ()
        return entries

    entries = one_champion()
    done = len(entries) > setup.entries
    assert champion_number("digits", team.uri) == (setup.after if done else setup.before)
    outcome.write_text("done" if done else "undone", encoding="utf-8")
    if not done:
        setup.action()
    elif setup.after == 2:  # a second rollback or rejection would be another one
        with pytest.raises(Refused, match="is the champion already"):
            setup.action()
    after = one_champion()
    assert len(after) == setup.entries + 1


@pytest.mark.parametrize(
    ("kind", "least"), [("promote", 10), ("reject", 6), pytest.param("rollback", 10, marks=pytest.mark.slow)]
)
def test_a_kill_at_any_write_leaves_nothing_half_done(kind: str, least: int, team: TeamProject, tmp_path: Path):
    setup = scene(team, kind)
    outcome = tmp_path / "outcome"
    writes = count_writes(setup, outcome)
    assert writes >= least, (
        "entry, head and mark are a statement and a commit each; so are reason and alias of a champion"
    )
    ends = []
    for number in range(writes):
        setup.restore()

        def killed(number: int = number) -> None:
            at_write(number, die)
            setup.action()

        assert in_child(killed) == -signal.SIGKILL
        assert in_child(lambda: whole(setup, outcome)) == 0, f"killed at write {number} of {writes}"
        ends.append(outcome.read_text(encoding="utf-8"))
    # Up to the commit of its entry nothing was done; from then on the next command does the rest.
    assert ends == sorted(ends, reverse=True)
    assert {*ends} == {"undone", "done"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["promote", "rollback"])
def test_kills_at_random_leave_nothing_half_done(kind: str, team: TeamProject, tmp_path: Path):
    setup = scene(team, kind)
    outcome = tmp_path / "outcome"
    setup.restore()
    began = time.monotonic()
    assert in_child(setup.action) == 0
    took = time.monotonic() - began
    draw = random.Random(17)
    ends = []
    for number in range(KILLS):
        setup.restore()
        child = os.fork()
        if child == 0:
            try:
                setup.action()
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert in_child(lambda: whole(setup, outcome)) == 0, f"kill {number}"
        ends.append(outcome.read_text(encoding="utf-8"))
    assert {*ends} == {"undone", "done"}, "the kills came all too early, or all too late"
