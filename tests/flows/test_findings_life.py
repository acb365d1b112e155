"""Rules of a team from raw baskets to a champion that recommends: gated, approved, replaced, compared, rolled back."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import ForkedRuns, forking_project

from headframe.config.project import Project
from headframe.signing.keys import create_key

DATASET = """
# Baskets of a made-up shop.
name: shop
title: Shop
licence: CC0
citation: made up
sources:
  rows: {uri: "file:baskets.csv"}
reader: {_target_: headframe.datasets.readers.baskets.Baskets, held_out: held_out, number: number}
inputs: [items]
target: held_out
tasks: [association]
repeats: true
split: {_target_: headframe.datasets.splits.HashSplitter, validation: 0.3, test: 0.3}
contract:
  columns:
    number: {dtype: int, min: 1}
    items: {dtype: list}
    held_out: {dtype: string}
"""
EXPERIMENT = """
# @package _global_
# Rules of the made-up shop.
defaults:
  - override /dataset: shop
  - override /features: baskets
  - override /task: association
  - override /model: association_rules
name: shop_rules
evaluation: {resamples: 100}
"""
PLAN = "experiment=shop_rules"
TEAM = """
# Anna trains, Ben approves.
people:
  anna: {key: %s, roles: [author]}
  ben: {key: %s, roles: [approver]}
"""
GATE = """
promotion:
  gates:
    findings: {_target_: headframe.gates.findings.ConfirmedFindings, fewest: 1, share: 0.05, loss: 0.1}
"""
PAIRS = {"牛奶": "面包", "ale": "crisps", "brush": "paint", "cot": "duvet", "dog food": "leash", "egg": "bacon"}

SHARES = (0.45, 0.45, 0.45, 0.25, 0.25, 0.25)
"""Share of the baskets with each left item."""


def baskets(count: int) -> str:
    """Draw baskets in which each left item brings its right one four times of five; all else is independent."""
    draw, lines = np.random.default_rng(4), []
    for _ in range(count):
        lefts = [left for left, share in zip(PAIRS, SHARES, strict=True) if draw.random() < share]
        rights = [PAIRS[left] for left in lefts if draw.random() < 0.8]
        further = [f"filler {number}" for number in range(6) if draw.random() < 0.35]
        lines.append(",".join([*lefts, *rights, *further] or ["bag"]))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Shop:
    """A team whose champion knew the rules of high support, until one of more baskets that knows all replaced it."""

    project: Project
    runs: ForkedRuns
    keys: str

    def run(self, who: str, *arguments: str, code: int = 0) -> Any:
        """Run a command of a person with `--json`; return its document."""
        return self.runs.headframe(self.project, *arguments, code=code, HEADFRAME_SIGNER=who, HEADFRAME_KEYS=self.keys)[
            0
        ]

    def promote(self, number: int, *model: str) -> dict[str, Any]:
        """Take a version from raw baskets to champion; return what Ben's gates found, by gate."""
        trained = self.run("anna", "train", PLAN, *model)
        assert trained["registered"]["version"] == number
        name = f"shop/{number}"
        report = self.run("ben", "models", "gate", name, PLAN)
        self.run("anna", "models", "approve", name, PLAN, "--reason", "my own", code=4)
        self.run("ben", "models", "approve", name, PLAN, "--reason", "the rules make sense")
        self.run("anna", "models", "promote", name, PLAN, "--reason", "recommends better")
        return {each["gate"]: each for each in report["report"]["results"]}

    def findings(self, number: int) -> Path:
        """The registered findings of a version."""
        files = (self.project.root / ".headframe" / "artifacts").glob("*/artifacts/evaluation/findings.parquet")
        return sorted(files, key=lambda file: file.stat().st_mtime)[number - 1]


