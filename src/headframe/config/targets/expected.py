"""Check that a `_target_` derives from what its place expects, by reading the source without importing it."""

import ast
import builtins
from collections.abc import Sequence
from pathlib import Path

from headframe.config.targets.find_definition import TargetDefinition, find_definition, importing_modules
from headframe.config.targets.signature import WITHOUT_CONSTRUCTOR
from headframe.errors import ConfigurationError


def check_derives(path: str, target: str, expects: Sequence[str], own_source: Path) -> None:
    """Refuse a target that, by its source, derives from no class that its place expects.

    Where the source does not show it, `headframe.config.build` does, after the import and before any call.

    Args:
        path: the key of the node in the plan, for the message.
        target: `package.module.Name`.
        expects: see `Component`; nothing where no code builds what stands there.
        own_source: the project's `src/`.

    Raises:
        ConfigurationError: it does not.
    """
    if not expects:
        raise ConfigurationError(f"{path}._target_={target}: nothing is built at this place; remove the key")
    module, _, name = target.rpartition(".")
    if _derives(module, name, expects, own_source) is False:
        raise ConfigurationError(f"{path}._target_={target}: {requirement(expects)}")


def requirement(expects: Sequence[str]) -> str:
    """Return what a target has to be, as the end of a sentence."""
    *others, last = expects
    bases = f"{', '.join(others)} or {last}" if others else last
    return f"expected a class that derives from {bases}, or a function whose annotation says that it returns one"


def _derives(module: str, name: str, expects: Sequence[str], own_source: Path) -> bool | None:
    """Return whether a class derives from one that is expected, or a function returns one; None: not in the source."""
    # Sources of large libraries are not read for what a path tells.
    if any(f"{place}.{known}" in expects for place, known in importing_modules(module, name, own_source)):
        return True
    found = find_definition(module, name, own_source)
    match found:
        case TargetDefinition(node=ast.ClassDef(bases=bases)):
            pass
        case TargetDefinition(node=ast.FunctionDef(returns=annotation)):
            bases = [] if annotation is None else [annotation]
        case _:
            return False if hasattr(builtins, name) else None
    derives: bool | None = False
    for base in bases:
        if isinstance(base, ast.Name) and base.id in WITHOUT_CONSTRUCTOR:
            continue
        of_base = _derives(found.module, base.id, expects, own_source) if isinstance(base, ast.Name) else None
        if of_base:
            return True
        derives = None if of_base is None else derives
    return derives
