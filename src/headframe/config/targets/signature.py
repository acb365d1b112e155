"""Check the arguments of a `_target_` against its signature by reading the source, without importing it.

Importing torch or scikit-learn to find a spelling mistake would cost seconds; the abstract syntax tree
shows names, types and ranges in milliseconds. What the source does not show is left to the constructor.
"""

import ast
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from headframe.config.targets import value_types
from headframe.config.targets.find_definition import (
    TargetDefinition,
    components_in,
    find_definition,
    has_method,
    module_file,
    names_in,
)
from headframe.config.targets.nearest import nearest
from headframe.config.targets.sklearn_constraints import constraints
from headframe.config.targets.value_types import ANYTHING, ValueType, quotes_advice
from headframe.errors import ConfigurationError, shown

Parameters = dict[str, ValueType]

TORCH_OPTIM: Parameters = {
    "lr": value_types.numeric(gt=0),
    "momentum": value_types.numeric(ge=0, lt=1),
    "betas": value_types.sequence(value_types.numeric(ge=0, lt=1), 2, 2),
    "weight_decay": value_types.numeric(ge=0),
    "eps": value_types.numeric(ge=0),
}
"""Ranges of optimisers' settings, which torch itself checks in code only, once a network is there."""

WITHOUT_CONSTRUCTOR = frozenset({"ABC", "Generic", "Protocol", "object"})
"""Bases that take no arguments."""

ODD = {"odd": True}
"""What `Field(json_schema_extra=...)` says of whole numbers that must be odd."""

PASSED: dict[str, tuple[int, tuple[str, ...]]] = {
    "optimizer": (1, ()),  # the weights
    "scheduler": (1, ("total_steps", "steps_per_epoch")),  # besides the optimiser
    "method": (2, ()),  # the network and the task
    "model": (2, ()),  # the shapes of inputs and outputs, where it is a network and not an estimator or an ensemble
}
"""What training passes to components of these places: how many arguments by position, and which by name."""

SETTINGS = frozenset({"_target_", "tiny"})
"""Keys that every component may have besides its target's arguments."""


def check_arguments(path: str, node: Mapping[str, Any], own_source: Path, schema: Collection[str] = SETTINGS) -> None:
    """Refuse an argument that the target of `node` does not have, or that is of another type or out of range.

    Args:
        path: the key of the node in the plan, for the message.
        node: a mapping with `_target_`.
        own_source: the project's `src/`.
        schema: keys of the node that the plan's schema reads, so that the target does not get them.

    Raises:
        ConfigurationError: the target does not exist, or an argument does not fit it.
    """
    target = str(node["_target_"])
    module, _, name = target.rpartition(".")
    if module_file(module, own_source) is None:
        raise ConfigurationError(f"{path}._target_={target}: there is no module {module}; write package.module.Name")
    known = names_in(module, own_source)
    if known is not None and name not in known:
        hint = nearest(name, components_in(module, own_source))
        raise ConfigurationError(f"{path}._target_={target}: {module} defines no {name}; {hint}")
    parameters = settings_of(path, node, own_source)
    if parameters is None:
        return
    given = [(path, key, value) for key, value in node.items() if key not in schema]
    given += [(f"{path}.tiny", key, value) for key, value in node.get("tiny", {}).items() if "tiny" in schema]
    for place, key, value in given:
        if key not in parameters:
            msg = f"{place}.{key}: {name} has no such setting; {nearest(key, {*parameters, *schema} - {'_target_'})}"
            raise ConfigurationError(msg)
        expected = parameters[key]
        if not expected.accepts(value):
            hint = f"; {nearest(value, expected.choices)}" if isinstance(value, str) and expected.choices else ""
            hint += quotes_advice(value, expected.accepts)
            raise ConfigurationError(f"{place}.{key}={shown(value)}: {name} expects {expected.description}{hint}")


def missing_arguments(path: str, node: Mapping[str, Any], own_source: Path) -> list[str]:
    """Return the keys of the arguments that the target of `node` cannot do without, and that nothing gives it.

    Args:
        path: the key of the node in the plan.
        node: a mapping with `_target_`.
        own_source: the project's `src/`.
    """
    settings = settings_of(path, node, own_source) or {}
    return [f"{path}.{key}" for key, expected in settings.items() if expected.required and key not in node]


def settings_of(path: str, node: Mapping[str, Any], own_source: Path) -> Parameters | None:
    """Return the parameters of the target of `node` that a plan may set; None where the source does not show them.

    Those that training passes by itself are not among them; see `missing_arguments`.
    """
    target, place = str(node["_target_"]), path.rpartition(".")[2]
    parameters = parameters_of(target, own_source)
    if parameters is None:
        return None
    positional, named = PASSED.get(place, (0, ()))
    if place == "model" and ("members" in node or has_method(target, "fit", own_source)):
        positional = 0
    return {key: parameters[key] for key in [*parameters][positional:] if key not in named}