@pytest.fixture(scope="module")
def shop(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_KEYS", str(folder / "keys"))
        public = tuple(create_key(name).public for name in ("anna", "ben"))
    project = forking_project(folder / "project")
    (project.conf / "dataset" / "shop.yaml").write_text(DATASET)
    (project.conf / "experiment" / "shop_rules.yaml").write_text(EXPERIMENT + GATE)
    (project.conf / "team" / "ours.yaml").write_text(TEAM % public)
    plan = project.conf / "plan.yaml"
    plan.write_text(plan.read_text().replace("team: alone", "team: ours").replace("promotion: solo", "promotion: team"))
    made = Shop(project, forked_runs, str(folder / "keys"))
    (project.root / "baskets.csv").write_text(baskets(800), encoding="utf-8")
    made.promote(1, "model.min_support=0.3", "model.min_confidence=0.7")
    (project.root / "baskets.csv").write_text(baskets(900), encoding="utf-8")  # the same, and a hundred more
    return made, made.promote(2, "model.min_support=0.02")


def rules_of(file: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(file).to_pylist()
    return {f"{'+'.join(row['body']['antecedent'])}>{row['body']['consequent']}": row for row in rows}


Life = tuple[Shop, dict[str, Any]]


def test_what_was_built_in_is_found_and_confirmed(shop: Life) -> None:
    made, _ = shop
    rules = rules_of(made.findings(2))
    for left, right in PAIRS.items():
        assert rules[f"{left}>{right}"]["confirmed"]
        assert rules[f"{left}>{right}"]["test"]["confidence"]["value"] == pytest.approx(0.8, abs=0.12)
    for name in (name for name, row in rules.items() if row["confirmed"]):
        assert any({*pair} <= {*name.replace(">", "+").split("+")} for pair in PAIRS.items()), name
    report = made.findings(2).with_name("report.html").read_text(encoding="utf-8")
    assert "test rows confirmed" in report
    assert "牛奶 -&gt; 面包" in report or "牛奶 -> 面包" in report
    assert (made.findings(2).parent / "plots" / "rules.png").is_file()


def test_a_basket_in_a_file_gets_what_goes_with_it(shop: Life) -> None:
    made, _ = shop
    given = [{"items": ["牛奶"]}, {"items": ["paint", "ale", "never sold"]}, {"items": []}]
    (made.project.root / "asked.jsonl").write_text("".join(json.dumps(basket) + "\n" for basket in given))
    document = made.run("anna", "predict", "shop", "asked.jsonl", "answers.parquet", PLAN)
    assert (document["version"], document["rows"]) == (2, 3)
    answers = pq.read_table(made.project.root / "answers.parquet")["items"].to_pylist()
    assert answers[0][0]["item"] == "面包"
    assert {each["item"] for each in answers[1][:2]} == {"brush", "crisps"}
    assert not {"paint", "ale"} & {each["item"] for each in answers[1]}
    assert len(answers[2]) == 10


def test_the_gate_measures_the_findings_of_both_on_the_same_rows(shop: Life) -> None:
    made, gates = shop
    rules, numbers = rules_of(made.findings(2)), gates["findings"]["numbers"]
    assert gates["findings"]["passed"]
    assert numbers["findings"] == len(rules)
    assert numbers["confirmed"] == sum(row["confirmed"] for row in rules.values())
    assert numbers["champion_findings"] == len(rules_of(made.findings(1)))
    assert numbers["champion_confirmed"] > 0
    # The table of the version has more baskets than the champion's, of which it may have seen some.
    assert (numbers["champion_may_have_seen_rows"], numbers["lacking"]) == ("yes", 0)


@pytest.mark.parametrize(
    ("setting", "verdict"), [("loss=0.1", "worse"), ("loss=0.999", "confirmed"), ("fewest=1000", "not confirmed")]
)
def test_the_gate_refuses_what_lacks_confirmed_findings(shop: Life, setting: str, verdict: str) -> None:
    made, _ = shop
    only = [f"~promotion.gates.{name}" for name in ("validation", "better")]  # these refuse it, too
    command = ("models", "gate", "shop/1", PLAN, *only, f"promotion.gates.findings.{setting}")
    came, document, stderr = made.runs.run(made.project, *command, HEADFRAME_SIGNER="ben", HEADFRAME_KEYS=made.keys)
    assert came in {0, 4}, stderr
    [judged] = [each for each in document["report"]["results"] if each["gate"] == "findings"]
    assert (judged["verdict"], judged["passed"]) == (verdict, verdict == "confirmed"), judged["reason"]
    assert verdict == "not confirmed" or judged["numbers"]["lacking"] > 0


def test_findings_of_versions_are_listed_and_compared(shop: Life) -> None:
    made, _ = shop
    mine, theirs = (rules_of(made.findings(number)) for number in (2, 1))
    listed = made.run("anna", "models", "findings", "shop/2", PLAN)
    assert {row["id"] for row in listed["findings"]} == {row["id"] for row in mine.values()}
    assert listed["findings"][0]["confirmed"]
    compared = made.run("anna", "models", "findings", "shop/2", PLAN, "--against", "1")
    added = {mine[name]["id"] for name in mine.keys() - theirs.keys()}
    assert {row["id"] for row in compared["changes"]["added"]} == added
    assert len(compared["changes"]["removed"]) == len(theirs.keys() - mine.keys())
    card = made.run("anna", "models", "card", "shop/2", PLAN)["markdown"]
    assert "test rows confirmed" in card
    code, printed, _ = made.runs.printed(made.project, "models", "findings", "shop/2", PLAN, "--against", "1")
    assert code == 0
    assert "added since version 1" in printed
    code, _, stderr = made.runs.printed(made.project, "models", "findings", "shop/2", PLAN, "--against", "one")
    assert code == 2
    assert "--against one was given; expected the number of a version" in stderr


def test_changed_findings_are_refused(shop: Life) -> None:
    made, _ = shop
    file = made.findings(2)
    before, times = file.read_bytes(), (file.stat().st_atime, file.stat().st_mtime)
    pq.write_table(pq.read_table(file).slice(1), file)
    code, _, stderr = made.runs.printed(made.project, "models", "findings", "shop/2", PLAN)
    file.write_bytes(before)
    os.utime(file, times)
    assert code == 4
    assert "findings.parquet" in stderr


def test_a_rollback_serves_the_former_rules_again(shop: Life) -> None:
    made, _ = shop
    made.run("ben", "models", "rollback", "shop", PLAN, "--reason", "a test")
    (made.project.root / "asked.jsonl").write_text('{"items": ["ale"]}\n')
    document = made.run("anna", "predict", "shop", "asked.jsonl", "former.parquet", PLAN)
    assert document["version"] == 1
    assert pq.read_table(made.project.root / "former.parquet")["items"].to_pylist()[0][0]["item"] == "crisps"
    assert made.run("anna", "models", "verify", "shop", PLAN, "--recompute")["problems"] == []
