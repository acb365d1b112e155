"""Check the arguments of a `_target_` against its signature by reading the source, without importing it.

Importing torch or scikit-learn to find a spelling mistake would cost seconds; the abstract syntax tree
tells names and literal types in milliseconds. What cannot be told from the source is left to the constructor.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from headframe.config.nearest import nearest
from headframe.errors import ConfigurationError

SCHEMA_KEYS = frozenset({"_target_", "tiny", "kind", "tasks", "inputs", "members", "copies", "bootstrap"})
"""Keys beside `_target_` that the schema reads and the constructor does not get."""


def check_arguments(path: str, node: Mapping[str, Any], own_source: Path) -> None:
    """Refuse an argument that the target of `node` does not have or that is plainly of another type.

    Args:
        path: the key of the node in the plan, for the message.
        node: a mapping with `_target_`.
        own_source: the project's `src/`, where its own packages lie.

    Raises:
        ConfigurationError: the target does not exist, or an argument does not fit it.
    """
    target = str(node["_target_"])
    module, _, name = target.rpartition(".")
    file = _module_file(module, own_source)
    if file is None:
        msg = f"{path}._target_={target}: there is no module {module}; write package.module.Name"
        raise ConfigurationError(msg)
    definitions = _definitions(file)
    if name not in definitions:
        if name in _imported(file):
            return
        msg = f"{path}._target_={target}: {module} defines no {name}; {nearest(name, definitions)}"
        raise ConfigurationError(msg)
    parameters = definitions[name]
    if parameters is None:
        return
    for key, value in node.items():
        if key in SCHEMA_KEYS and key not in parameters:
            continue
        if key not in parameters:
            msg = f"{path}.{key}: {name} has no such setting; {nearest(key, parameters)}"
            raise ConfigurationError(msg)
        annotation = parameters[key]
        if annotation is not None and not _fits(value, annotation):
            msg = f"{path}.{key}={value!r}: {name} expects {ast.unparse(annotation)}, not {type(value).__name__}"
            raise ConfigurationError(msg)


def module_file(module: str, own_source: Path | None = None) -> Path | None:
    """Find the source file of a module without importing its package; None where there is none."""
    return _module_file(module, own_source or Path())


@lru_cache(maxsize=512)
def _module_file(module: str, own_source: Path) -> Path | None:
    top, *rest = module.split(".")
    own = own_source / top
    if own.is_dir():
        root = own
    else:
        spec = importlib.util.find_spec(top)
        if spec is None or not spec.submodule_search_locations:
            return None
        root = Path(next(iter(spec.submodule_search_locations)))
    base = root.joinpath(*rest)
    for file in (base.with_suffix(".py") if rest else None, base / "__init__.py"):
        if file is not None and file.is_file():
            return file
    return None


Parameters = dict[str, ast.expr | None]


@lru_cache(maxsize=512)
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=512)
def _definitions(file: Path) -> dict[str, Parameters | None]:
    """Map each public class and function of a file to its parameters; None where they cannot be told."""
    found: dict[str, Parameters | None] = {}
    classes: dict[str, ast.ClassDef] = {}
    for node in _tree(file).body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = node
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = _parameters(node, skip=0)
    for name, node in classes.items():
        found[name] = _constructor(node, classes)
    return found


def _imported(file: Path) -> set[str]:
    """Name what a file re-exports from elsewhere."""
    aliases = (alias for node in ast.walk(_tree(file)) if isinstance(node, ast.ImportFrom) for alias in node.names)
    return {alias.asname or alias.name for alias in aliases}


def _constructor(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Parameters | None:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _parameters(item, skip=1)
    if any(isinstance(mark, ast.Name) and mark.id == "dataclass" for mark in node.decorator_list) or any(
        isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "dataclass"
        for mark in node.decorator_list
    ):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
        return {item.target.id: item.annotation for item in fields if isinstance(item.target, ast.Name)}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            return _constructor(classes[base.id], classes)
    return {} if not node.bases else None


def _parameters(function: ast.FunctionDef, skip: int) -> Parameters | None:
    if function.args.kwarg is not None:
        return None
    positional = [*function.args.posonlyargs, *function.args.args][skip:]
    return {argument.arg: argument.annotation for argument in (*positional, *function.args.kwonlyargs)}


def _fits(value: Any, annotation: ast.expr) -> bool:
    """Tell whether a YAML value can be of the annotated type; True wherever the source leaves doubt."""
    if isinstance(value, Mapping):
        return True
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Name(id="int"):
            return isinstance(value, int) and not isinstance(value, bool)
        case ast.Name(id="float"):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ast.Name(id="bool"):
            return isinstance(value, bool)
        case ast.Name(id="str"):
            return isinstance(value, str)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _fits(value, left) or _fits(value, right)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            choices = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return value in [choice.value for choice in choices if isinstance(choice, ast.Constant)]
        case ast.Subscript(value=ast.Name(id="Sequence" | "list" | "tuple"), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return isinstance(value, list | tuple) and all(_fits(item, items[0]) for item in value)
        case _:
            return True
