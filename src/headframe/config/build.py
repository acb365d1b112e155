"""Build what a component names: the only module that looks targets up."""

import importlib
import traceback
from pathlib import Path
from typing import Any

from headframe.config.plan.component import Component
from headframe.errors import ConfigurationError


def look_up(target: str) -> Any:
    """Import what a `_target_` names.

    Raises:
        ConfigurationError: there is no such name, or its module cannot be imported, or the module merely imports it
            from elsewhere, as `torch.optim.sys`, which would lead out of the trusted packages.
    """
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # importing runs a user's own file, which may raise anything
        where = _place(error, module_name.partition(".")[0])
        reason = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        reason = f"{type(error).__name__}: {reason}"
        msg = f"_target_ {target!r} cannot be imported: {where}{reason}; correct the file, or install what it imports"
        raise ConfigurationError(msg) from error
    try:
        found = getattr(module, name)
    except AttributeError as error:
        msg = f"_target_ {target!r} cannot be imported: {error}; write package.module.Name"
        raise ConfigurationError(msg) from error
    home = getattr(found, "__module__", "")
    if not callable(found) or str(home).partition(".")[0] != module_name.partition(".")[0]:
        raise ConfigurationError(f"_target_ {target!r} is no class or function of {module_name.partition('.')[0]}")
    return found


def _place(error: BaseException, package: str) -> str:
    """Return the file and line where an import failed: the innermost of the target's own package, if there is one."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{error.filename}, line {error.lineno}: "
    passed = (__file__, importlib.__file__)
    found = traceback.extract_tb(error.__traceback__)
    frames = [each for each in found if each.filename not in passed and not each.filename.startswith("<frozen ")]
    own = [frame for frame in frames if package in Path(frame.filename).parts]
    return next((f"{frame.filename}, line {frame.lineno}: " for frame in reversed(own or frames)), "")


def build(component: Component, *positional: Any, **runtime: Any) -> Any:
    """Call the target with its configured arguments and with those that only the caller knows.

    Raises:
        ConfigurationError: the target refuses its arguments.
    """
    target = look_up(component.target)
    try:
        return target(*positional, **component.arguments, **runtime)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{component.target} refuses its settings: {error}") from error
