"""Build what a component names: the only module that looks targets up."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headframe.config.plan.component import Component
from headframe.config.targets.expected import requirement
from headframe.errors import ConfigurationError


def look_up(target: str, expects: Sequence[str]) -> Any:
    """Import what a `_target_` names.

    Args:
        target: `package.module.Name`.
        expects: the classes of which it has to derive from one, or return one; see `Component`.

    Raises:
        ConfigurationError: there is no such name, or its module cannot be imported or is a program, or the module
            merely imports it from elsewhere, as `torch.optim.sys`, which would lead out of the trusted packages; or it
            is not what is expected, such as a function that loads a pickle.
    """
    return _look_up(target, expects)[0]


def class_of(component: Component) -> type:
    """Import the class of what a component builds: its target, or what a function says that it returns.

    Raises:
        ConfigurationError: as `look_up`.
    """
    return _look_up(component.target, component.expects)[1]


def _look_up(target: str, expects: Sequence[str]) -> tuple[Any, type]:
    """Return what a target names, and the class of what calling it gives; see `look_up`."""
    module_name, _, name = target.rpartition(".")
    if "__main__" in module_name.split("."):  # importing it may run it
        raise ConfigurationError(f"_target_ {target!r} is in a program; write package.module.Name")
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
    named = (expected.rpartition(".") for expected in expects)
    # A class whose module was not imported has no subclass yet.
    known = tuple(getattr(sys.modules[module], name) for module, _, name in named if module in sys.modules)
    made = _made_by(found)
    if made is None or not issubclass(made, known):
        raise ConfigurationError(f"_target_ {target!r}: {requirement(expects)}")
    return found, made


def _made_by(found: Any) -> type | None:
    """Return a class itself, or what a function returns by its annotation; None where it has none."""
    if not isinstance(found, type):
        try:
            found = inspect.get_annotations(found, eval_str=True).get("return")
        except (NameError, TypeError, AttributeError, SyntaxError):
            return None
    return found if isinstance(found, type) else None


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
        ConfigurationError: the target is not what is expected at its place, or refuses its arguments.
    """
    target = look_up(component.target, component.expects)
    try:
        return target(*positional, **component.arguments, **runtime)
    except (TypeError, ValueError) as error:
        if inspect.isabstract(target):
            lacking = ", ".join(sorted(target.__abstractmethods__))
            msg = f"{component.target} lacks {lacking}, which its base class requires; see docs/extending.md"
            raise ConfigurationError(msg) from error
        raise ConfigurationError(f"{component.target} refuses its settings: {error}") from error
