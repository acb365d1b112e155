"""What is wrong with this machine or this project, and what to do about it.

Every check is one small function. None imports a heavy package: versions come from what is installed on disk.
"""

import configparser
import errno
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from headframe import permissions, servers
from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.data_versions.dvc_files import DvcSettings
from headframe.digests import Record
from headframe.environment import keys_folder, variable
from headframe.errors import HeadframeError, without_credentials
from headframe.signing import keys
from headframe.telemetry import OFF
from headframe.tracking.address import is_server
from headframe.tracking.client import require_access
from headframe.tracking.credentials import USER
from headframe.tracking.lineage import installed_versions

_LITTLE_SPACE = 5 * 10**9
"""Bytes: an environment takes 2 GB, and data, cache and checkpoints come on top."""

_NO_SPACE = 5 * 10**8
MISSING = "is missing"
_QUOTED = 4
"""Packages that are named before the rest is only counted."""

_REASONS = dict.fromkeys(("fastapi", "sqlalchemy"), "too new for Prefect")
"""Why a newer version than allowed breaks things, where its own metadata does not state it."""


State = Literal["ok", "warn", "fail"]


class Check(Record):
    """The result of one check."""

    name: str
    state: State
    found: str
    fix: str = ""


def _check(name: str, state: State, found: str, fix: str = "") -> Check:
    return Check(name=name, state=state, found=without_credentials(found), fix=fix)


