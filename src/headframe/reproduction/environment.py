"""Differences between the recorded environment and this one, as far as they can explain a different result."""

from __future__ import annotations

import platform
from collections.abc import Container, Iterable, Mapping

from packaging.utils import canonicalize_name

from headframe.reproduction.recorded_run import RecordedRun
from headframe.reproduction.report import Change, RebuiltVersion
from headframe.tracking import lineage

HARDWARE = ("hardware.cpu", "hardware.gpu", "hardware.system")
"""What may round differently; cores and memory change no bits."""

ABSENT = "absent"


def environment_changes(recorded: RecordedRun, rebuilt: RebuiltVersion) -> tuple[Change, ...]:
    """Compare Python, machine, device and libraries; those that the result depends on come first."""
    origin, machine = recorded.lineage, lineage.machine_tags()
    then = {"python": origin.python, "machine": origin.machine, "device": origin.device}
    now = {"python": platform.python_version(), "machine": rebuilt.machine, "device": rebuilt.device}
    for name in HARDWARE:
        short = name.partition(".")[2]
        then[short], now[short] = recorded.hardware.get(name, ABSENT), machine[name]
    used = {canonicalize_name(name) for name in (*origin.libraries, *rebuilt.libraries)}
    installed = lineage.installed_versions()
    libraries = _changes(sorted(recorded.installed.keys() | installed.keys()), recorded.installed, installed, used)
    return (*_changes(then, then, now, then), *sorted(libraries, key=lambda each: not each.used))


def module_changes(recorded: RecordedRun, rebuilt: RebuiltVersion) -> tuple[Change, ...]:
    """List the modules of Headframe's installed code that are not those that the version was trained with."""
    then, now = recorded.lineage.modules, rebuilt.modules
    names = sorted(then.keys() | now.keys())
    return tuple(_changes(names, then, now, names))


def _changes(
    names: Iterable[str], then: Mapping[str, str], now: Mapping[str, str], used: Container[str]
) -> list[Change]:
    return [
        Change(name=name, recorded=then.get(name, ABSENT), current=now.get(name, ABSENT), used=name in used)
        for name in names
        if then.get(name) != now.get(name)
    ]
