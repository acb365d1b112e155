"""`python -m headframe.reproduction.again PLAN.json PROVENANCE.json OUT_DIR`: rebuild a version in this process.

It runs with the recorded code first on its path, and calls the functions of the stages themselves: what is to be
rebuilt is a plan as it was stored, which no composition may change. `OUT_DIR/found.json` says what came of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headframe.code_dependencies import device_of
from headframe.config.plan.plan import Plan, read_plan
from headframe.config.project import Project
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError, Refused
from headframe.processes import exit_code
from headframe.records import Provenance, TableRecord
from headframe.reproduction.outcome import Found

FOUND = "found.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0, or that of the exception that ended it."""
    given = _parser().parse_args(arguments)
    return exit_code(lambda: again(given.plan, given.provenance, given.folder, given.root), given.parent_socket)


def again(plan_file: Path, provenance_file: Path, folder: Path, root: Path) -> None:
    """Collect where it must be, divide, train and measure what a plan asks for.

    Args:
        plan_file: the stored plan.
        provenance_file: what the version rests on.
        folder: for what is made, and `found.json`; below `root`.
        root: the checkout's project.

    Raises:
        Refused: the data cannot be had.
        HeadframeError: or one of its kinds: what a stage ended with.
    """
    from headframe.tracking.provenance import plan_dependencies  # noqa: PLC0415 - imports psutil

    sys.path[:0] = [str(path) for path in (root / "src", root) if str(path) not in sys.path]
    recorded = Provenance.model_validate_json(provenance_file.read_bytes())
    plan = read_plan(plan_file, Project(root).packages)
    reached = plan_dependencies(plan, root)
    found = Found(
        modules=reached.code,
        libraries=reached.libraries,
        machine=reached.machine,
        device=device_of(plan.learner),
    )
    foreign = _exchanged(recorded.lineage.modules, reached.code, root)
    if foreign:
        why = f"{', '.join(foreign[:3])} in the recorded code is not what the version was trained with"
        found = found.model_copy(update={"stopped": "code", "why": why})
    else:
        found = _Making(plan, recorded, folder, root, {}).make(found)
    write_record(folder / FOUND, found)


def _exchanged(recorded: dict[str, str], now: dict[str, str], root: Path) -> list[str]:
    """Name modules that ought to come with the checkout and differ; Headframe's own, where it is installed, may."""
    ours = (root / "src" / "headframe").is_dir()
    return sorted(
        name
        for name in recorded.keys() | now.keys()
        if recorded.get(name) != now.get(name) and (ours or name.partition(".")[0] != "headframe")
    )


class _Making:
    """The stages, one after the other."""

    def __init__(self, plan: Plan, recorded: Provenance, folder: Path, root: Path, seconds: dict[str, float]) -> None:
        self.plan = plan
        self.recorded = recorded
        self.folder = folder
        self.root = root
        self.seconds = seconds

    def make(self, found: Found) -> Found:
        """Do them, and add to what was found."""
        from headframe.datasets.splits import divide  # noqa: PLC0415 - pyarrow is not needed where code differs
        from headframe.evaluation.step import evaluate  # noqa: PLC0415
        from headframe.tracking.provenance import encoder_digests  # noqa: PLC0415
        from headframe.training.run import train, train_baseline  # noqa: PLC0415

        plan, root = self.plan, self.root
        with self._timed("data"):
            try:
                table = self._table()
            except DataError as error:
                return found.model_copy(update={"stopped": "data", "why": str(error), "seconds": self.seconds})
        asked = self.recorded.data.split.table
        if table.digest != asked.digest:
            why = f"its sources give version {table.digest[:12]} now, {asked.digest[:12]} was trained on"
            told = {"stopped": "data", "why": why, "table": table.digest, "seconds": self.seconds}
            return found.model_copy(update=told)
        with self._timed("order"):
            split = divide(plan.dataset, table, root)
        baseline = None
        if plan.baseline is not None:
            with self._timed("baseline"):
                baseline = train_baseline(plan, table, root, self._place("baseline"))
        with self._timed("weights"):
            trained = train(plan, table, root, self._place("train"))
        with self._timed("metrics"):
            evaluated = evaluate(plan, table, trained, baseline, root, self._place("evaluate"))
        return found.model_copy(
            update={
                "table": table.digest,
                "split": split.digest,
                "features": encoder_digests(root / trained.folder / "bundle"),
                "trained": trained,
                "evaluated": evaluated,
                "seconds": self.seconds,
            }
        )

    def _table(self) -> TableRecord:
        """Open the table that was brought here, else collect it."""
        from headframe.datasets.collect import collect  # noqa: PLC0415 - see `make`
        from headframe.datasets.table import ABOUT, Table  # noqa: PLC0415

        place = Project(self.root).data / self.plan.dataset.name
        if (place / ABOUT).is_file():
            table = Table.open(place)
            table.verify()
            return table.record()
        mirror = os.environ.get("HEADFRAME_MIRROR")
        try:
            return collect(self.plan.dataset, self.root, Path(mirror) if mirror else None)
        except DataError:
            raise
        except HeadframeError as error:
            msg = f"version {self.recorded.data.split.table.digest[:12]} of the data cannot be had: {error}"
            raise Refused(msg) from error

    def _place(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - started, 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headframe.reproduction.again",
        description="Rebuild a version from its stored plan; `headframe reproduce` prepares and judges it.",
    )
    add: Any = parser.add_argument
    add("plan", type=Path, metavar="PLAN.json", help="the stored plan")
    add("provenance", type=Path, metavar="PROVENANCE.json", help="what the version rests on")
    add("folder", type=Path, metavar="OUT_DIR", help="where it is made, below the project")
    add("--root", type=Path, metavar="PROJECT", required=True, help="the project's folder in the checkout")
    add("--parent-socket", type=int, help=argparse.SUPPRESS)  # see `headframe.processes`
    return parser


if __name__ == "__main__":
    sys.exit(main())
