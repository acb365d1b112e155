"""Views of versions: which may be compared, what each rests on, and pages that show it all."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fixtures
import pytest
import yaml
from mlflow import MlflowClient
from team_project import MINIMUM, TeamProject

from headframe.cli.main import main
from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.errors import ConfigurationError, Refused
from headframe.evaluation.evaluation import evaluate_model
from headframe.promotion.approve import approve, reject
from headframe.promotion.promote import promote
from headframe.promotion.rollback import rollback
from headframe.promotion.run_gates import run_gates
from headframe.promotion.service import PromotionService
from headframe.promotion.views.leaderboard import _ranks, leaderboard
from headframe.promotion.views.model_card import model_card
from headframe.promotion.views.overview import (
    ComparableVersions,
    Overview,
    VersionRecord,
    VersionSummary,
    _group_of,
    overview,
    read_version,
)
from headframe.promotion.views.version_details import version_details
from headframe.records import Interval
from headframe.registry.listing import get_version, model_names
from headframe.signing.keys import create_key
from headframe.tracking.database import require_database

EVIL = "<script>alert('x')</script> & \"more\" | `tick`"


def _plans(team: dict[str, Any]) -> list[Plan]:
    """Two seeds of one configuration, another configuration, and one that is measured on other rows."""
    fast = {"_target_": "torch.optim.adamw.AdamW", "lr": 0.02}
    few = {"resamples": 100}
    plans = [
        fixtures.plan_for("digits", seed=1, team=team, evaluation=few),
        fixtures.plan_for("digits", seed=2, team=team, evaluation=few),
        fixtures.plan_for("digits", seed=1, team=team, evaluation=few, optimizer=fast),
    ]
    dataset = yaml.safe_load((fixtures.REPOSITORY / "conf" / "dataset" / "digits.yaml").read_text(encoding="utf-8"))
    other = {**dataset, "title": EVIL, "split": {**dataset["split"], "salt": "other"}}
    return [*plans, fixtures.plan_for("digits", seed=1, team=team, evaluation=few, dataset=other)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TeamProject:
    """Four measured versions; for copying only."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(folder / "keys"))
        patch.setenv("HEADFRAME_SIGNER", "anna")
        team = TeamProject(folder / "project", {name: create_key(name) for name in ("anna", "bert", "cora", "dora")})
        team.root.mkdir()
        fixtures.empty_registry(team.root)
        for number, plan in enumerate(_plans(team.config.model_dump(mode="json")), start=1):
            data = fixtures.ingested(plan, team.root)
            trained = fixtures.train(plan, data, team.root, f"number-{number}", steps=15 * number)
            (team.root / trained.folder / "history.json").write_text("[]", encoding="utf-8")
            seen = team.root / ".headframe" / "seen" / str(number)
            evaluated = evaluate_model(plan, data.split.table, trained, None, (), team.root, seen)
            fixtures.Made(team.root, team.uri, plan, data, trained, evaluated).register()
    return team


