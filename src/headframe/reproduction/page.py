"""A reproduction, printed on a terminal or as a page."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headframe.pages import parts, render
from headframe.reproduction.report import Difference, Reproduction

SHORT = 12  # digits of a digest
COLOURS = {"bitwise": "green", "within tolerance": "yellow", "different": "red", "yes": "green", "no": "red"}
FEW = 5  # unused libraries that are listed, before the rest is only counted
STAGES = ("stage", "recorded", "reproduced", "equal", "what differs")
METRICS = ("metric", "recorded", "reproduced", "tolerance", "within")


def show_reproduction(found: Reproduction) -> None:
    """Print each stage, what differs in the environment, and the verdict."""
    console = Console(highlight=False)
    rows = _stage_rows(found, SHORT)
    width = len(STAGES) if any(equal != "yes" or reason for *_, equal, reason in rows) else len(STAGES) - 1
    _print_table(console, STAGES[:width], rows, f"{found.model} version {found.version}, reproduced")
    if not all(each.reproduced == each.recorded for each in found.metrics.values()):
        _print_table(console, METRICS, _metric_rows(found))
    for module in found.modules:
        console.print(f"code       {module.name} is not as recorded", soft_wrap=True, markup=False)
    used = [each for each in found.environment if each.used]
    others = [each for each in found.environment if not each.used]
    for change in (*used, *others[:FEW]):
        changed = f"{_name(change)}: {change.recorded} recorded, {change.current} now"
        console.print(f"differs    {changed}", soft_wrap=True, markup=False)
    if others[FEW:]:
        console.print(f"differs    and {len(others) - FEW} more libraries that are not used")
    if found.data:
        console.print(f"data       {found.data}")
    console.print(f"seconds    {_seconds(found)}")
    if found.entry:
        console.print(f"ledger     entry {found.entry[:SHORT]}")
    console.print(f"verdict    [bold {COLOURS[found.verdict]}]{found.verdict}[/]", end=": ")
    console.print(found.reason, soft_wrap=True, markup=False)


def render_reproduction(found: Reproduction, suffix: str) -> str:
    """Return the page: HTML where `suffix` is `.html`, else Markdown."""
    changes = [(f"module {each.name}", each.recorded, each.current) for each in found.modules]
    changes += [(_name(each), each.recorded, each.current) for each in found.environment]
    run = {"Data": found.data, "Seconds": _seconds(found), "Ledger entry": found.entry}
    return render.render_page(
        "reproduction",
        suffix,
        kind="Reproduction",
        title=f"{found.model} version {found.version}",
        badge=(found.verdict, "bad" if found.verdict == "different" else "good"),
        summary=f"{found.reason}.",
        stages=parts.PageTable(STAGES, _stage_rows(found)),
        metrics=parts.PageTable(
            [f"#{name}" if name in METRICS[1:4] else name for name in METRICS], _metric_rows(found)
        ),
        changes=parts.PageTable(["name", "recorded", "now"], changes),
        run={name: text for name, text in run.items() if text},
    )


def _stage_rows(found: Reproduction, digits: int | None = None) -> list[list[str]]:
    rows = []
    for each in found.stages:
        equal = {None: "-", True: "yes", False: "no"}[each.equal]
        listed = each.stage == "code" and found.modules  # by name, below the table
        reason = f"{len(found.modules)} of its modules" if listed else each.reason
        reproduced = each.reproduced[:digits] if each.reproduced else "not reached"
        rows.append([each.stage, each.recorded[:digits], reproduced, equal, reason])
    return rows


def _metric_rows(found: Reproduction) -> list[list[str]]:
    return [
        [name, f"{one.recorded:.6g}", f"{one.reproduced:.6g}", f"±{one.tolerance:.2g}", "yes" if one.within else "no"]
        for name, one in found.metrics.items()
    ]


def _print_table(console: Console, columns: tuple[str, ...], rows: list[list[str]], title: str | None = None) -> None:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in row[: len(columns)]))
    console.print(table)


def _name(change: Difference) -> str:
    return f"{change.name}{'' if change.used else ' (not used)'}"


def _seconds(found: Reproduction) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in found.seconds.items())
