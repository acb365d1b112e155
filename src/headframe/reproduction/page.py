"""A reproduction as a person wants to see it on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from headframe.reproduction.outcome import Reproduction

SHORT = 12  # digits of a digest
COLOURS = {"bitwise": "green", "within tolerance": "yellow", "different": "red"}
FEW = 5  # libraries that decide nothing, before the rest is only counted


def show_reproduction(found: Reproduction) -> None:
    """Print stage by stage what came out, what is different around it, and the verdict."""
    console = Console(highlight=False)
    told = ["what differs"] if any(each.why or not each.equal for each in found.stages) else []
    heading = f"{found.model} version {found.version}, made again"
    table = Table("stage", "recorded", "found", "equal", *told, title=heading)
    for each in found.stages:
        mark = "-" if each.equal is None else "[green]yes[/]" if each.equal else "[red]no[/]"
        came = each.found[:SHORT] if each.found else "not made"
        listed = each.stage == "code" and found.modules  # by name, below the table
        why = f"{len(found.modules)} of its modules" if listed else each.why
        table.add_row(each.stage, each.recorded[:SHORT], came, mark, *([why] if told else []))
    console.print(table)
    if not all(each.found == each.recorded for each in found.metrics.values()):
        metrics = Table("metric", "recorded", "found", "allowed", "within")
        for name, one in found.metrics.items():
            within = "[green]yes[/]" if one.within else "[red]no[/]"
            metrics.add_row(name, f"{one.recorded:.6g}", f"{one.found:.6g}", f"±{one.allowed:.2g}", within)
        console.print(metrics)
    for module in found.modules:
        console.print(f"code       {module.name} is not as it was", soft_wrap=True, markup=False)
    deciding = [each for each in found.environment if each.decides]
    others = [each for each in found.environment if not each.decides]
    for change in (*deciding, *others[:FEW]):
        use = "" if change.decides else " (not used)"
        changed = f"{change.name}{use}: {change.recorded} then, {change.found} now"
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
