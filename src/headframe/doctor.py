"""What is wrong with this machine or this project, and what to do about it.

Every check is one small function. None imports a heavy package: versions come from what is installed on disk.
"""

from __future__ import annotations

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
from typing import TYPE_CHECKING, Literal

from headframe import servers
from headframe.config.project import Project
from headframe.datasets.dvc_files import DvcSettings
from headframe.digests import Record
from headframe.errors import HeadframeError
from headframe.signing import keys
from headframe.telemetry import OFF
from headframe.tracking.address import USER, is_server
from headframe.tracking.client import require_access
from headframe.tracking.lineage import installed, normal_name

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from headframe.config.plan.promotion import Person

_LOWEST_PYTHON = (3, 11)
_LITTLE_SPACE = 5 * 10**9
"""Bytes: an environment takes 2 GB, and data, cache and checkpoints come on top."""

_NO_SPACE = 5 * 10**8
_QUOTED = 4
"""Packages that are named before the rest is only counted."""

_REASONS = {
    "fastapi": "too new for Prefect",
    "sqlalchemy": "too new for Prefect",
}
"""Why a newer version than allowed breaks things, where its own metadata does not state it."""


class Check(Record):
    """The result of one check."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""


def check_all(root: Path) -> list[Check]:
    """Check machine and project.

    Args:
        root: the project's folder.
    """
    versions = installed()
    return [
        check_python(),
        check_requirements(versions),
        check_lock(root, versions),
        check_torch(versions, has_gpu()),
        check_git(),
        check_data_versions(root),
        check_servers(root),
        check_tracking(os.environ),
        check_space(root),
        check_access(root),
        check_keys(root, os.environ),
        check_telemetry(os.environ),
    ]


def has_gpu() -> bool:
    """Return whether the machine has an NVIDIA GPU with its driver."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def check_python() -> Check:
    """Check the interpreter."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < _LOWEST_PYTHON:
        wanted = ".".join(map(str, _LOWEST_PYTHON))
        return Check(name="python", state="fail", found=found, fix=f"install Python {wanted} or later")
    return Check(name="python", state="ok", found=found)


def check_requirements(versions: Mapping[str, str]) -> Check:
    """Check what Headframe itself needs."""
    wrong = list(_wrong(versions))
    if not wrong:
        return Check(name="requirements", state="ok", found="everything that Headframe needs is there")
    wrong_versions = [
        f"{requirement.name} {version or 'is missing'}"
        + (f" is {reason}" if version and (reason := _reason(requirement, version)) else "")
        for requirement, version in wrong
    ]
    wanted = " ".join(f"'{requirement.name}{requirement.specifier}'" for requirement, _ in wrong[:_QUOTED])
    return Check(name="requirements", state="fail", found=_some(wrong_versions), fix=f"pip install {wanted}")


def _wrong(versions: Mapping[str, str]) -> Iterator[tuple[Requirement, str | None]]:
    from packaging.requirements import Requirement  # noqa: PLC0415 - the command line must not pay for it

    for line in metadata.requires("headframe") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = versions.get(normal_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield requirement, version


def _reason(requirement: Requirement, version: str) -> str:
    from packaging.version import Version  # noqa: PLC0415 - see _wrong

    ends = [Version(part.version) for part in requirement.specifier if part.operator in {"<", "<="}]
    return _REASONS.get(normal_name(requirement.name), "") if any(Version(version) >= end for end in ends) else ""


def check_lock(root: Path, versions: Mapping[str, str]) -> Check:
    """Compare what is installed with the project's lock."""
    path = root / "constraints.txt"
    if not path.is_file():
        return Check(name="lock", state="ok", found="this project has no constraints.txt")
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - see _wrong

    differing = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            locked = Requirement(text)
        except InvalidRequirement:
            fix = "write it again with: make lock"
            return Check(name="lock", state="fail", found=f"constraints.txt line {number} is no pin: {text}", fix=fix)
        version = versions.get(normal_name(locked.name))
        applies = locked.marker is None or locked.marker.evaluate()
        if applies and version is not None and not locked.specifier.contains(version, prereleases=True):
            differing.append(f"{locked.name} {version} instead of {str(locked.specifier).removeprefix('==')}")
    if not differing:
        return Check(name="lock", state="ok", found="installed versions are those of constraints.txt")
    fix = "bash infra/install.sh" if (root / "infra" / "install.sh").is_file() else "pip install -r constraints.txt"
    return Check(name="lock", state="warn", found=_some(differing), fix=fix)


