"""What decided a result besides plan and data: read in the same way when it is trained and when it is reproduced."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from headframe.code_dependencies import CodeDependencies, code_dependencies, device_of
from headframe.config.plan.component import targets
from headframe.config.plan.plan import VersionPlan
from headframe.digests import digest
from headframe.prediction.layout import encoder_states
from headframe.records import Lineage
from headframe.tracking import lineage

DECIDING = (
    "headframe.datasets.ingest",
    "headframe.datasets.splits",
    "headframe.training.fit",
    "headframe.training.__main__",
    "headframe.evaluation.step",
)
"""The steps that decide a result, and the program that trains: the code that they import is what it depends on."""


@dataclass(frozen=True)
class CollectedLineage:
    """The lineage of a result as its run stores it.

    Attributes:
        code: commit and diff.
        installed: the versions of all distributions, one a line, as `code/installed.txt` has them.
        lineage: of the provenance record.
    """

    code: lineage.Code
    installed: str
    lineage: Lineage


def collect_lineage(plan: VersionPlan, bundle: Path, root: Path) -> CollectedLineage:
    """Return what decided a trained model besides plan and data.

    Args:
        plan: what was run.
        bundle: the model's folder.
        root: the project's folder.
    """
    code = lineage.code(root)
    installed = "".join(f"{name}=={version}\n" for name, version in lineage.installed().items())
    now = plan_dependencies(plan, root)
    found = Lineage(
        commit=code.commit,
        diff=None if code.diff is None else hashlib.sha256(code.diff).hexdigest(),
        folder=code.folder,
        modules=now.code,
        libraries=now.libraries,
        installed=hashlib.sha256(installed.encode()).hexdigest(),
        python=platform.python_version(),
        machine=now.machine,
        device=device_of(plan.learner),
        features=encoder_digests(bundle),
    )
    return CollectedLineage(code, installed, found)


def plan_dependencies(plan: VersionPlan, root: Path) -> CodeDependencies:
    """Return the code and the libraries that a plan's result depends on, as they are now."""
    content = plan.model_dump(mode="json")
    return code_dependencies([*DECIDING, *(target.rpartition(".")[0] for target in targets(content))], root / "src")


def encoder_digests(bundle: Path) -> dict[str, str]:
    """Return the sha256 of what each encoder of a bundle learned, by the path of its member's names."""
    return {name: digest(state) for name, state in encoder_states(bundle)}
