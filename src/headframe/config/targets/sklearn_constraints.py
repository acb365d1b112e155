"""Which arguments scikit-learn's estimators accept: their `_parameter_constraints`, read from the source."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headframe.config.targets import value_types
from headframe.config.targets.find_definition import TargetDefinition, find_definition
from headframe.config.targets.value_types import ANYTHING, ValueType

TABLE = "_parameter_constraints"

NAMED: dict[str, ValueType] = {
    "boolean": value_types.BOOLEAN,
    "verbose": value_types.union([value_types.BOOLEAN, value_types.numeric(whole=True, ge=0)]),
    "random_state": value_types.union([value_types.numeric(whole=True, ge=0, lt=2**32), value_types.NULL]),
    "array-like": value_types.sequence(ANYTHING),
}
"""Constraints that are written as a name."""

TYPES: dict[str, ValueType] = {
    "Integral": value_types.numeric(whole=True),
    "Real": value_types.numeric(),
    "str": value_types.TEXT,
    "dict": value_types.MAPPING,
    "list": value_types.sequence(ANYTHING),
    "tuple": value_types.sequence(ANYTHING),
    "callable": value_types.NOTHING,  # no YAML value is one
}
"""Constraints that are written as a type."""


def constraints(found: TargetDefinition, own_source: Path) -> dict[str, ValueType]:
    """Return the type of each parameter of an estimator, as far as its source shows it."""
    return {
        name: value_types.union(_value_type(one) for one in given.elts) if isinstance(given, ast.List) else ANYTHING
        for name, given in _table(found, own_source).items()
    }


def _table(found: TargetDefinition, own_source: Path) -> dict[str, ast.expr]:
    """Read the table of a class, or of its first base that has one."""
    if not isinstance(found.node, ast.ClassDef):
        return {}

    def of(name: str) -> dict[str, ast.expr]:
        base = find_definition(found.module, name, own_source)
        return _table(base, own_source) if base is not None else {}

    table: dict[str, ast.expr] | None = None
    for statement in found.node.body:
        match statement:
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict() as value)
                | ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as value)
            ) if name == TABLE:
                table = _entries(value, of)
            case _ if table is not None:
                _change(table, statement, of)
    if table is not None:
        return table
    inherited = (of(base.id) for base in found.node.bases if isinstance(base, ast.Name))
    return next((each for each in inherited if each), {})


def _entries(node: ast.Dict, of: Callable[[str], dict[str, ast.expr]]) -> dict[str, ast.expr]:
    """Read a dictionary, `**Other._parameter_constraints` included."""
    found: dict[str, ast.expr] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        match key, value:
            case None, ast.Attribute(value=ast.Name(id=name), attr=attribute) if attribute == TABLE:
                found.update(of(name))
            case ast.Constant(value=str(name)), _:
                found[name] = value
    return found


def _change(table: dict[str, ast.expr], statement: ast.stmt, of: Callable[[str], dict[str, ast.expr]]) -> None:
    """Follow what a class does to its table after it: `pop`, `update`, and `pop` of several in a loop."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=verb), args=[argument, *_])):
            if owner == TABLE and verb == "pop" and isinstance(argument, ast.Constant):
                table.pop(str(argument.value), None)
            elif owner == TABLE and verb == "update" and isinstance(argument, ast.Dict):
                table.update(_entries(argument, of))
        case ast.For(iter=ast.List(elts=names) | ast.Tuple(elts=names)):
            for name in names:
                if isinstance(name, ast.Constant):
                    table.pop(str(name.value), None)


def _value_type(node: ast.expr) -> ValueType:
    """Translate one constraint; anything is accepted where it is not understood."""
    match node:
        case ast.Constant(value=None):
            return value_types.NULL
        case ast.Constant(value=str(name)):
            return NAMED.get(name, ANYTHING)
        case ast.Name(id=name):
            return TYPES.get(name, ANYTHING)
        case ast.Call(func=ast.Name(id="Hidden"), args=[ast.Name()]):
            return value_types.NOTHING  # an instance of a class, which no YAML value is
        case ast.Call(func=ast.Name(id="Hidden"), args=[inner]):
            known = _value_type(inner)
            return known if known is ANYTHING else ValueType("", known.accepts)
        case ast.Call(func=ast.Name(id="StrOptions"), args=[ast.Set(elts=elements), *_]):
            return value_types.literal(sorted(str(one.value) for one in elements if isinstance(one, ast.Constant)))
        case ast.Call(func=ast.Name(id="Interval"), args=[ast.Name(id=type_name), low, high], keywords=[keyword]):
            try:
                least, most, closed = (ast.literal_eval(end) for end in (low, high, keyword.value))
            except ValueError:  # an end that is computed
                return ANYTHING
            return _interval(type_name, least, most, closed)
        case _:
            return ANYTHING


def _interval(type_name: str, low: float | None, high: float | None, closed: str) -> ValueType:
    bounds: dict[str, Any] = {}
    if low is not None:
        bounds["ge" if closed in {"left", "both"} else "gt"] = low
    if high is not None:
        bounds["le" if closed in {"right", "both"} else "lt"] = high
    expected = value_types.numeric(whole=type_name == "Integral", **bounds)
    if type_name == "RealNotInt":
        return ValueType(expected.description, lambda value: isinstance(value, float) and expected.accepts(value))
    return expected
