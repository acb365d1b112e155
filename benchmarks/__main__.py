"""`python -m benchmarks`: measure every promise and print one table; fails when one is broken."""

import importlib
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.promise import Promise


def main(names: list[str]) -> int:
    """Measure the named benchmarks, or all of them."""
    here = Path(__file__).parent
    found = sorted(path.stem for path in here.glob("*.py") if path.stem not in {"__init__", "__main__", "promise"})
    table = Table("what", "measured", "against", "promise", "")
    broken = 0
    console = Console(width=130)
    for name in names or found:
        console.print(f"measuring {name} ...", style="dim")
        rows: list[Promise] = importlib.import_module(f"benchmarks.{name}").measure()
        for row in rows:
            broken += not row.kept
            table.add_row(row.what, row.figure, row.against, row.promise, "kept" if row.kept else "BROKEN")
    console.print(table)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
