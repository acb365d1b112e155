"""Results as a person wants to see them on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from headframe.config.project import Project
from headframe.doctor import Check
from headframe.evaluation.layout import CARD, REPORT
from headframe.records import Interval, RunResult, TrainedPlan

MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def show_outcomes(outcomes: Sequence[RunResult], root: Path) -> None:
    """Print what a user wants to see when a life ends; several lives end in one table."""
    console = Console(highlight=False)
    for outcome in outcomes:
        show_trained(outcome.result, root, outcome)
    if len(outcomes) > 1:
        metric = outcomes[0].result.evaluated.primary_metric
        table = Table("run", "model", "version", metric, "champion", title="all runs")
        for number, outcome in enumerate(outcomes, start=1):
            interval = _interval(outcome.result.evaluated.metrics[metric])
            version = outcome.result.registered.version
            champion = "yes" if outcome.decision.champion == version else "no"
            table.add_row(f"{number} {outcome.plan}", outcome.decision.model, str(version), interval, champion)
        console.print(table)


def show_trained(result: TrainedPlan, root: Path, outcome: RunResult | None = None) -> None:
    """Print one result: metrics with intervals, pages, version, answer, what to try next."""
    console = Console(highlight=False)
    evaluated, registered = result.evaluated, result.registered
    columns = ["metric", "test rows", *(["baseline"] if evaluated.baseline else [])]
    table = Table(*columns, title=f"{registered.model}: {evaluated.rows:,} test rows")
    for name, interval in evaluated.metrics.items():
        mark = f"[bold]{name}[/]" if name == evaluated.primary_metric else name
        other = [_interval(evaluated.baseline[name])] if name in evaluated.baseline else []
        table.add_row(mark, _interval(interval), *other)
    console.print(table)
    console.print(f"report     {_link(root / evaluated.folder / REPORT, root)}", soft_wrap=True)
    console.print(f"card       {_link(root / evaluated.folder / CARD, root)}", soft_wrap=True)
    console.print(
        f"version    {registered.model} version {registered.version}, run {registered.run_id}", soft_wrap=True
    )
    if outcome is None:
        console.print(f"try next   headframe predict {registered.model}/{registered.version} DATASET scored.parquet")
        console.print(f"           headframe models gate {registered.model}/{registered.version}")
        return
    console.print(f"champion   {outcome.decision.reason}", soft_wrap=True)
    answered = outcome.smoke_test
    answer = json.dumps(json.loads(answered.response), ensure_ascii=False)
    shortened = answer if len(answer) <= 160 else f"{answer[:157]}..."  # noqa: PLR2004 - two terminal lines
    console.print(f"answer     row {answered.row_id}: HTTP {answered.status} {shortened}", soft_wrap=True, markup=False)
    alias = "@champion" if answered.version == outcome.decision.champion else f"/{answered.version}"
    console.print(f"try next   headframe serve {answered.model}{alias}")
    console.print("           headframe list experiments")


def show_choices(project: Project, groups: Sequence[str]) -> None:
    """Print what `conf/` offers, with the comment that each file opens with."""
    console = Console(highlight=False)
    for group in groups:
        table = Table(group, "what it is", box=None, pad_edge=False, title=None)
        for name in project.choices(group):
            table.add_row(f"  {name}", _first_comment(project.conf / group / f"{name}.yaml"))
        console.print(table)


def show_checks(checks: Sequence[Check]) -> None:
    """Print what the doctor found, worst last."""
    console = Console(highlight=False)
    table = Table("check", "", "found", "what to do", box=None, pad_edge=False)
    for check in checks:
        table.add_row(check.name, MARKS[check.state], check.found, check.fix)
    console.print(table)


def _interval(interval: Interval) -> str:
    return str(interval).replace("[", r"\[")


def _link(path: Path, root: Path) -> str:
    return str(path.relative_to(root))


def _first_comment(file: Path) -> str:
    """Give the first comment of a YAML file that is no Hydra directive, else the title it holds."""
    try:
        text = file.read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith("#") and "@package" not in line:
                return line.lstrip("# ").strip()
        content: Any = yaml.safe_load(text)
    except (UnicodeDecodeError, yaml.YAMLError):
        return "cannot be read; fix the file"
    return str(content.get("title", "")) if isinstance(content, dict) else ""
