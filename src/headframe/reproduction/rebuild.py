"""`python -m headframe.reproduction.rebuild PLAN.json PROVENANCE.json OUT_DIR`: rebuild a version in this process.

It runs with the recorded code first on its path, and calls the functions of the steps themselves: what is rebuilt is
a plan as it was stored, which no composition may change. It writes `OUT_DIR/rebuilt.json`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from headframe.code_dependencies import device_of
from headframe.config.members import with_member
from headframe.config.natural import natural_baselines
from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.trainer import LauncherConfig
from headframe.config.project import Project
from headframe.datasets.ingest import ingest
from headframe.datasets.splits import split
from headframe.datasets.table import METADATA, Table
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError, Refused
from headframe.evaluation.step import evaluate
from headframe.exhaustion import quiet_when_exhausted
from headframe.garbage import collect_rarely
from headframe.library_warnings import shorten_warnings
from headframe.own_source import compile_own_sources
from headframe.places import Places
from headframe.prediction.layout import BUNDLE
from headframe.processes import end, exit_code
from headframe.records import Provenance, TableRecord
from headframe.reproduction.report import REBUILT, RebuiltVersion
from headframe.tracking.lineage import encoder_digests, plan_dependencies
from headframe.training.fit import fit

LAUNCHER = LauncherConfig.model_validate({"_target_": "headframe.training.launchers.local.Local"})

_R = TypeVar("_R")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0, or that of the exception that ended it."""
    parser = argparse.ArgumentParser(
        prog="python -m headframe.reproduction.rebuild",
        description="Rebuild a version from its stored plan; `headframe reproduce` prepares it and compares.",
    )
    parser.add_argument("plan", type=Path, metavar="PLAN.json", help="the stored plan")
    parser.add_argument("provenance", type=Path, metavar="PROVENANCE.json", help="the version's provenance")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="where it is written, below the project")
    parser.add_argument("--root", type=Path, metavar="PROJECT", required=True, help="the project in the checkout")
    parser.add_argument("--parent-socket", type=int, help=argparse.SUPPRESS)  # see `headframe.processes`
    given = parser.parse_args(arguments)
    collect_rarely()
    shorten_warnings()
    quiet_when_exhausted()
    work = partial(rebuild, given.plan, given.provenance, given.folder, given.root)
    return exit_code(work, given.folder, given.parent_socket)


def rebuild(plan_file: Path, provenance_file: Path, folder: Path, root: Path) -> None:
    """Ingest the data unless they are there, split, fit and evaluate.

    Args:
        plan_file: the stored plan.
        provenance_file: data, code and results that the version was registered with.
        folder: for the model and `rebuilt.json`; below `root`.
        root: the checkout's project.

    Raises:
        Refused: the data cannot be fetched.
        HeadframeError: or one of its kinds: what a step failed with.
    """
    compile_own_sources()
    sys.path[:0] = [str(path) for path in (root / "src", root) if str(path) not in sys.path]
    recorded = Provenance.model_validate_json(provenance_file.read_bytes())
    trusted = {"trusted": Project(root).packages}
    plan = VersionPlan.model_validate_json(plan_file.read_bytes(), context=trusted)
    code = plan_dependencies(plan, root)
    different = _different_modules(recorded.lineage.modules, code.code, root)
    if different:
        reason = f"{', '.join(different[:3])} in the recorded code is not what the version was trained with"
        result: dict[str, Any] = {"stopped": "code", "reason": reason}
    else:
        result = _run_steps(plan, recorded.data.split.table.digest, folder, root)
    device = device_of(plan.learner)
    rebuilt = RebuiltVersion(modules=code.code, libraries=code.libraries, machine=code.machine, device=device, **result)
    write_record(folder / REBUILT, rebuilt)


def _different_modules(recorded: dict[str, str], current: dict[str, str], root: Path) -> list[str]:
    """List modules that the checkout should contain and that differ; installed modules of Headframe may differ."""
    holds_headframe = (root / "src" / "headframe").is_dir()
    return sorted(
        name
        for name in recorded.keys() | current.keys()
        if recorded.get(name) != current.get(name) and (holds_headframe or name.partition(".")[0] != "headframe")
    )


def _run_steps(plan: VersionPlan, expected: str, folder: Path, root: Path) -> dict[str, Any]:
    """Run the steps on the table with the expected digest, and return fields of `RebuiltVersion`."""
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[..., _R], *arguments: Any) -> _R:
        started = time.monotonic()
        try:
            return step(*arguments)
        finally:
            seconds[name] = round(time.monotonic() - started, 2)

    def places(name: str) -> Places:
        (folder / name).mkdir()
        return Places.of(root, launcher=LAUNCHER).of_step(folder / name)

    try:
        table = timed("data", _table, plan, expected, root)
    except DataError as error:
        return {"stopped": "data", "reason": str(error), "seconds": seconds}
    if table.digest != expected:
        reason = f"its sources give version {table.digest[:12]} now, {expected[:12]} was trained on"
        return {"stopped": "data", "reason": reason, "table": table.digest, "seconds": seconds}
    parts = timed("split", split, plan.dataset, table, Places(root))
    job, baseline = plan.training_job(table.digest), None
    if plan.baseline is not None:
        learner = with_member(plan.learner, plan.baseline)
        baseline = timed("baseline", fit, job.with_learner(learner), device_of(learner), places("baseline"))
    trained = timed("weights", fit, job, device_of(plan.learner), places("fit"))
    natural = natural_baselines(plan.task, root / "src")
    evaluated = timed("metrics", evaluate, plan, table, trained, baseline, natural, places("evaluate"))
    return {
        "table": table.digest,
        "split": parts.digest,
        "features": encoder_digests(root / trained.folder / BUNDLE),
        "trained": trained,
        "evaluated": evaluated,
        "seconds": seconds,
    }


def _table(plan: VersionPlan, expected: str, root: Path) -> TableRecord:
    """Open the table that was restored into the checkout, else ingest it."""
    folder = Project(root).data / plan.dataset.name
    if (folder / METADATA).is_file():
        return Table.open(folder).record()
    try:
        return ingest(plan.dataset, Places.of(root))
    except DataError:
        raise
    except HeadframeError as error:
        raise Refused(f"version {expected[:12]} of the data cannot be collected: {error}") from error


if __name__ == "__main__":
    end(main())
