"""What decided a result besides plan and data, read alike when it is trained and when it is reproduced."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import psutil
from packaging.utils import canonicalize_name

from headframe import __version__
from headframe.code_dependencies import CodeDependencies, code_dependencies, device_of
from headframe.config.plan.component import targets
from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.serving import CodeConfig
from headframe.digests import digest, file_digest
from headframe.environment import variable
from headframe.errors import HeadframeError, some, without_credentials
from headframe.prediction.layout import encoder_states
from headframe.records import Lineage
from headframe.tracking import tags
from headframe.tracking.code_secrets import require_no_secrets

DECIDING = (
    "headframe.datasets.ingest",
    "headframe.datasets.splits",
    "headframe.training.fit",
    "headframe.training.__main__",
    "headframe.evaluation.step",
)
"""The steps that decide a result, and the program that trains: the code that they import is what it depends on."""

LOCK = "constraints.txt"
FLOW_RUN = "HEADFRAME_FLOW_RUN_URL"  # set by the orchestrator: the address of the flow run in its server's pages
SOURCES = (
    "*.py", "*.pyi", "*.sh", "conf/*.yaml", "flows/*.yaml", "infra/*.yaml", "src/*.yaml", "src/*.toml", "Makefile",
    "pyproject.toml", "constraints.txt", "data.dvc", ".dvc/config", ".dvcignore", ".gitignore", "*/.gitignore",
)  # fmt: skip
"""Patterns of files that are stored with a run although git does not track them yet; `*` matches any characters."""

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's name of a tree without files
LARGEST_DIFF = 20 * 2**20  # bytes; more than that is data that should be ignored by git
GIT_SECONDS = 60
FILES_AT_ONCE = 500  # names on a command line
_CODE_FOLDERS = ("conf/", "flows/", "src/")
_USUAL = CodeConfig()


@dataclass(frozen=True)
class CodeState:
    """The code of a project."""

    commit: str = ""  # git's name of it; empty where there is none
    diff: bytes | None = None  # from the commit, new files included, for `git apply`; None where that is not known
    folder: str = ""  # of the project in its repository, such as `mining/`; empty where it is the repository itself
    note: str = ""  # why something is missing; empty where nothing is


@dataclass(frozen=True)
class CollectedLineage:
    """The lineage of a result as its run stores it."""

    code: CodeState
    installed: str  # the versions of all distributions, one a line, as `code/installed.txt` has them
    lineage: Lineage  # of the provenance record


def collect_lineage(plan: VersionPlan, bundle: Path, root: Path, kept: CodeConfig) -> CollectedLineage:
    """Return what decided a model, trained into the folder `bundle`, besides plan and data.

    Raises:
        ConfigurationError: the code holds a secret.
    """
    code = read_code_state(root, kept)
    installed = "".join(f"{name}=={version}\n" for name, version in installed_versions().items())
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
    modules = (target.rpartition(".")[0] for target in targets(plan.model_dump(mode="json")))
    return code_dependencies([*DECIDING, *modules], root / "src")


def encoder_digests(bundle: Path) -> dict[str, str]:
    """Return the sha256 of what each encoder of a bundle learned, by the path of its member's names."""
    return {name: digest(state) for name, state in encoder_states(bundle)}


def read_code_state(root: Path, kept: CodeConfig = _USUAL) -> CodeState:
    """Read commit and uncommitted changes of the project; what cannot be read is noted in `note`, not raised.

    Nothing in the repository changes: git uses an index and an object folder of its own. Of files that git does not
    track, only sources are read.

    Raises:
        ConfigurationError: what would be stored holds a secret.
    """
    if shutil.which("git") is None:
        return CodeState(note="git is not installed, so commit and changes are not known")
    try:
        if not run_git(root, "rev-parse", "--git-dir", check=False):
            return CodeState(note="the project is no git repository, so commit and changes are not known")
        commit = run_git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False).decode().strip()
        folder = run_git(root, "rev-parse", "--show-prefix").decode().strip("\n")
        base = commit or EMPTY_TREE
        new, left_out = _untracked(root, base, (*SOURCES, *kept.sources))
        diff = _diff(root, base, new)
    except (OSError, HeadframeError, subprocess.TimeoutExpired) as error:
        return CodeState(note=f"git could not be read: {error}")
    if len(diff) > LARGEST_DIFF:
        note = f"uncommitted changes of {len(diff) / 2**20:.0f} MiB are too many to keep; commit or ignore them"
        return CodeState(commit, None, folder, note)
    require_no_secrets(diff, kept.waived_secrets)
    notes = [] if commit else ["nothing is committed yet, so all code is in code.diff"]
    if left_out:
        advice = "have git track them, or name them in tracking.code.sources"
        notes.append(f"not in code.diff, since git does not track them: {some(left_out)}; {advice}")
    return CodeState(commit, diff, folder, "; ".join(notes))


