"""Rules from raw baskets to a champion that recommends: registered, gated, compared, replaced, and rolled back to."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import ForkedRuns, forking_project

from headframe.config.project import Project

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
promotion: {gates: {findings: {_target_: headframe.gates.findings.ConfirmedFindings}}}
"""
PAIRS = {"牛奶": "面包", "ale": "crisps", "brush": "paint", "cot": "duvet", "dog food": "leash", "egg": "bacon"}

SHARES = (0.45, 0.45, 0.45, 0.25, 0.25, 0.25)
"""Share of the baskets with each left item."""


def write_baskets(path: Path, baskets: int = 900) -> None:
    """Draw baskets in which each left item brings its right one four times of five; all else is independent."""
    draw, lines = np.random.default_rng(4), []
    for _ in range(baskets):
        lefts = [left for left, share in zip(PAIRS, SHARES, strict=True) if draw.random() < share]
        rights = [PAIRS[left] for left in lefts if draw.random() < 0.8]
        further = [f"filler {number}" for number in range(6) if draw.random() < 0.35]
        lines.append(",".join([*lefts, *rights, *further] or ["bag"]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def shop(
    forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dict[str, Any], dict[str, Any]]:
    """A champion that knows the rules of high support only, then one that knows all."""
    project = forking_project(tmp_path_factory.mktemp("shop") / "project")
    (project.conf / "dataset" / "shop.yaml").write_text(DATASET)
    (project.conf / "experiment" / "shop_rules.yaml").write_text(EXPERIMENT)
    write_baskets(project.root / "baskets.csv")
    weak = ("model.min_support=0.3", "model.min_confidence=0.7")
    first, _ = forked_runs.headframe(project, "run", "experiment=shop_rules", *weak)
    second, _ = forked_runs.headframe(project, "run", "experiment=shop_rules", "model.min_support=0.02")
    return project, first, second


def rules_of(file: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(file).to_pylist()
    return {f"{'+'.join(row['body']['antecedent'])}>{row['body']['consequent']}": row for row in rows}


def test_what_was_built_in_is_found_confirmed_and_recommended(
    shop: tuple[Project, dict[str, Any], dict[str, Any]],
) -> None:
    project, first, second = shop
    assert first["decision"]["champion"] == 1
    assert second["decision"]["champion"] == 2, second["decision"]
    folder = project.root / second["result"]["evaluated"]["folder"]
    rules = rules_of(folder / "findings.parquet")
    for left, right in PAIRS.items():
        assert rules[f"{left}>{right}"]["confirmed"]
        assert rules[f"{left}>{right}"]["test"]["confidence"]["value"] == pytest.approx(0.8, abs=0.12)
    wrong = [
        name
        for name, row in rules.items()
        if row["confirmed"]
        and not any({left, right} <= {*name.replace(">", "+").split("+")} for left, right in PAIRS.items())
    ]
    assert not wrong
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "test rows confirmed" in report
    assert "牛奶 -&gt; 面包" in report or "牛奶 -> 面包" in report
    assert (folder / "plots" / "rules.png").is_file()
    response = json.loads(second["smoke_test"]["response"])["predictions"][0]["items"]
    assert len(response) == 10


def test_a_basket_in_a_file_gets_what_goes_with_it(
    forked_runs: ForkedRuns, shop: tuple[Project, dict[str, Any], dict[str, Any]]
) -> None:
    project, _, _ = shop
    baskets = [{"items": ["牛奶"]}, {"items": ["paint", "ale", "never sold"]}, {"items": []}]
    (project.root / "asked.jsonl").write_text("".join(json.dumps(basket) + "\n" for basket in baskets))
    document, _ = forked_runs.headframe(project, "predict", "shop/2", "asked.jsonl", "answers.parquet")
    assert document["rows"] == 3
    answers = pq.read_table(project.root / "answers.parquet")["items"].to_pylist()
    assert answers[0][0]["item"] == "面包"
    assert {each["item"] for each in answers[1][:2]} == {"brush", "crisps"}
    assert not {"paint", "ale"} & {each["item"] for each in answers[1]}
    assert len(answers[2]) == 10


def test_the_gate_measures_both_models_findings_on_the_same_rows(
    shop: tuple[Project, dict[str, Any], dict[str, Any]],
) -> None:
    project, _, second = shop
    files = (project.root / ".headframe" / "artifacts").glob("*/artifacts/gates/*.json")
    [report] = [report for report in (json.loads(file.read_text()) for file in files) if report["version"] == 2]
    [judged] = [each for each in report["results"] if each["gate"] == "findings"]
    rules = rules_of(project.root / second["result"]["evaluated"]["folder"] / "findings.parquet")
    numbers = judged["numbers"]
    assert numbers["findings"] == len(rules)
    assert numbers["confirmed"] == sum(row["confirmed"] for row in rules.values())
    assert numbers["champion_findings"] > 0
    assert (numbers["champion_may_have_seen_rows"], numbers["lacking"]) == ("no", 0)


def test_findings_of_versions_are_listed_and_compared(
    forked_runs: ForkedRuns, shop: tuple[Project, dict[str, Any], dict[str, Any]]
) -> None:
    project, first, second = shop
    mine, theirs = (
        rules_of(project.root / each["result"]["evaluated"]["folder"] / "findings.parquet") for each in (second, first)
    )
    listed, _ = forked_runs.headframe(project, "models", "findings", "shop/2")
    assert {row["id"] for row in listed["findings"]} == {row["id"] for row in mine.values()}
    assert listed["findings"][0]["confirmed"]
    compared, _ = forked_runs.headframe(project, "models", "findings", "shop/2", "--against", "1")
    assert {row["id"] for row in compared["changes"]["added"]} == {
        mine[name]["id"] for name in mine.keys() - theirs.keys()
    }
    assert compared["changes"]["removed"] == [] or theirs.keys() - mine.keys()
    code, printed, _ = forked_runs.printed(project, "models", "findings", "shop/2", "--against", "1")
    assert code == 0
    assert "added since version 1" in printed
    code, _, stderr = forked_runs.printed(project, "models", "findings", "shop/2", "--against", "one")
    assert code == 2
    assert "--against one was given; expected the number of a version" in stderr


def test_a_rollback_serves_the_former_rules_again(
    forked_runs: ForkedRuns, shop: tuple[Project, dict[str, Any], dict[str, Any]]
) -> None:
    project, _, _ = shop
    forked_runs.headframe(project, "models", "rollback", "shop", "--reason", "a test")
    (project.root / "asked.jsonl").write_text('{"items": ["egg"]}\n')
    document, _ = forked_runs.headframe(project, "predict", "shop", "asked.jsonl", "former.parquet")
    assert document["version"] == 1


def test_changed_findings_are_refused(
    forked_runs: ForkedRuns, shop: tuple[Project, dict[str, Any], dict[str, Any]]
) -> None:
    project, _, second = shop
    folder = second["result"]["registered"]["run_id"]
    [file] = (project.root / ".headframe" / "artifacts").glob(f"{folder}/**/evaluation/findings.parquet")
    before = file.read_bytes()
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    code, _, stderr = forked_runs.printed(project, "models", "findings", "shop/2")
    file.write_bytes(before)
    assert code == 4
    assert "findings.parquet" in stderr
