"""What is left of a training: a clone of its repository, the registry and the raw data; and how to use them."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from runs import start

from headframe.config.plan.promotion import TeamConfig
from headframe.config.project import Project
from headframe.records import Lineage
from headframe.reproduction.report import Reproduction
from headframe.reproduction.reproduce import reproduce
from headframe.scaffold import init
from headframe.signing.trust import Trust
from headframe.tracking import lineage


@dataclass(frozen=True)
class Leftovers:
    """Everything that a reproduction has.

    Attributes:
        root: the project, a git repository.
        registry: folder of MLflow's database and files, outside of the project.
        mirror: folder with raw files.
    """

    root: Path
    registry: Path
    mirror: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.registry / 'mlflow.db'}"

    @property
    def run(self) -> Path:
        """The run's files."""
        (plan,) = self.registry.rglob("plan.json")
        return plan.parent

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "HEADFRAME_LEDGER": f"sqlite:///{self.registry / 'ledger.db'}",
            "HEADFRAME_MIRROR": str(self.mirror),
        }


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "core.hooksPath="]
    return subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def make_project(root: Path) -> Path:
    """A project as `headframe init` makes it, all of it staged."""
    init(root)
    git(root, "add", "--all")
    return root


def clone(root: Path, target: Path) -> Path:
    git(root.parent, "clone", "--quiet", str(root), str(target))
    return target


def headframe(leftovers: Leftovers, *arguments: str, code: int = 0, **more: str) -> Any:
    """Run the command line with `--json` to its end; return its document."""
    process = start(Project(leftovers.root), *arguments, "--json", **{**leftovers.environment, **more})
    output, error = process.communicate(timeout=500)
    assert process.returncode == code, error
    return json.loads(output)


def reproduced(leftovers: Leftovers, name: str = "digits/1") -> Reproduction:
    """Reproduce in this process, and record nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_MIRROR", str(leftovers.mirror))
        return reproduce(name, leftovers.uri, leftovers.root, Trust.of(TeamConfig()))


def picture(folder: Path) -> dict[str, str]:
    """Every file, folder and link below a folder: kind, mode and sha256."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = oct(path.lstat().st_mode)
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"{mode} {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = f"{mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        else:
            found[str(path.relative_to(folder))] = mode
    return found


def lineage_of(code: lineage.CodeState) -> Lineage:
    """As much of an origin as a checkout needs."""
    diff = hashlib.sha256(code.diff or b"").hexdigest()
    return Lineage(
        commit=code.commit, diff=diff, folder=code.folder, modules={}, libraries={}, installed="", python="3.11",
        machine="x", device="cpu", features={},
    )  # fmt: skip