def _untracked(root: Path, base: str, sources: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files to store that the commit does not have, and which files beside code are left out."""
    staged = run_git(root, "diff", "--cached", "--name-only", "--diff-filter=A", "--relative", "-z", base, "--", ".")
    others = _names(run_git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "."))
    new = [name for name in others if any(fnmatchcase(name, pattern) for pattern in sources)]
    beside_code = [name for name in others if name.startswith(_CODE_FOLDERS) and not name.endswith(".md")]
    left_out = [name for name in beside_code if name not in new]
    return [*new, *(name for name in _names(staged) if (root / name).exists())], left_out


def _diff(root: Path, base: str, new: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        objects = run_git(root, "rev-parse", "--git-path", "objects").decode().strip()
        own = {
            **os.environ,
            "GIT_INDEX_FILE": str(Path(scratch) / "index"),
            "GIT_OBJECT_DIRECTORY": scratch,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((root / objects).resolve()),
        }
        run_git(root, "read-tree", base, environment=own)
        run_git(root, "add", "--update", "--", ".", environment=own)
        for first in range(0, len(new), FILES_AT_ONCE):
            names = new[first : first + FILES_AT_ONCE]
            run_git(root, "--literal-pathspecs", "add", "--", *names, environment=own)
        # In git's plain format, whatever the user's configuration makes of a diff for people.
        plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/")
        return run_git(root, "diff", "--cached", "--binary", *plain, base, "--", ".", environment=own)


def _names(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def run_git(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] = os.environ,
    check: bool = True,
    timeout: float = GIT_SECONDS,
) -> bytes:
    """Run git without the user's hooks and helpers, and return what it prints; nothing where it fails unchecked.

    Raises:
        HeadframeError: it fails and `check` is set.
    """
    settings = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.quotePath=false", "gc.auto=0")
    done = subprocess.run(
        [shutil.which("git") or "git", *(word for setting in settings for word in ("-c", setting)), *arguments],
        cwd=folder,
        env={**environment, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        capture_output=True,
        check=False,
        timeout=timeout,
    )
    if check and done.returncode:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise HeadframeError(f"git {arguments[0]} ended with {done.returncode}: {reason}")
    return b"" if done.returncode else done.stdout


def installed_versions() -> dict[str, str]:
    """Return the version of every installed distribution by its normal name, sorted.

    Both are in the names of the metadata's folders; reading all metadata takes a second.
    """
    found: dict[str, str] = {}
    for entry in reversed(sys.path):  # the first entry is what gets imported
        for folder in sorted((path.stem for path in Path(entry).glob("*.dist-info")), reverse=True):
            name, _, version = folder.partition("-")
            found[canonicalize_name(name)] = version
    return dict(sorted(found.items()))


def lock_digest(root: Path) -> tuple[str, str]:
    """Return what pins the libraries, and its sha256: the lock file, else the list of what is installed."""
    file = root / LOCK
    return (LOCK, file_digest(file)) if file.is_file() else ("installed", digest(installed_versions()))


def machine_tags() -> dict[str, str]:
    """Return the tags of the machine: processor, cores, memory, GPUs, system, Python."""
    import torch  # noqa: PLC0415 - seconds

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "hardware.cpu": _processor(),
        "hardware.cores": str(psutil.cpu_count(logical=True)),
        "hardware.memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "hardware.gpu": ", ".join(gpus) or "none",
        "hardware.system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        tags.RELEASE: __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def flow_run() -> str:
    """Return the address, or else the id, of the flow run that this is part of; empty outside of one."""
    return without_credentials(variable(FLOW_RUN) or "") or os.environ.get("PREFECT__FLOW_RUN_ID", "")
