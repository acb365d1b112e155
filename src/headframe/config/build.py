"""From a component in a plan to the object it names: the only place that looks targets up."""

from __future__ import annotations

import importlib
from typing import Any

from headframe.config.plan import Component
from headframe.errors import ConfigurationError


def look_up(target: str) -> Any:
    """Import what a `_target_` names.

    Raises:
        ConfigurationError: there is no such thing, or it only passes through the module it is asked from,
            which is how `torch.optim.sys` would lead out of the trusted packages.
    """
    module_name, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        msg = f"_target_ {target!r} cannot be imported: {error}"
        raise ConfigurationError(msg) from error
    home = getattr(found, "__module__", "")
    if not callable(found) or str(home).partition(".")[0] != module_name.partition(".")[0]:
        msg = f"_target_ {target!r} is no class or function of {module_name.partition('.')[0]}"
        raise ConfigurationError(msg)
    return found


def build(component: Component, *given: Any, **runtime: Any) -> Any:
    """Call the target with its configured arguments and with what only the caller knows.

    Args:
        component: which target, and the arguments that the plan gives it.
        given: positional arguments known only at run time, such as a network's shapes.
        runtime: the same by keyword.

    Raises:
        ConfigurationError: the target refuses its arguments.
    """
    target = look_up(component.target)
    try:
        return target(*given, **component.arguments, **runtime)
    except (TypeError, ValueError) as error:
        msg = f"{component.target} refuses its settings: {error}"
        raise ConfigurationError(msg) from error