@lru_cache(maxsize=512)
def parameters_of(target: str, own_source: Path) -> Parameters | None:
    """Return the type of each parameter of a class or function; None where the source does not show them."""
    module, _, name = target.rpartition(".")
    found = find_definition(module, name, own_source)
    if found is None:
        return None
    if isinstance(found.node, ast.FunctionDef):
        return _parameters(found.node, found.module, own_source)
    parameters = _constructor(found, own_source)
    if parameters is None:
        return None
    ranges = constraints(found, own_source) if module.startswith("sklearn.") else {}
    if module.startswith("torch.optim"):
        ranges = TORCH_OPTIM
    return {
        key: expected
        if key not in ranges
        else replace(ranges[key], required=True)
        if expected.required
        else ranges[key]
        for key, expected in parameters.items()
    }


def _constructor(found: TargetDefinition, own_source: Path) -> Parameters | None:
    """Read the parameters of a class from its `__init__`, its dataclass fields or its bases."""
    node = found.node
    if not isinstance(node, ast.ClassDef):
        return None
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _parameters(item, found.module, own_source, skip=1)
    inherited: Parameters = {}
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(name, ast.Name) and name.id in WITHOUT_CONSTRUCTOR:
            continue
        definition = find_definition(found.module, name.id, own_source) if isinstance(name, ast.Name) else None
        parameters = _constructor(definition, own_source) if definition is not None else None
        if parameters is None:
            return None
        inherited = inherited or parameters
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    if not any(isinstance(mark, ast.Name) and mark.id == "dataclass" for mark in marks):
        return inherited
    fields = {
        item.target.id: _parameter(_value_type(item.annotation, found.module, own_source), has_default=_default(item))
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and not ast.unparse(item.annotation).startswith("ClassVar")
    }
    return {**inherited, **fields}


def _parameters(function: ast.FunctionDef, module: str, own_source: Path, skip: int = 0) -> Parameters | None:
    if function.args.kwarg is not None:
        return None
    positional = [*function.args.posonlyargs, *function.args.args]
    without = len(positional) - len(function.args.defaults)
    defaults = [place >= without for place in range(len(positional))]
    defaults += [default is not None for default in function.args.kw_defaults]
    arguments = zip((*positional, *function.args.kwonlyargs), defaults, strict=True)
    return {
        argument.arg: _parameter(_value_type(argument.annotation, module, own_source), has_default=has_default)
        for argument, has_default in [*arguments][skip:]
    }


def _parameter(expected: ValueType, *, has_default: bool) -> ValueType:
    return expected if has_default else replace(expected, required=True)


def _default(field: ast.AnnAssign) -> bool:
    """Return whether a field of a dataclass has a default."""
    if isinstance(field.value, ast.Call) and isinstance(field.value.func, ast.Name) and field.value.func.id == "field":
        return any(keyword.arg in {"default", "default_factory"} for keyword in field.value.keywords)
    return field.value is not None


def _value_type(
    annotation: ast.expr | None, module: str, own_source: Path, bounds: Mapping[str, Any] | None = None
) -> ValueType:
    """Translate an annotation; anything is accepted wherever the source is ambiguous.

    Its names have their meaning in `module`; `bounds` are the keywords of the pydantic `Field` around it.
    """
    given = bounds or {}

    def inner(part: ast.expr) -> ValueType:
        return _value_type(part, module, own_source)

    match annotation:
        case ast.Constant(value=None):
            return value_types.NULL
        case ast.Name(id="int" | "float" as type_name):
            limits = {key: value for key, value in given.items() if key in {"ge", "gt", "le", "lt"}}
            return value_types.numeric(whole=type_name == "int", odd=given.get("json_schema_extra") == ODD, **limits)
        case ast.Name(id="bool"):
            return value_types.BOOLEAN
        case ast.Name(id="str"):
            return value_types.TEXT
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return value_types.union(_value_type(side, module, own_source, given) for side in (left, right))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            return value_types.literal(choice.value for choice in _elements(inside) if isinstance(choice, ast.Constant))
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[base, *marks])):
            keywords = _field_keywords(marks)
            found_type = _value_type(base, module, own_source, {**given, **keywords})
            refers_to = keywords.get("json_schema_extra", {}).get("refers_to", found_type.refers_to)
            return replace(found_type, refers_to=refers_to)
        case ast.Subscript(value=ast.Name(id="Sequence" | "list" | "tuple"), slice=inside):
            return value_types.sequence(
                inner(_elements(inside)[0]), given.get("min_length", 0), given.get("max_length", float("inf"))
            )
        case ast.Subscript(value=ast.Name(id="Mapping" | "dict"), slice=ast.Tuple(elts=[key, item])):
            return value_types.mapping(inner(key), inner(item))
        case ast.Name(id=name):
            found = find_definition(module, name, own_source)
            if found is not None and isinstance(found.node, ast.Assign | ast.AnnAssign):
                return _value_type(found.node.value, found.module, own_source, given)
            return ANYTHING
        case _:
            return ANYTHING


def _elements(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _field_keywords(marks: list[ast.expr]) -> dict[str, Any]:
    """Read the keywords of each `Field(...)` among the marks of an `Annotated`."""
    return {
        keyword.arg: ast.literal_eval(keyword.value)
        for mark in marks
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "Field"
        for keyword in mark.keywords
        if keyword.arg is not None
    }
