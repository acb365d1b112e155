"""Why a tree is no plan, in sentences that need no knowledge of pydantic."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from headframe.config.project import Project
from headframe.config.targets.nearest import nearest
from headframe.config.targets.plan_keys import keys_at
from headframe.config.targets.signature import missing_arguments
from headframe.config.targets.value_types import quotes_advice
from headframe.errors import shown

EXPECTED = {
    "tuple_type": "expected a list, as in {name}=[a,b]",
    "dict_type": "expected keys with values",
    "model_type": "expected keys with values",
    "model_attributes_type": "expected keys with values",
    "invalid_key": "expected text as key; write it in quotes",
    "string_type": "expected text",
    "string_too_short": "expected text that is not empty",
    "too_short": "expected at least one entry",
}
"""What pydantic calls an error, and what a value of the plan should have been."""

PATTERNS = {
    "^[a-z0-9][a-z0-9_-]*$": "a name of small letters, digits, - and _, as in my-model",
    "^[0-9a-f]{64}$": "64 digits 0 to 9 and a to f",
    "^[a-z][a-z0-9]*:.+": "SCHEME:ADDRESS, as in file:raw/rows.csv",
}
"""The patterns of texts in the plan, in words."""


def describe_errors(error: ValidationError, tree: Mapping[str, Any], project: Project) -> str:
    """Return a message on the first thing that is wrong: key, what came, what was expected; and all that is missing."""
    errors, missing = error.errors(include_url=False), missing_keys(error, tree, project)
    wrong = next((each for each in errors if each["type"] != "missing"), None)
    if wrong is None:
        return without_value(missing)
    return _wrong_value(wrong, tree, project) + (f"; moreover, {without_value(missing)}" if missing else "")


def missing_in_components(tree: Mapping[str, Any], project: Project) -> list[str]:
    """Return the keys of what the targets of a plan cannot do without, and do not get."""
    found = [
        missing_arguments(".".join(path), node, project.root / "src")
        for path, node in components((), tree)
        if isinstance(node["_target_"], str)
    ]
    return [key for keys in found for key in keys]


def missing_keys(error: ValidationError, tree: Mapping[str, Any], project: Project) -> list[str]:
    """Return all keys that have no value and need one, each once."""
    errors = error.errors(include_url=False)
    keys = [".".join(_path(each["loc"])) for each in errors if each["type"] == "missing"]
    return [*dict.fromkeys([*keys, *missing_in_components(tree, project)])]


def without_value(keys: Sequence[str]) -> str:
    """Return a message on keys that have no value and need one."""
    if len(keys) == 1:
        return f"{keys[0]} has no value; give it one, as in {keys[0]}=VALUE"
    return f"{', '.join(keys[:-1])} and {keys[-1]} have no value; give each one, as in {keys[0]}=VALUE"


def _path(location: Sequence[int | str]) -> list[str]:
    """Return the keys that lead to an error; pydantic adds the chosen branch of a union, which no user wrote."""
    path: list[str] = []
    for part in map(str, location):
        if part == "[key]":  # pydantic's mark of an error in the key itself
            continue
        is_branch = part in {"model", "ensemble"} and path[-1:] == ["model"] and path[-2:-1] != ["members"]
        path += [] if is_branch else [part]
    return path


def _wrong_value(first: ErrorDetails, tree: Mapping[str, Any], project: Project) -> str:
    path = _path(first["loc"])
    name = ".".join(path)
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    match first["type"]:
        case "extra_forbidden":
            known = keys_at(path[:-1], tree, project.root / "src") - {path[-1]}
            return f"{name}: the plan has no such key; {nearest(path[-1], known)}"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
            hint = nearest(str(first["input"]), choices)
            meant = f"; {hint}" if hint.startswith("did you mean") else ""
            return f"{name}={first['input']}: expected one of {', '.join(choices)}{meant}"
        case "value_error" | "type_error":
            return f"{name}: {message}" if name else message
        case kind:
            hint = quotes_advice(first["input"]) if kind == "string_type" else ""
            pattern = PATTERNS.get(str(first.get("ctx", {}).get("pattern")))
            expected = f"expected {pattern}" if pattern else EXPECTED.get(kind, f"{message[0].lower()}{message[1:]}")
            value = "null" if first["input"] is None else shown(first["input"])
            return f"{name}={value}: {expected.format(name=name)}{hint}"


def components(path: tuple[str, ...], node: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every mapping with a `_target_`, with its path."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, dict(node)
        for key, inner in node.items():
            yield from components((*path, str(key)), inner)