def check_all(root: Path) -> list[Check]:
    """Check the machine and the project in `root`."""
    versions = installed_versions()
    return [
        _check("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        check_requirements(versions),
        check_lock(root, versions),
        check_torch(versions, has_gpu()),
        check_git(),
        check_data_versions(root),
        check_servers(root),
        check_tracking(os.environ),
        check_space(root),
        check_access(root),
        check_others(root),
        check_keys(root, os.environ),
        check_telemetry(os.environ),
    ]


def has_gpu() -> bool:
    """Return whether the machine has an NVIDIA GPU with its driver."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def check_requirements(versions: Mapping[str, str]) -> Check:
    """Check what Headframe itself needs."""
    wrong = list(_wrong(versions))
    if not wrong:
        return _check("requirements", "ok", "everything that Headframe needs is there")
    found = [f"{needed.name} {version}{_reason(needed, version)}" for needed, version in wrong]
    wanted = " ".join(f"'{needed.name}{needed.specifier}'" for needed, _ in wrong[:_QUOTED])
    return _check("requirements", "fail", _some(found), f"pip install {wanted}")


def _wrong(versions: Mapping[str, str]) -> Iterator[tuple[Requirement, str]]:
    """Yield what is not there as it is needed, with the version that is there, or `is missing`."""
    for line in metadata.requires("headframe") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = versions.get(canonicalize_name(requirement.name), MISSING)
        if version == MISSING or not requirement.specifier.contains(version, prereleases=True):
            yield requirement, version


def _reason(needed: Requirement, version: str) -> str:
    """Return why a version is wrong, if it is too new and more is known than that."""
    reason = _REASONS.get(canonicalize_name(needed.name))
    ends = [Version(part.version) for part in needed.specifier if part.operator in {"<", "<="}]
    too_new = reason and version != MISSING and any(Version(version) >= end for end in ends)
    return f" is {reason}" if too_new else ""


def check_lock(root: Path, versions: Mapping[str, str]) -> Check:
    """Compare what is installed with the project's lock."""
    path = root / "constraints.txt"
    if not path.is_file():
        return _check("lock", "ok", "this project has no constraints.txt")
    differing = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            locked = Requirement(text)
        except InvalidRequirement:
            fix = "write it again with: make lock"
            return _check("lock", "fail", f"constraints.txt line {number} is no pin: {text}", fix)
        version = versions.get(canonicalize_name(locked.name))
        applies = locked.marker is None or locked.marker.evaluate()
        if applies and version is not None and not locked.specifier.contains(version, prereleases=True):
            differing.append(f"{locked.name} {version} instead of {str(locked.specifier).removeprefix('==')}")
    if not differing:
        return _check("lock", "ok", "installed versions are those of constraints.txt")
    fix = "bash infra/install.sh" if (root / "infra" / "install.sh").is_file() else "pip install -r constraints.txt"
    return _check("lock", "warn", _some(differing), fix)


def check_torch(versions: Mapping[str, str], has_gpu: bool) -> Check:
    """Check that torch's build fits the machine."""
    version = versions.get("torch")
    if version is None:
        return _check("torch", "fail", "torch is missing", "pip install 'torch==2.13.0'")
    is_cpu = version.endswith("+cpu")
    if is_cpu and "torchvision" in versions:
        found = f"torchvision {versions['torchvision']} is built for CUDA, and importing it breaks {version}"
        return _check("torch", "fail", found, "pip uninstall torchvision")
    found = f"{version}, {'GPU found' if has_gpu else 'no GPU'}"
    if has_gpu and is_cpu:
        fix = "rm -rf .venv && TORCH=cu126 bash infra/install.sh"
        return _check("torch", "warn", f"{found}, but this build cannot use it", fix)
    return _check("torch", "ok", found)


def check_git() -> Check:
    """Check that code versions can be recorded."""
    fix = "install git; without it runs do not record which code they ran"
    where = shutil.which("git")
    return _check("git", "ok", where) if where else _check("git", "warn", "git is not on PATH", fix)


def check_data_versions(root: Path) -> Check:
    """Check DVC's settings and the place where it keeps data."""
    name = "data versions"
    if not (root / ".dvc" / "config").is_file():
        return _check(name, "ok", "DVC is not set up here yet; the first `headframe ingest` does it")
    try:
        settings = DvcSettings.read(root)
    except (configparser.Error, UnicodeDecodeError) as error:
        found = f".dvc/config cannot be read: {str(error).splitlines()[0]}"
        return _check(name, "fail", found, "correct the file, or delete it and it is written again")
    remote, url, folder = settings.remote, settings.remote_url, settings.remote_folder
    if not url:
        found = "DVC has no default remote, so data exists on this machine only"
        return _check(name, "warn", found, "dvc remote add --default team URL")
    if folder is None:
        return _check(name, "ok", f"remote {remote} at {url}, not connected to")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        fix = f"make {existing} writable, or: dvc remote modify {remote} url FOLDER"
        return _check(name, "fail", f"remote {remote} at {folder} cannot be written", fix)
    state = "" if folder.is_dir() else ", which the first push makes"
    return _check(name, "ok", f"remote {remote} at {folder}{state}")


def check_servers(root: Path) -> Check:
    """Check the local servers."""
    try:
        found = servers.status(root)
    except HeadframeError as error:
        return _check("servers", "fail", str(error), f"rm {Project(root).servers}")
    lines = "; ".join(" ".join(str(server).split()) for server in found)
    if any(server.state == "died" for server in found):
        return _check("servers", "warn", lines, "headframe down, or start them again: headframe up")
    if any(server.state == "starting" for server in found):
        return _check("servers", "warn", lines, "wait, or look into the log; headframe down stops it")
    return _check("servers", "ok", lines)


def check_tracking(environment: Mapping[str, str]) -> Check:
    """Check that a team's MLflow, where one is named, responds and knows the user."""
    uri = variable("MLFLOW_TRACKING_URI", environment) or ""
    if not is_server(uri):
        return _check("tracking", "ok", "MLFLOW_TRACKING_URI names no server")
    try:
        require_access(uri)
    except HeadframeError as error:
        found, _, fix = str(error).partition("; ")
        return _check("tracking", "fail", found, fix)
    who = variable(USER, environment)
    return _check("tracking", "ok", f"{uri} responds{f' and knows {who}' if who else ''}")


def check_space(root: Path) -> Check:
    """Check the disk of the project."""
    free = shutil.disk_usage(root).free
    found = f"{free / 10**9:.1f} GB free"
    if free < _NO_SPACE:
        return _check("disk", "fail", found, "free space: runs will stop half-way")
    if free < _LITTLE_SPACE:
        return _check("disk", "warn", found, "free space: .headframe/stages may be deleted")
    return _check("disk", "ok", found)


def check_access(root: Path) -> Check:
    """Check that the project's folders can be written."""
    project = Project(root)
    for folder in (root, project.state, project.data):
        if not folder.exists():
            continue
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            found = f"{folder} cannot be written: {error.strerror}"
            fix = f"chmod -R u+w {folder}"
            if error.errno == errno.EROFS:  # no permission helps there
                fix = f"have {folder} mounted for writing, or work in a copy of the project elsewhere"
            return _check("access", "fail", found, fix)
    return _check("access", "ok", f"{root} can be written")


def check_others(root: Path) -> Check:
    """Check that nobody else can write to the project, or read what Headframe keeps in it."""
    written = permissions.written_by_others(root)
    if written:
        found = f"others can write to {_some([str(path) for path in written])}, so nothing is signed here"
        return _check("others", "fail", found, f"look at what is there, then: {permissions.fix_of(written, root)}")
    state = Project(root).state
    readable = permissions.open_to_others(state)
    if readable:
        found = f"others can read or write {len(readable)} files and folders in {state}"
        return _check("others", "warn", found, f"chmod -R go= {state}; the next `headframe run` does that, too")
    return _check("others", "ok", "nobody else can write to the project or read what is in .headframe")


def check_keys(root: Path, environment: Mapping[str, str]) -> Check:
    """Check the keys to sign with: that there is one, that others cannot read it, and whether the team lists it."""
    name = "keys"
    own = keys.own_keys()
    try:
        public = {key.name: key.public for key in own}
    except HeadframeError as error:
        found, _, fix = str(error).rpartition("; ")
        return _check(name, "fail", found, fix.removeprefix("run: "))
    try:
        has_plan = (root / "conf" / "plan.yaml").is_file()
        people = load_plan([], Project(root)).team.people if has_plan else {}
    except HeadframeError as error:
        found = f"whether the team lists them is not known: {error}"
        return _check(name, "warn", found, "correct conf/, then: headframe doctor")
    signer = variable(keys.SIGNER, environment)
    if signer is not None and signer not in public:
        found = f"{keys.SIGNER} names {signer!r}, and there is no such key"
        return _check(name, "fail", found, f"headframe key {signer}, or unset {keys.SIGNER}")
    if not own and not people:
        found = f"there is none in {keys_folder()} yet; the first registration creates it"
        return _check(name, "ok", found)
    listed = {person.key: f"{who} ({', '.join(person.roles)})" for who, person in people.items()}
    listing = ", ".join(f"{each} listed as {listed[key]}" if key in listed else each for each, key in public.items())
    if people and not any(key in listed for key in public.values()):
        found = f"{listing or 'there is none, and so'}: none is listed in conf/team/, so what you sign is not trusted"
        fix = "headframe key NAME prints the lines for conf/team/; a reader needs none"
        return _check(name, "warn", found, fix)
    if len(own) > 1 and signer is None:
        fix = f"choose who signs: export {keys.SIGNER}=NAME, or --as NAME"
        return _check(name, "warn", f"{listing}: which one signs is not set", fix)
    return _check(name, "ok", f"{listing}, in {keys_folder()}")


def check_telemetry(environment: Mapping[str, str]) -> Check:
    """Check that no dependency sends telemetry."""
    switches = {name: off for name, off in OFF.items() if not name.startswith("GIT_")}  # that one silences, no more
    yes = ("1", "true", "yes", "on")
    changed = [
        name
        for name, off in switches.items()
        if ((variable(name, environment) or off).lower() in yes) != (off.lower() in yes)
    ]
    if changed:
        found = ", ".join(f"{name}={environment[name]}" for name in changed)
        return _check("telemetry", "warn", f"changed by the environment: {found}", f"unset {' '.join(changed)}")
    return _check("telemetry", "ok", "off for every dependency")


def _some(things: list[str]) -> str:
    rest = len(things) - _QUOTED
    return ", ".join(things[:_QUOTED]) + (f" and {rest} more" if rest > 0 else "")
