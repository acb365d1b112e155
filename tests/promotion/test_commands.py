"""`headframe models ...`: what a person types, what they read, and the exit code."""

import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from team_project import MINIMUM, TeamProject, flip, folder

from headframe.cli.main import main
from headframe.tracking.database import require_database

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def team(made_team: TeamProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TeamProject:
    """The team's project, complete with `conf/`, for a person who stands in it."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    root = tmp_path / "project"
    shutil.copytree(made_team.root, root)
    require_database(root / ".headframe" / "mlflow.db")  # a copy names the files of the original until it is written to
    for name in ("conf", "flows"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    team = TeamProject(root, made_team.keys)
    config = team.config.model_dump(mode="json")
    (root / "conf" / "team" / "ours.yaml").write_text(json.dumps(config), encoding="utf-8")
    policy = {
        "model": "${dataset.name}",
        "policy": "ours",
        "gates": {"minimum": MINIMUM},
        "approvals": {"needed": 1, "four_eyes": True, "days": 14},
    }
    (root / "conf" / "promotion" / "ours.yaml").write_text(json.dumps(policy), encoding="utf-8")
    monkeypatch.setenv("HEADFRAME_KEYS", str(made_team.keys["anna"].file.parent))
    monkeypatch.delenv("HEADFRAME_SIGNER", raising=False)
    monkeypatch.chdir(root)
    return team


OURS = ("team=ours", "promotion=ours")


class Person:
    """Somebody at the command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, what was printed to stdout and to stderr."""
        code = main(["models", *arguments, *OURS])
        printed, output = self.capsys.readouterr()
        return code, printed, output

    def done(self, *arguments: str) -> str:
        code, printed, output = self(*arguments)
        assert code == 0, output
        return printed

    def refused(self, *arguments: str) -> str:
        """Return the one sentence of a refusal."""
        code, printed, output = self(*arguments, "--json")
        assert code == 4, (printed, output)
        document = json.loads(printed)
        assert document["exit_code"] == 4
        assert "\n" not in document["error"]
        assert output.endswith(f"headframe: {document['error']}\n")
        return str(document["error"])


@pytest.fixture
def models(team: TeamProject, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(capsys)


def test_a_team_takes_a_version_from_its_gates_to_champion_and_back(team: TeamProject, models: Person):
    for number in ("1", "2"):
        assert "ok  minimum       reached: accuracy" in models.done("gate", f"digits/{number}", "--as", "bert")
        assert "is approved by bert: fits" in models.done(
            "approve", f"digits/{number}", "--as", "bert", "--reason", "fits"
        )
        assert f"version {number} is champion: " in models.done("promote", f"digits/{number}", "--as", "anna")
    back = json.loads(models.done("rollback", "digits", "--as", "bert", "--reason", "slow", "--json"))
    assert (back["kind"], back["version"], back["signer"], back["number"]) == ("rollback", 1, "bert", 7)
    lines = models.done("history", "digits").splitlines()
    assert len(lines) == 3
    assert "rolled back to by bert: slow" in lines[-1]
    on = json.loads(models.done("history", "digits", "--on", "2020-01-31", "--json"))
    assert on["periods"] == []
    again = models.done("verify", "digits", "--recompute")
    assert again.endswith("by ledger and by alias; 1 gate, run again, agrees\n")
    assert models.done("verify", "digits").startswith("digits: 7 entries, 2 gate reports and the files of 1, 2 hold; ")
    assert "is rejected by cora: biased" in models.done("reject", "digits/3", "--as", "cora", "--reason", "biased")


def test_refusals_end_with_exit_code_4_and_one_sentence(team: TeamProject, models: Person, tmp_path: Path):
    assert "was not checked against its gates yet" in models.refused("promote", "digits/1", "--as", "anna")
    for number in ("1", "2", "5"):
        models.done("gate", f"digits/{number}", "--as", "bert")
    assert "needs 1 approval and has 0" in models.refused("promote", "digits/1", "--as", "anna")
    own = models.refused("approve", "digits/5", "--as", "cora", "--reason", "mine")
    assert own.startswith("cora registered digits/5 and policy ours asks for four eyes")
    assert "dora is reader" in models.refused("approve", "digits/1", "--as", "dora", "--reason", "why")
    (tmp_path / "old").write_text(models.done("approve", "digits/1", "--as", "bert", "--reason", "why", "--print"))
    replayed = models.refused("approve", "digits/2", "--as", "anna", "--record", str(tmp_path / "old"))
    assert replayed == (
        "the approval by bert does not count for digits/2: it is for digits/1, not for digits/2; "
        "ask for one of digits/2 as it is now: headframe models approve digits/2"
    )
    late = models.done(
        "approve", "digits/1", "--as", "bert", "--reason", "soon", "--print", "promotion.approvals.days=1e-6"
    )
    (tmp_path / "late").write_text(late)
    assert "expired at" in models.refused("approve", "digits/1", "--as", "anna", "--record", str(tmp_path / "late"))
    models.done("approve", "digits/1", "--as", "anna", "--record", str(tmp_path / "old"))
    [weights] = folder(team, 1).rglob("*.safetensors")
    flip(weights)
    assert "was changed after anna signed it" in models.refused("promote", "digits/1", "--as", "anna")
    strangers = team.config.model_dump(mode="json")
    del strangers["people"]["anna"]
    (team.root / "conf" / "team" / "ours.yaml").write_text(json.dumps(strangers), encoding="utf-8")
    assert "entry 4 of digits (approve of version 1): it is signed by an unknown key" in models.refused(
        "promote", "digits/1", "--as", "bert"
    )


def test_a_version_that_fails_its_gates_ends_with_exit_code_4_and_its_report(models: Person):
    code, printed, _ = models("gate", "digits/1", "--as", "anna", "--json", "promotion.gates.minimum.value=0.9999")
    assert code == 4
    document = json.loads(printed)
    assert (document["kind"], document["report"]["results"][0]["verdict"]) == ("gate", "missed")


def test_what_verify_finds_is_listed_and_ends_with_exit_code_4(team: TeamProject, models: Person):
    models.done("gate", "digits/1", "--as", "bert")
    models.done("approve", "digits/1", "--as", "bert", "--reason", "fits")
    models.done("promote", "digits/1", "--as", "anna", "--reason", "at last")
    MlflowClient(team.uri, team.uri).set_registered_model_alias("digits", "champion", "4")
    code, printed, _ = models("verify", "digits")
    assert code == 4
    assert printed.splitlines()[0].startswith("alias: alias champion of digits names version 4, but entry 3 of digits")
    assert printed.splitlines()[-1] == "digits: 1 problem"
    code, printed, output = models("verify", "digits", "--restore", "--json")
    assert (code, json.loads(printed)["problems"]) == (0, [])
    assert "alias champion of digits named 4 and now names 1, as the ledger says" in output


def test_an_approval_is_printed_here_and_recorded_there(
    models: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    models.done("gate", "digits/1", "--as", "bert")
    printed = models.done("approve", "digits/1", "--as", "bert", "--reason", "fits", "--print")
    requested = models.done("approve", "digits/1", "--as", "bert", "--reason", "fits", "--print", "--json")
    assert json.loads(requested)["payloadType"] == json.loads(printed)["payloadType"] == "application/vnd.in-toto+json"
    monkeypatch.setattr(sys, "stdin", io.StringIO(printed))
    assert "is approved by bert: fits" in models.done("approve", "digits/1", "--as", "anna", "--record", "-")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("promote", "digits/1", "--bogus"), "unrecognized arguments: --bogus"),
        (("reject", "digits/1", "--as", "bert"), "the following arguments are required: --reason"),
        (("approve", "digits/1", "--as", "bert"), "to approve takes a reason; give one with --reason 'WHY'"),
        (("approve", "digits/1", "--print", "--record", "-"), "give one of them"),
        (("approve", "digits/1", "--as", "anna", "--record", "absent"), "--record absent: there is no such file"),
        (("verify", "digits/1"), "expected a NAME alone, as in digits"),
        (("rollback", "digits@champion", "--reason", "why"), "expected NAME or NAME/VERSION, as in digits/1"),
        (("history",), "team=ours stands where MODEL does; name the model before it, as in digits team=ours"),
        (("history", "digits"), "has no entry about 'digits'; it is empty"),
        (("gate", "digits/9", "--as", "anna"), "model 'digits' has no version 9; it has 1, 2, 3, 4, 5"),
        (("gate", "digits/1"), "holds several keys (anna, bert, cora, dora); name one with --as NAME"),
        (("gate", "digits/1", "--as", "emil"), "there is no key 'emil'"),
        (("gate", "digits/1", "seed=1,2"), "these are 2 plans, but this command takes one"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2(arguments: tuple[str, ...], sentence: str, models: Person):
    code, printed, _ = models(*arguments, "--json")
    assert (code, json.loads(printed)["exit_code"]) == (2, 2)
    assert sentence in json.loads(printed)["error"]


def test_only_what_is_required_is_called_so(capsys: pytest.CaptureFixture[str]):
    assert main(["models", "history"]) == 2
    assert "the following arguments are required: MODEL; see" in capsys.readouterr().err


def test_a_person_who_left_signs_nothing_new(team: TeamProject, models: Person):
    models.done("gate", "digits/1", "--as", "bert")
    config, file = team.config.model_dump(mode="json"), team.root / "conf" / "team" / "ours.yaml"
    config["people"]["bert"]["until"] = "2100-01-01T00:00:00Z"
    file.write_text(json.dumps(config), encoding="utf-8")
    models.done("approve", "digits/1", "--as", "bert", "--reason", "until 2100")
    key = team.keys["bert"].public
    file.write_text(
        f"people:\n  cora: {{key: {team.keys['cora'].public}, roles: [approver]}}\n"
        f"  bert: {{key: {key}, roles: [approver], until: 2020-01-01T00:00:00Z}}\n",
        encoding="utf-8",
    )
    output = models.refused("approve", "digits/1", "--as", "bert", "--reason", "still here")
    assert output.startswith("bert's key counts in conf/team/ only until 2020-01-01T00:00:00Z, so it signs nothing new")


def test_every_action_has_help_with_an_example(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["models", "--help"])
    actions = re.findall(r"^    (\w+) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert {"gate", "approve", "reject", "promote", "rollback", "history", "verify"} <= set(actions)
    for action in actions:
        with pytest.raises(SystemExit) as left:
            main(["models", action, "--help"])
        assert left.value.code == 0
        assert f"example:\n  headframe models {action}" in capsys.readouterr().out
