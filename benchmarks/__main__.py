"""`python -m benchmarks`: measure every figure that has a goal and print one table; fails when one is missed."""

import importlib
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Measurement


def main(names: list[str]) -> int:
    """Measure the named benchmarks, or all of them."""
    here = Path(__file__).parent
    found = sorted(path.stem for path in here.glob("*.py") if path.stem not in {"__init__", "__main__", "measurement"})
    table = Table("what", "measured", "against", "goal", "")
    missed, started = 0, time.perf_counter()
    console = Console(width=130)
    for name in names or found:
        console.print(f"measuring {name} ...", style="dim")
        rows: list[Measurement] = importlib.import_module(f"benchmarks.{name}").measure()
        for row in rows:
            missed += not row.met
            cells = (row.what, row.figure, row.against, row.goal, "met" if row.met else "MISSED")
            console.print("  " + "; ".join(cells))  # at once, so that a later fault loses nothing
            table.add_row(*cells)
    table.caption = (
        f"{time.perf_counter() - started:.0f} s on {len(os.sched_getaffinity(0))} cores, "
        f"load average {os.getloadavg()[1]:.1f}; what is no ratio grows with the load of the machine"
    )
    console.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