def check_torch(versions: Mapping[str, str], has_gpu: bool) -> Check:
    """Check that torch's build fits the machine."""
    version = versions.get("torch")
    if version is None:
        return Check(name="torch", state="fail", found="torch is missing", fix="pip install 'torch==2.13.0'")
    is_cpu = version.endswith("+cpu")
    if is_cpu and "torchvision" in versions:
        found = f"torchvision {versions['torchvision']} is built for CUDA, and importing it breaks {version}"
        return Check(name="torch", state="fail", found=found, fix="pip uninstall torchvision")
    found = f"{version}, {'GPU found' if has_gpu else 'no GPU'}"
    if has_gpu and is_cpu:
        return Check(
            name="torch",
            state="warn",
            found=f"{found}, but this build cannot use it",
            fix="rm -rf .venv && TORCH=cu126 bash infra/install.sh",
        )
    return Check(name="torch", state="ok", found=found)


def check_git() -> Check:
    """Check that code versions can be recorded."""
    where = shutil.which("git")
    if where is None:
        fix = "install git; without it runs do not record which code they ran"
        return Check(name="git", state="warn", found="git is not on PATH", fix=fix)
    return Check(name="git", state="ok", found=where)


def check_data_versions(root: Path) -> Check:
    """Check DVC's settings and the place where it keeps data."""
    name = "data versions"
    if not (root / ".dvc" / "config").is_file():
        found = "DVC is not set up here yet"
        return Check(name=name, state="ok", found=f"{found}; the first `headframe ingest` does it")
    try:
        settings = DvcSettings.read(root)
    except (configparser.Error, UnicodeDecodeError) as error:
        found = f".dvc/config cannot be read: {str(error).splitlines()[0]}"
        return Check(name=name, state="fail", found=found, fix="correct the file, or delete it and it is written again")
    remote, url, folder = settings.remote, settings.remote_url, settings.remote_folder
    if not url:
        return Check(
            name=name,
            state="warn",
            found="DVC has no default remote, so data exists on this machine only",
            fix="dvc remote add --default team URL",
        )
    if folder is None:
        return Check(name=name, state="ok", found=f"remote {remote} at {url}, not connected to")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        fix = f"make {existing} writable, or: dvc remote modify {remote} url FOLDER"
        return Check(name=name, state="fail", found=f"remote {remote} at {folder} cannot be written", fix=fix)
    state = "" if folder.is_dir() else ", which the first push makes"
    return Check(name=name, state="ok", found=f"remote {remote} at {folder}{state}")


def check_servers(root: Path) -> Check:
    """Check the local servers."""
    try:
        found = servers.status(root)
    except HeadframeError as error:
        return Check(name="servers", state="fail", found=str(error), fix=f"rm {Project(root).servers}")
    lines = "; ".join(" ".join(server.summary.split()) for server in found)
    if any(server.state == "died" for server in found):
        return Check(name="servers", state="warn", found=lines, fix="headframe down, or start them again: headframe up")
    if any(server.state == "starting" for server in found):
        fix = "wait, or look into the log; headframe down stops it"
        return Check(name="servers", state="warn", found=lines, fix=fix)
    return Check(name="servers", state="ok", found=lines)


def check_tracking(environment: Mapping[str, str]) -> Check:
    """Check that a team's MLflow, where one is named, answers and knows the user."""
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    if not is_server(uri):
        return Check(name="tracking", state="ok", found="MLFLOW_TRACKING_URI names no server")
    try:
        require_access(uri)
    except HeadframeError as error:
        found, _, fix = str(error).partition("; ")
        return Check(name="tracking", state="fail", found=found, fix=fix)
    who = environment.get(USER)
    return Check(name="tracking", state="ok", found=f"{uri} answers{f' and knows {who}' if who else ''}")


