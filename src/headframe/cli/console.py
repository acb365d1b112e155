"""Results as a person wants to see them on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headframe.config.project import Project
from headframe.evaluation.layout import CARD, REPORT
from headframe.records import Ingested, Interval, RegisteredPlan, RunResult

if TYPE_CHECKING:
    from headframe.doctor import Check

MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def show_results(results: Sequence[RunResult | RegisteredPlan | Ingested], choices: Sequence[str]) -> None:
    """Print what flows returned, each for its overrides; several results of whole runs end in one table."""
    for result in results:
        if isinstance(result, RegisteredPlan):
            show_trained(result)
        elif isinstance(result, RunResult):
            show_trained(result.result, result)
    runs = [result for result in results if isinstance(result, RunResult)]
    if len(runs) > 1:
        metric = runs[0].result.evaluated.primary_metric
        table = Table("run", "model", "version", metric, "champion", title="all runs")
        for number, (run, choice) in enumerate(zip(runs, choices, strict=False), start=1):  # the last may have failed
            interval, version = run.result.evaluated.metrics[metric], run.result.registered.version
            champion = "yes" if run.decision.champion == version else "no"
            table.add_row(f"{number} {escape(choice)}", run.decision.model, str(version), _interval(interval), champion)
        Console(highlight=False).print(table)


def show_trained(result: RegisteredPlan, run: RunResult | None = None) -> None:
    """Print one result: metrics with intervals, pages, version, the response to a smoke request, what to try next."""
    console = Console(highlight=False)
    evaluated, registered = result.evaluated, result.registered
    others = evaluated.baselines.values()
    columns = ["metric", "test rows", *(each.title for each in others)]
    table = Table(*columns, title=f"{registered.model}: {evaluated.rows:,} test rows")
    for name, interval in evaluated.metrics.items():
        mark = f"[bold]{name}[/]" if name == evaluated.primary_metric else name
        known = [each.metrics.get(name) for each in others]
        table.add_row(mark, _interval(interval), *("" if each is None else f"{each.value:.4f}" for each in known))
    console.print(table)
    for verdict in evaluated.verdicts:
        console.print(f"baselines  {evaluated.primary_metric} is {verdict}", soft_wrap=True, markup=False)
    console.print(f"report     {evaluated.folder}/{REPORT}", soft_wrap=True)
    console.print(f"card       {evaluated.folder}/{CARD}", soft_wrap=True)
    version = f"{registered.model} version {registered.version}, run {registered.run_id}"
    console.print(f"version    {version}", soft_wrap=True)
    if run is None:
        console.print(f"try next   headframe predict {registered.model}/{registered.version} DATASET scored.parquet")
        console.print(f"           headframe models gate {registered.model}/{registered.version}")
        return
    console.print(f"champion   {run.decision.reason}", soft_wrap=True)
    smoke = run.smoke_test
    response = json.dumps(json.loads(smoke.response), ensure_ascii=False)
    shortened = response if len(response) <= 160 else f"{response[:157]}..."  # noqa: PLR2004 - two terminal lines
    console.print(f"response   row {smoke.row_id}: HTTP {smoke.status} {shortened}", soft_wrap=True, markup=False)
    alias = "@champion" if smoke.version == run.decision.champion else f"/{smoke.version}"
    console.print(f"try next   headframe serve {smoke.model}{alias}")
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


def _first_comment(file: Path) -> str:
    """Return the first sentence of a YAML file's first comment, else the title it holds."""
    try:
        text = file.read_text(encoding="utf-8")
        lines = (line for line in text.splitlines() if "@package" not in line)  # a directive of Hydra's
        comment = [*takewhile(lambda line: line.startswith("#"), dropwhile(lambda line: line[:1] != "#", lines))]
        if comment:
            whole = " ".join(line.lstrip("# ").strip() for line in comment)
            return re.split(r"(?<=\.) (?=[A-Z])", whole)[0]
        content: Any = yaml.safe_load(text)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return "cannot be read; fix the file"
    return str(content.get("title", "")) if isinstance(content, dict) else ""
