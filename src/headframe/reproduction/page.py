"""A reproduction, printed on a terminal or as a page."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from headframe.pages import parts, render
from headframe.reproduction.report import Reproduction

SHORT = 12  # digits of a digest
COLOURS = {"bitwise": "green", "within tolerance": "yellow", "different": "red"}
FEW = 5  # unused libraries that are listed, before the rest is only counted


def show_reproduction(found: Reproduction) -> None:
    """Print each stage, what differs in the environment, and the verdict."""
    console = Console(highlight=False)
    reasons = ["what differs"] if any(each.reason or not each.equal for each in found.stages) else []
    heading = f"{found.model} version {found.version}, reproduced"
    table = Table("stage", "recorded", "reproduced", "equal", *reasons, title=heading)
    for each in found.stages:
        mark = "-" if each.equal is None else "[green]yes[/]" if each.equal else "[red]no[/]"
        reproduced = each.reproduced[:SHORT] if each.reproduced else "not reached"
        listed = each.stage == "code" and found.modules  # by name, below the table
        reason = f"{len(found.modules)} of its modules" if listed else each.reason
        table.add_row(each.stage, each.recorded[:SHORT], reproduced, mark, *([reason] if reasons else []))
    console.print(table)
    if not all(each.reproduced == each.recorded for each in found.metrics.values()):
        metrics = Table("metric", "recorded", "reproduced", "tolerance", "within")
        for name, one in found.metrics.items():
            within = "[green]yes[/]" if one.within else "[red]no[/]"
            metrics.add_row(name, f"{one.recorded:.6g}", f"{one.reproduced:.6g}", f"±{one.tolerance:.2g}", within)
        console.print(metrics)
    for module in found.modules:
        console.print(f"code       {module.name} is not as recorded", soft_wrap=True, markup=False)
    used = [each for each in found.environment if each.used]
    others = [each for each in found.environment if not each.used]
    for change in (*used, *others[:FEW]):
        name = f"{change.name}{'' if change.used else ' (not used)'}"
        changed = f"{name}: {change.recorded} recorded, {change.current} now"
        console.print(f"differs    {changed}", soft_wrap=True, markup=False)
    if others[FEW:]:
        console.print(f"differs    and {len(others) - FEW} more libraries that are not used")
    if found.data:
        console.print(f"data       {found.data}")
    console.print(f"seconds    {', '.join(f'{name} {value:.1f}' for name, value in found.seconds.items())}")
    if found.entry:
        console.print(f"ledger     entry {found.entry[:SHORT]}")
    console.print(f"verdict    [bold {COLOURS[found.verdict]}]{found.verdict}[/]", end=": ")
    console.print(found.reason, soft_wrap=True, markup=False)


def render_reproduction(found: Reproduction, suffix: str) -> str:
    """Return the page: HTML where `suffix` is `.html`, else Markdown."""
    equal = {None: "not reached", True: "✓", False: "✗"}
    changes = [(f"module {each.name}", each.recorded, each.current) for each in found.modules]
    changes += [
        (f"{each.name}{'' if each.used else ' (not used)'}", each.recorded, each.current) for each in found.environment
    ]
    run = {
        "Data": found.data,
        "Seconds": ", ".join(f"{name} {value:.1f}" for name, value in found.seconds.items()),
        "Ledger entry": found.entry,
    }
    return render.render_page(
        "reproduction",
        suffix,
        kind="Reproduction",
        title=f"{found.model} version {found.version}",
        badge=(found.verdict, "bad" if found.verdict == "different" else "good"),
        summary=f"{found.reason}.",
        stages=parts.PageTable(
            ["stage", "equal", "recorded", "reproduced", "what differs"],
            [
                [each.stage, equal[each.equal], each.recorded, each.reproduced or "", each.reason]
                for each in found.stages
            ],
        ),
        metrics=parts.PageTable(
            ["metric", "#recorded", "#reproduced", "#tolerance", "within"],
            [
                [
                    name,
                    f"{one.recorded:.6g}",
                    f"{one.reproduced:.6g}",
                    f"±{one.tolerance:.2g}",
                    "✓" if one.within else "✗",
                ]
                for name, one in found.metrics.items()
            ],
        ),
        changes=parts.PageTable(["name", "recorded", "now"], changes),
        run={name: text for name, text in run.items() if text},
    )
