"""What decided a result beside plan and data, found out and compared in the same way where it is made and remade."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from headframe.code_dependencies import CodeDependencies, code_dependencies, device_of
from headframe.config.plan.component import targets
from headframe.config.plan.plan import Plan
from headframe.digests import digest
from headframe.prediction.layout import encoder_states
from headframe.records import Lineage
from headframe.tracking import lineage

DECIDING = (
    "headframe.datasets.collect",
    "headframe.datasets.splits",
    "headframe.training.run",
    "headframe.training.__main__",
    "headframe.evaluation.step",
)
"""The steps that decide a result, and the program that trains: what they reach is the code that it rests on."""

ELSEWHERE = {"launcher", "promotion", "team", "serving", "tracking"}
"""Parts of a plan that say where it runs, how it is judged, served and tracked."""


@dataclass(frozen=True)
class CollectedLineage:
    """What a run keeps of its origin.

    Attributes:
        code: commit and diff.
        installed: the versions of all distributions, one a line, as `code/installed.txt` has them.
        origin: what `provenance.json` says.
    """

    code: lineage.Code
    installed: str
    lineage: Lineage


def collect_lineage(plan: Plan, bundle: Path, root: Path) -> CollectedLineage:
    """Find out what a trained model rests on beside plan and data.

    Args:
        plan: what was run.
        bundle: the model's folder.
        root: the project's folder.
    """
    code = lineage.code(root)
    installed = "".join(f"{name}=={version}\n" for name, version in lineage.installed().items())
    reached = plan_dependencies(plan, root)
    origin = Lineage(
        commit=code.commit,
        diff=None if code.diff is None else hashlib.sha256(code.diff).hexdigest(),
        folder=code.folder,
        modules=reached.code,
        libraries=reached.libraries,
        installed=hashlib.sha256(installed.encode()).hexdigest(),
        python=platform.python_version(),
        machine=reached.machine,
        device=device_of(plan.learner),
        features=encoder_digests(bundle),
    )
    return CollectedLineage(code, installed, origin)


def plan_dependencies(plan: Plan, root: Path) -> CodeDependencies:
    """Give the code and the libraries that a plan's result rests on, as they are now."""
    content = plan.without_declared.model_dump(mode="json", exclude=ELSEWHERE)
    return code_dependencies([*DECIDING, *(target.rpartition(".")[0] for target in targets(content))], root / "src")


def encoder_digests(bundle: Path) -> dict[str, str]:
    """Return the sha256 of what each encoder of a bundle learned, by the path of its member's names."""
    return {name: digest(state) for name, state in encoder_states(bundle)}
