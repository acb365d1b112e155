"""What is different about this machine, as far as it can explain a difference."""

from __future__ import annotations

import platform

from headframe.reproduction.outcome import Change, Found
from headframe.reproduction.recorded import Recorded
from headframe.tracking import lineage

HARDWARE = ("hardware.cpu", "hardware.gpu", "hardware.system")
"""What may round differently; cores and memory decide no bits."""

ABSENT = "not there"


def changes(recorded: Recorded, found: Found) -> tuple[Change, ...]:
    """Compare Python, machine, device and libraries; those that the result rests on come first."""
    origin = recorded.lineage
    now = lineage.machine()
    pairs = [
        ("python", origin.python, platform.python_version()),
        ("machine", origin.machine, found.machine),
        ("device", origin.device, found.device),
        *((name.partition(".")[2], recorded.hardware.get(name, ABSENT), now[name]) for name in HARDWARE),
    ]
    changed = [Change(name=name, recorded=then, found=is_, decides=True) for name, then, is_ in pairs if then != is_]
    used = {lineage.normal_name(name) for name in (*origin.libraries, *found.libraries)}
    installed = lineage.installed()
    libraries = [
        Change(
            name=name,
            recorded=recorded.installed.get(name, ABSENT),
            found=installed.get(name, ABSENT),
            decides=name in used,
        )
        for name in sorted(recorded.installed.keys() | installed.keys())
        if recorded.installed.get(name) != installed.get(name)
    ]
    return (*changed, *sorted(libraries, key=lambda each: not each.decides))


def modules(recorded: Recorded, found: Found) -> tuple[Change, ...]:
    """Name the modules of Headframe's installed code that are not those that the version was made with."""
    then, now = recorded.lineage.modules, found.modules
    return tuple(
        Change(name=name, recorded=then.get(name, ABSENT), found=now.get(name, ABSENT), decides=True)
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    )