@pytest.fixture
def team(made: TeamProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TeamProject:
    """The same four versions in a project of its own, with an empty ledger."""
    from mlflow.tracking._tracking_service import utils

    monkeypatch.setenv("HEADFRAME_KEYS", str(made.keys["anna"].file.parent))
    root = tmp_path / "project"
    shutil.copytree(made.root, root)
    require_database(root / ".headframe" / "mlflow.db")  # a copy names the files of the original until it is written to
    utils._artifact_repos_cache.clear()
    return TeamProject(root, made.keys)


def promote_versions(team: TeamProject, number: int, service: PromotionService) -> None:
    run_gates(team.version(number), service, team.keys["bert"])
    approve(team.version(number), EVIL, service, team.keys["bert"])
    promote(team.version(number), service, team.keys["anna"])


def states(found: Overview) -> dict[int, str]:
    listed = [each for group in found.groups for each in group.versions] + list(found.others)
    return {each.version: each.state for each in listed}


def test_only_versions_of_the_same_rows_stand_together_best_first(team: TeamProject):
    found = overview("digits", team.service())
    assert model_names(team.service().uri) == ["digits"]
    numbers = [{each.version for each in group.versions} for group in found.groups]
    assert numbers == [{4}, {1, 2, 3}]  # newest first, as there is no champion
    values = [each.value.value for each in found.groups[1].versions if each.value]
    assert values == sorted(values, reverse=True)
    assert len(values) == 3
    assert found.groups[0].split != found.groups[1].split
    text = "\n".join(found.lines)
    assert "digits: there is no champion" in text
    assert "not comparable with those above: accuracy on the same" in text
    assert {each.author for group in found.groups for each in group.versions} == {"anna"}


def test_the_state_of_each_version_is_what_the_ledger_says(team: TeamProject):
    service = team.service()
    assert set(states(overview("digits", service)).values()) == {"candidate"}
    promote_versions(team, 1, service)
    run_gates(team.version(2), service, team.keys["anna"])
    reject(team.version(3), "no", service, team.keys["bert"])
    found = overview("digits", service)
    assert states(found) == {1: "champion", 2: "challenger", 3: "rejected", 4: "candidate"}
    assert {each.version for each in found.groups[0].versions} == {1, 2, 3}  # the champion's rows come first
    promote_versions(team, 2, service)
    strict = team.service(gates={"minimum": {**minimum(), "value": 0.9999}})
    run_gates(team.version(4), strict, team.keys["anna"])
    assert states(overview("digits", service)) == {1: "former champion", 2: "champion", 3: "rejected", 4: "refused"}
    rollback("digits", service, team.keys["bert"], "slow")
    # Verdicts against another champion no longer count.
    assert states(overview("digits", service)) == {1: "champion", 2: "former champion", 3: "rejected", 4: "candidate"}


def minimum() -> dict[str, Any]:
    from team_project import MINIMUM

    return dict(MINIMUM)


@pytest.mark.parametrize("file", ["plan.json", "provenance.json"])
def test_a_version_whose_papers_were_changed_is_not_ranked(team: TeamProject, file: str):
    run = MlflowClient(team.uri, team.uri).get_run(team.version(3).run_id)
    artifact = Path(run.info.artifact_uri.removeprefix("file://")) / file
    artifact.write_bytes(artifact.read_bytes().replace(b'"seed": 1', b'"seed": 7').replace(b'"rows"', b'"rows" ', 1))
    found = overview("digits", team.service())
    [other] = found.others
    assert (other.version, other.state, other.value) == (3, "not trusted", None)
    assert file in other.problem
    assert "not comparable with any:" in found.lines
    assert all(3 not in rank.versions for table in leaderboard("digits", team.service()).tables for rank in table.ranks)
    with pytest.raises(Refused, match=file):
        model_card(team.version(3), team.service(), ".md")


@pytest.mark.parametrize("file", ["metrics.json", "slices.json"])
def test_a_card_shows_no_figure_that_was_not_signed(team: TeamProject, file: str):
    run = MlflowClient(team.uri, team.uri).get_run(team.version(1).run_id)
    measured = Path(run.info.artifact_uri.removeprefix("file://")) / "evaluation" / file
    measured.write_bytes(measured.read_bytes() + b" ")
    with pytest.raises(Refused, match=rf"{file} of models:/digits/1 was changed: it has sha256 .* was signed by"):
        model_card(team.version(1), team.service(), ".md")


def test_a_model_that_is_not_there_is_reported(team: TeamProject):
    with pytest.raises(ConfigurationError, match=r"no registered model 'digit' .*did you mean 'digits'"):
        overview("digit", team.service())


class _Reader(HTMLParser):
    """Collects tags and addresses; unclosed tags stay on the pile."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pile: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "line", "circle", "br", "img"):
            self.pile.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.pile.pop() == tag


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    assert reader.pile == []
    assert "script" not in reader.tags
    assert reader.addresses == []  # nothing is fetched
    assert not re.search(r"url\(|@import", html)
    return reader


def test_the_card_tells_all_and_escapes_what_people_wrote(team: TeamProject):
    service = team.service()
    promote_versions(team, 4, service)
    html, markdown = (model_card(team.version(4), service, suffix) for suffix in (".html", ".md"))
    _read(html)
    assert "&lt;script&gt;alert" in html
    shown = version_details(team.version(4), service)
    for digest in shown.digests.values():
        assert digest in html
        assert digest in markdown
    for phrase in ("headframe reproduce digits/4", "Policy team", "bert", "promoted", "Intended use", "CC BY 4.0",
                  "Lineage", "minimum", "champion", "No slices were measured"):  # fmt: skip
        assert phrase in html
        assert phrase in markdown
    accuracy = shown.metrics["accuracy"]
    assert f"{accuracy.value:.4f}" in html
    assert f"{accuracy.low:.4f} to {accuracy.high:.4f}" in html
    assert [each.what for each in shown.events] == ["passed its gates", "approved", "promoted"]
    assert (shown.about.state, shown.approvals[0].by, shown.approvals[0].reason) == ("champion", "bert", EVIL)
    assert any(line.startswith("gate       ok  minimum: ") for line in shown.lines)
    assert model_card(team.version(4), service, ".html") == html
    assert model_card(team.version(4), service, ".md") == markdown


def test_settings_of_training_set_no_versions_apart_and_those_of_measuring_do(team: TeamProject):
    service = team.service()
    record = read_version(*get_version(team.version(1), service.uri), service)

    def grouped(**settings: Any) -> Any:
        task = record.plan.task.model_copy(update=settings)
        return _group_of(replace(record, plan=record.plan.model_copy(update={"task": task})), team.root / "src")

    assert grouped(class_weights="balanced") == grouped() == _group_of(record, team.root / "src")
    assert grouped(positive=3) != grouped()


def test_the_card_names_the_slices_that_only_a_gate_looked_at(team: TeamProject):
    slices = {"_target_": "headframe.gates.slices.Slices", "resamples": 200}
    service = team.service(needed=0, gates={"minimum": MINIMUM, "slices": slices})
    gated = run_gates(team.version(4), service, team.keys["anna"])
    found = next(each.reason for each in gated.report.results if each.gate == "slices")
    text = model_card(team.version(4), service, ".md")
    assert f"The evaluation measured no slices; the slices gate found: {found}. Name columns" in text
    assert "No slices were measured" not in text


def test_settings_that_only_some_kinds_have_are_shown_with_those(repository: Project):
    chosen = {1: ["model=mlp", "model.hidden=[8]"], 2: ["model=mlp", "model.hidden=[9]"], 3: ["model=cnn"]}
    known = {
        number: VersionRecord(None, "", None, load_plan(["dataset=digits", *given], repository).version, None)  # type: ignore[arg-type]
        for number, given in chosen.items()
    }
    listed = [
        VersionSummary(
            version=number, state="candidate", registered="", configuration=str(number), kind=given[0],
            value=Interval(value=number / 4, low=None, high=None),
        )
        for number, given in chosen.items()
    ]  # fmt: skip
    group = ComparableVersions(
        dataset="digits",
        table="t",
        split="s",
        rows=1,
        primary_metric="accuracy",
        higher_is_better=True,
        versions=listed,
    )
    ranks = _ranks(group, known, None, [])
    assert [rank.versions for rank in ranks] == [(3,), (2,), (1,)]
    settings = [rank.settings for rank in ranks]
    assert "model.widths" in settings[0]
    assert [each.get("model.hidden") for each in settings] == [None, "[9]", "[8]"]
    assert not any("model._target_" in each for each in settings), "the kind says so"


def test_the_leaderboard_puts_seeds_together_and_never_compares_other_rows(team: TeamProject):
    service = team.service(gates={"minimum": minimum(), "better": {"_target_": "headframe.gates.better.Better"}})
    promote_versions(team, 1, service)
    run_gates(team.version(3), service, team.keys["anna"])
    board = leaderboard("digits", service)
    assert [sorted(v for rank in table.ranks for v in rank.versions) for table in board.tables] == [[1, 2, 3], [4]]
    by_versions = {rank.versions: rank for rank in board.tables[0].ranks}
    assert by_versions.keys() == {(1, 2), (3,)}
    both, single = by_versions[1, 2], by_versions[3,]
    values = [version_details(team.version(number), service).metrics["accuracy"].value for number in (1, 2)]
    assert (both.seeds, both.values, both.bar, both.champion) == ((1, 2), tuple(values), "seeds", True)
    assert both.mean.value == pytest.approx(sum(values) / 2)
    assert both.mean.high is not None
    assert both.mean.high - both.mean.value == pytest.approx(
        abs(values[0] - values[1]) / 2**0.5
    )  # of two: their distance by √2
    interval = version_details(team.version(3), service).metrics["accuracy"]
    assert (single.bar, single.mean) == ("test rows", interval)
    assert single.settings == {"optimizer.lr": "0.02"}
    assert both.settings == {"optimizer.lr": "0.01"}
    assert re.match("(better|not better|worse|not enough rows): accuracy", single.against[3])
    means = [rank.mean.value for rank in board.tables[0].ranks]
    assert means == sorted(means, reverse=True)
    html = board.page(".html")
    reader = _read(html)
    assert reader.tags.count("figure") == 2
    assert "Measured on other rows: not comparable with the above" in html
    assert "±1 standard deviation over 2 seeds" in html
    assert "Not compared with it by any gate: 2." in html
    first = board.tables[0]
    alone = first.group.model_copy(update={"versions": [each for each in first.group.versions if each.version == 1]})
    table = first.model_copy(update={"group": alone, "ranks": (both.model_copy(update={"versions": (1,)}),)})
    for tables, expected in ((board.tables, True), ((table,), False)):
        page = board.model_copy(update={"tables": tables}).page(".html")
        assert ("Compared with the champion" in page) == expected
    assert "dashed: the champion&#39;s configuration" in html
    assert json.loads(board.model_dump_json())["champion"] == 1


def test_the_command_line_lists_shows_and_writes_pages(
    team: TeamProject, repository: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in ("conf", "flows"):
        shutil.copytree(repository.root / name, team.root / name, ignore=shutil.ignore_patterns("__pycache__"))
    people = team.config.model_dump_json()
    (team.root / "conf" / "team" / "ours.yaml").write_text(people, encoding="utf-8")
    monkeypatch.chdir(team.root)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["models", *arguments, "team=ours"])
        return code, capsys.readouterr().out

    code, out = run("list")
    assert (code, out.splitlines()[0], out.count("candidate")) == (0, "digits: there is no champion", 4)
    assert run("list", "digits") == (0, out)
    assert [each["model"] for each in json.loads(run("list", "--json")[1])] == ["digits"]
    assert run("show", "digits/3")[1].startswith("digits version 3: candidate\n")
    assert json.loads(run("show", "digits/3", "--json")[1])["about"]["author"] == "anna"
    assert run("card", "digits/4")[1].startswith("# Model card: digits version 4\n")
    assert run("card", "digits/4", "--to", "card.html") == (0, f"written to {team.root / 'card.html'}\n")
    _read((team.root / "card.html").read_text(encoding="utf-8"))
    assert json.loads(run("leaderboard", "digits", "--to", "board.md", "--json")[1])["file"].endswith("board.md")
    assert (team.root / "board.md").read_text(encoding="utf-8").startswith("# Leaderboard: digits\n")
    assert "2 seeds" in run("leaderboard", "digits")[1]
    for wrong in (("card", "digits/4", "--to", "card.pdf"), ("card", "digits/9"), ("list", "digit"), ("show", "digits"),
                  ("card", "digits/4", "--to", "nowhere/card.html"), ("leaderboard", "digits/1")):  # fmt: skip
        assert run(*wrong)[0] == 2, wrong
    weights = next((team.root / ".headframe" / "artifacts").rglob("weights.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert sorted(run("card", f"digits/{number}")[0] for number in range(1, 5)) == [0, 0, 0, 4]


def test_columns_of_a_version_stay_apart_whatever_they_hold() -> None:
    summary = VersionSummary(
        version=12,
        state="champion",
        registered="2026-11-28T18:00:00Z",
        author="a-very-long-name",
        kind="Mean of cnn (ConvNet), lstm (RecurrentNet)",
        seed=18,
        value=Interval(value=12345.6789, low=12345.6788, high=12345.6790),
    )
    words = ("12", "champion", "12345.6790]", "Mean", "18", "a-very-long-name", "2026-11-28")
    assert [word for word in str(summary).split() if word in words] == list(words)