def check_space(root: Path) -> Check:
    """Check the disk of the project."""
    free = shutil.disk_usage(root).free
    found = f"{free / 10**9:.1f} GB free"
    if free < _NO_SPACE:
        return Check(name="disk", state="fail", found=found, fix="free space: runs will stop half-way")
    if free < _LITTLE_SPACE:
        return Check(name="disk", state="warn", found=found, fix="free space: .headframe/stages may be deleted")
    return Check(name="disk", state="ok", found=found)


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
            return Check(name="access", state="fail", found=found, fix=fix)
    return Check(name="access", state="ok", found=f"{root} can be written")


def check_keys(root: Path, environment: Mapping[str, str]) -> Check:
    """Check the keys to sign with: that there is one, that others cannot read it, and whether the team lists it."""
    name = "keys"
    own = keys.own_keys()
    try:
        public = {key.name: key.public for key in own}
    except HeadframeError as error:
        found, _, fix = str(error).rpartition("; ")
        return Check(name=name, state="fail", found=found, fix=fix.removeprefix("run: "))
    try:
        people = _people(root)
    except HeadframeError as error:
        found = f"whether the team lists them is not known: {error}"
        return Check(name=name, state="warn", found=found, fix="correct conf/, then: headframe doctor")
    signer = environment.get(keys.SIGNER)
    if signer is not None and signer not in public:
        found = f"{keys.SIGNER} names {signer!r}, and there is no such key"
        return Check(name=name, state="fail", found=found, fix=f"headframe key {signer}, or unset {keys.SIGNER}")
    if not own and not people:
        found = f"there is none in {keys.keys_folder()} yet; the first registration creates it"
        return Check(name=name, state="ok", found=found)
    listed = {person.key: f"{who} ({', '.join(person.roles)})" for who, person in people.items()}
    listing = ", ".join(f"{each} listed as {listed[key]}" if key in listed else each for each, key in public.items())
    if people and not any(key in listed for key in public.values()):
        found = f"{listing or 'there is none, and so'}: none is listed in conf/team/, so what you sign is not trusted"
        fix = "headframe key NAME prints the lines for conf/team/; a reader needs none"
        return Check(name=name, state="warn", found=found, fix=fix)
    if len(own) > 1 and signer is None:
        fix = f"choose who signs: export {keys.SIGNER}=NAME, or --as NAME"
        return Check(name=name, state="warn", found=f"{listing}: which one signs is not set", fix=fix)
    return Check(name=name, state="ok", found=f"{listing}, in {keys.keys_folder()}")


def _people(root: Path) -> Mapping[str, Person]:
    """Return the people that the project's plan lists as its team.

    Raises:
        ConfigurationError: there is no such plan.
    """
    if not (root / "conf" / "plan.yaml").is_file():
        return {}
    from headframe.config.load import load_plan  # noqa: PLC0415 - see _wrong

    return load_plan([], Project(root)).team.people


def check_telemetry(environment: Mapping[str, str]) -> Check:
    """Check that no dependency sends telemetry."""
    switches = {name: off for name, off in OFF.items() if not name.startswith("GIT_")}  # that one silences, no more
    changed = [
        f"{name}={environment[name]}"
        for name, off in switches.items()
        if _is_yes(environment.get(name, off)) != _is_yes(off)
    ]
    if changed:
        names = " ".join(text.partition("=")[0] for text in changed)
        found = f"changed by the environment: {', '.join(changed)}"
        return Check(name="telemetry", state="warn", found=found, fix=f"unset {names}")
    return Check(name="telemetry", state="ok", found="off for every dependency")


def _is_yes(value: str) -> bool:
    return value.lower() in {"1", "true", "yes", "on"}


def _some(things: list[str]) -> str:
    rest = len(things) - _QUOTED
    return ", ".join(things[:_QUOTED]) + (f" and {rest} more" if rest > 0 else "")
