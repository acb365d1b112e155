"""Check out the recorded code into a separate folder: the commit and the stored diff.

The project's repository is only read: the checkout is a repository that finds its objects there (git's alternates), so
that neither its index and branches nor its list of worktrees change, whatever kills the process.
"""

import os
import shutil
from pathlib import Path

from headframe.errors import HeadframeError, Refused
from headframe.records import Lineage
from headframe.tracking.lineage import run_git

GIT_SECONDS = 600


def check_out(origin: Lineage, diff: bytes, project: Path, target: Path) -> Path:
    """Check out the code of a version.

    Args:
        origin: names the commit.
        diff: what differed from it.
        project: the user's; the repository that it lies in is read.
        target: a folder that does not exist.

    Returns:
        The project's folder in the checkout.

    Raises:
        Refused: the commit is not in the repository, or the diff does not fit it.
        HeadframeError: git is not installed, or fails.
    """
    if shutil.which("git") is None:
        raise HeadframeError("git is not installed, so the code of the version cannot be checked out; install git")
    target.mkdir(parents=True)
    kind = _git(project, "rev-parse", "--show-object-format", check=False) or "sha1"
    _git(target, "init", "--quiet", "--template=", f"--object-format={kind}")
    short = origin.commit[:12]
    if origin.commit:
        _add_alternates(project, target)
        if _git(target, "cat-file", "-t", origin.commit, check=False) != "commit":
            raise Refused(
                f"commit {short}, which the version was trained from, is not in the repository of {project}, so its "
                f"code cannot be checked out; fetch it (git fetch origin {short}), or take a full clone"
            )
        _git(target, "checkout", "--quiet", "--detach", origin.commit)
    if diff:
        file = target.parent / "code.diff"
        file.write_bytes(diff)
        try:
            _git(target, "apply", "--whitespace=nowarn", "--binary", str(file))
        except HeadframeError as error:
            where = f"commit {short}" if short else "an empty folder"
            raise Refused(f"the stored diff of the version cannot be applied to {where} ({error})") from error
    root = target / origin.folder
    if not (root / "conf" / "plan.yaml").is_file():
        raise Refused(f"the recorded code holds no project (conf/plan.yaml is missing in {origin.folder or 'it'})")
    return root


def _add_alternates(project: Path, target: Path) -> None:
    """Make the checkout find the objects of the repository that holds the project."""
    objects = _git(project, "rev-parse", "--git-path", "objects", check=False)
    if not objects:
        raise Refused(f"{project} is no git repository, so the code cannot be checked out; run this in a clone of it")
    alternates = target / ".git" / "objects" / "info" / "alternates"
    alternates.parent.mkdir(parents=True, exist_ok=True)
    alternates.write_text(f"{(project / objects).resolve()}\n", encoding="utf-8")


def _git(folder: Path, *arguments: str, check: bool = True) -> str:
    # Variables that git hooks or a user's shell may have set name other repositories.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    output = run_git(folder, *arguments, environment=clean, check=check, timeout=GIT_SECONDS)
    return output.decode(errors="replace").strip()
