"""What a person reads at the end of a run leads on."""

import pytest
from fixtures import Made, World

from headframe.cli.console import show_results, show_trained
from headframe.records import Decision, RegisteredPlan, RunResult
from headframe.registry.versions import resolve
from headframe.serving.smoke_request import smoke_test


def _result(world: World, made: Made, champion: int | None) -> RunResult:
    state = "champion" if champion == 1 else "refused"
    decision = Decision(model="digits", version=1, champion=champion, state=state, reason="better")
    response = smoke_test(decision, made.trained, made.plan.team, "here", made.places)
    result = RegisteredPlan(
        data=made.data, trained=made.trained, evaluated=made.evaluated, registered=world.registered["digits"]
    )
    return RunResult(plan="digits", fingerprint="0", result=result, decision=decision, smoke_test=response)


@pytest.mark.parametrize(("champion", "name"), [(1, "digits@champion"), (None, "digits/1")])
def test_what_to_try_next_names_a_version_that_there_is(
    world: World, champion: int | None, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_results([_result(world, world.made["digits"], champion)], [""])
    printed = capsys.readouterr().out
    [line] = [line for line in printed.splitlines() if line.startswith("try next")]
    assert line == f"try next   headframe serve {name}"
    if champion is None:
        assert resolve(name, world.uri).number == 1


def test_a_champion_that_misses_a_stricter_minimum_is_shown_as_champion(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    result = _result(world, world.made["digits"], 1)
    refused = result.model_copy(update={"decision": result.decision.model_copy(update={"state": "refused"})})
    show_results([refused, refused], ["seed=1", "seed=2"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("\u2502 1 ", "\u2502 2 "))]
    assert [row.split()[-2] for row in rows] == ["yes", "yes"]


def test_after_training_the_gates_are_what_comes_next(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    show_trained(_result(world, world.made["digits"], None).result)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "try next   headframe predict digits/1 DATASET scored.parquet",
        "           headframe models gate digits/1",
    ]


def test_the_table_of_several_runs_tells_them_apart(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    result = _result(world, world.made["digits"], 1)
    show_results([result, result], ["model=cnn seed=0", "model=mlp seed=0"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\u2502")[1].strip() for line in lines if line.startswith(("\u2502 1 ", "\u2502 2 "))] == [
        "1 model=cnn seed=0",
        "2 model=mlp seed=0",
    ]
