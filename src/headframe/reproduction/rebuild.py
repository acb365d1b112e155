"""`python -m headframe.reproduction.rebuild PLAN.json PROVENANCE.json OUT_DIR`: rebuild a version in this process.

It runs with the recorded code first on its path, and calls the functions of the steps themselves: what is rebuilt is
a plan as it was stored, which no composition may change. It writes `OUT_DIR/rebuilt.json`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headframe.code_dependencies import device_of
from headframe.config.members import with_member
from headframe.config.plan.component import Component
from headframe.config.plan.plan import VersionPlan
from headframe.config.project import Project
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError, Refused
from headframe.places import Places
from headframe.prediction.layout import BUNDLE
from headframe.processes import exit_code
from headframe.records import Provenance, TableRecord
from headframe.reproduction.report import RebuiltVersion

REBUILT = "rebuilt.json"
LAUNCHER = Component.model_validate({"_target_": "headframe.training.launchers.local.Local"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0, or that of the exception that ended it."""
    given = _parser().parse_args(arguments)
    return exit_code(lambda: rebuild(given.plan, given.provenance, given.folder, given.root), given.parent_socket)


def rebuild(plan_file: Path, provenance_file: Path, folder: Path, root: Path) -> None:
    """Collect the data unless they are there, split, fit and evaluate.

    Args:
        plan_file: the stored plan.
        provenance_file: data, code and results that the version was registered with.
        folder: for the model and `rebuilt.json`; below `root`.
        root: the checkout's project.

    Raises:
        Refused: the data cannot be fetched.
        HeadframeError: or one of its kinds: what a step failed with.
    """
    from headframe.tracking.lineage import plan_dependencies  # noqa: PLC0415 - imports psutil

    sys.path[:0] = [str(path) for path in (root / "src", root) if str(path) not in sys.path]
    recorded = Provenance.model_validate_json(provenance_file.read_bytes())
    trusted = {"trusted": Project(root).packages}
    plan = VersionPlan.model_validate_json(plan_file.read_bytes(), context=trusted)
    code = plan_dependencies(plan, root)
    rebuilt = RebuiltVersion(
        modules=code.code, libraries=code.libraries, machine=code.machine, device=device_of(plan.learner)
    )
    different = _different_modules(recorded.lineage.modules, code.code, root)
    if different:
        reason = f"{', '.join(different[:3])} in the recorded code is not what the version was trained with"
        rebuilt = rebuilt.model_copy(update={"stopped": "code", "reason": reason})
    else:
        seconds: dict[str, float] = {}
        result = _run_steps(plan, recorded, folder, root, seconds)
        rebuilt = rebuilt.model_copy(update={**result, "seconds": seconds})
    write_record(folder / REBUILT, rebuilt)


def _different_modules(recorded: dict[str, str], current: dict[str, str], root: Path) -> list[str]:
    """List modules that the checkout should contain and that differ; installed modules of Headframe may differ."""
    holds_headframe = (root / "src" / "headframe").is_dir()
    return sorted(
        name
        for name in recorded.keys() | current.keys()
        if recorded.get(name) != current.get(name) and (holds_headframe or name.partition(".")[0] != "headframe")
    )


def _run_steps(
    plan: VersionPlan, recorded: Provenance, folder: Path, root: Path, seconds: dict[str, float]
) -> dict[str, Any]:
    """Run the steps, and return fields of `RebuiltVersion`."""
    from headframe.datasets.splits import split  # noqa: PLC0415 - pyarrow is not needed where code differs
    from headframe.evaluation.step import evaluate  # noqa: PLC0415
    from headframe.tracking.lineage import encoder_digests  # noqa: PLC0415
    from headframe.training.fit import fit  # noqa: PLC0415

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            seconds[name] = round(time.monotonic() - started, 2)

    def places(name: str) -> Places:
        (folder / name).mkdir()
        return Places.of(root, launcher=LAUNCHER).of_step(folder / name)

    expected = recorded.data.split.table.digest
    with timed("data"):
        try:
            table = _table(plan, expected, root)
        except DataError as error:
            return {"stopped": "data", "reason": str(error)}
    if table.digest != expected:
        reason = f"its sources give version {table.digest[:12]} now, {expected[:12]} was trained on"
        return {"stopped": "data", "reason": reason, "table": table.digest}
    with timed("split"):
        parts = split(plan.dataset, table, Places(root))
    job, baseline = plan.training_job(table.digest), None
    if plan.baseline is not None:
        with timed("baseline"):
            learner = with_member(plan.learner, plan.baseline)
            baseline = fit(job.with_learner(learner), device_of(learner), places("baseline"))
    with timed("weights"):
        trained = fit(job, device_of(plan.learner), places("fit"))
    with timed("metrics"):
        evaluated = evaluate(plan, table, trained, baseline, places("evaluate"))
    return {
        "table": table.digest,
        "split": parts.digest,
        "features": encoder_digests(root / trained.folder / BUNDLE),
        "trained": trained,
        "evaluated": evaluated,
    }


def _table(plan: VersionPlan, expected: str, root: Path) -> TableRecord:
    """Open the table that was restored into the checkout, else ingest it."""
    from headframe.datasets.ingest import ingest  # noqa: PLC0415 - see `_run_steps`
    from headframe.datasets.table import METADATA, Table  # noqa: PLC0415

    folder = Project(root).data / plan.dataset.name
    if (folder / METADATA).is_file():
        table = Table.open(folder)
        table.verify()
        return table.record()
    try:
        return ingest(plan.dataset, Places.of(root))
    except DataError:
        raise
    except HeadframeError as error:
        msg = f"version {expected[:12]} of the data cannot be collected: {error}"
        raise Refused(msg) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headframe.reproduction.rebuild",
        description="Rebuild a version from its stored plan; `headframe reproduce` prepares and judges it.",
    )
    add: Any = parser.add_argument
    add("plan", type=Path, metavar="PLAN.json", help="the stored plan")
    add("provenance", type=Path, metavar="PROVENANCE.json", help="the version's provenance")
    add("folder", type=Path, metavar="OUT_DIR", help="where it is written, below the project")
    add("--root", type=Path, metavar="PROJECT", required=True, help="the project's folder in the checkout")
    add("--parent-socket", type=int, help=argparse.SUPPRESS)  # see `headframe.processes`
    return parser


if __name__ == "__main__":
    sys.exit(main())
