"""Types of values: which YAML values a setting accepts, and how a message describes them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ValueType:
    """A set of values.

    Attributes:
        description: what they are, for messages; empty where they are not suggested to anybody.
        accepts: whether a value is one of them.
        choices: the texts among them, where they can be listed.
        refers_to: what of the data set the values name: `inputs`, `target` or `columns`, of one type where it follows a
            colon; empty for nothing.
        required: of a parameter: whether it has no default.
    """

    description: str
    accepts: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    refers_to: str = ""
    required: bool = False


ANYTHING = ValueType("anything", lambda _: True)
NOTHING = ValueType("", lambda _: False)
NULL = ValueType("null", lambda value: value is None)
BOOLEAN = ValueType("true or false", lambda value: isinstance(value, bool))
TEXT = ValueType("text", lambda value: isinstance(value, str))
MAPPING = ValueType("keys with values", lambda value: isinstance(value, Mapping))


def numeric(
    *,
    whole: bool = False,
    odd: bool = False,
    ge: float = -math.inf,
    gt: float = -math.inf,
    le: float = math.inf,
    lt: float = math.inf,
) -> ValueType:
    """Return the type of finite numbers, or whole or odd ones, within bounds."""
    bounds = [
        f"{relation} {bound:g}"
        for relation, bound in (("at least", ge), ("greater than", gt), ("at most", le), ("less than", lt))
        if math.isfinite(bound)
    ]

    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return False
        in_bounds = value >= ge and value > gt and value <= le and value < lt
        return math.isfinite(value) and in_bounds and (value % 2 == 1 or not odd)

    description = "an odd number" if odd else "a whole number" if whole else "a number"
    return ValueType(f"{description} ({', '.join(bounds)})" if bounds else description, accepts)


def literal(values: Iterable[Any]) -> ValueType:
    """Return the type of some listed values."""
    known = tuple(values)

    def accepts(value: Any) -> bool:
        return any(value == choice and type(value) is type(choice) for choice in known)

    names = ", ".join("null" if value is None else str(value) for value in known)
    return ValueType(f"one of {names}", accepts, tuple(value for value in known if isinstance(value, str)))


def sequence(item: ValueType, least: int = 0, most: float = math.inf) -> ValueType:
    """Return the type of lists of `least` to `most` items, each of one type; of names, each comes once."""
    are_names = bool(item.refers_to or item.choices)

    def accepts(value: Any) -> bool:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            return False
        return all(map(item.accepts, value)) and not (are_names and len({*value}) < len(value))

    length = f" of {least}" if least == most else f" of {least} or more" if least else ""
    description = f"a list{length}" if item is ANYTHING else f"a list{length}, each {item.description}"
    description += " and named once" if are_names else ""
    return ValueType(description, accepts, refers_to=item.refers_to)


def mapping(key: ValueType, value: ValueType) -> ValueType:
    """Return the type of keys with values, each of one type."""

    def accepts(given: Any) -> bool:
        return isinstance(given, Mapping) and all(map(key.accepts, given)) and all(map(value.accepts, given.values()))

    parts = [f"{name} {kind.description}" for name, kind in (("keys", key), ("values", value)) if kind is not ANYTHING]
    return ValueType(f"{MAPPING.description}: {', '.join(parts)}" if parts else MAPPING.description, accepts)


def quotes_advice(value: Any, accepts: Callable[[Any], bool] = lambda _: True) -> str:
    """Return the end of a message on a value that YAML does not take for text, but would in quotes.

    >>> quotes_advice(["maybe", True])
    '; YAML takes yes, no, on, off, true and false for truth values: write "yes" or the like in quotes'
    >>> quotes_advice("text")
    ''

    Args:
        value: as it came from YAML; may hold others.
        accepts: whether a value would do; without quotes it does not.
    """
    other = next((each for each in _leaves(value) if not isinstance(each, str)), "")
    if isinstance(other, str) or not accepts(_in_quotes(value)):
        return ""
    if isinstance(other, bool):
        return '; YAML takes yes, no, on, off, true and false for truth values: write "yes" or the like in quotes'
    if other is None:
        return '; YAML takes null, ~ and nothing for no value: write "null" or the like in quotes'
    return f'; YAML takes 012, 1_000 or 1e3 for numbers, here for {other!r}: write it in quotes, as in "012"'


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from _leaves(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _in_quotes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _in_quotes(each) for key, each in value.items()}
    return [_in_quotes(each) for each in value] if isinstance(value, list | tuple) else str(value)


def union(types: Iterable[ValueType]) -> ValueType:
    """Return the type of values of any of several types."""
    known = list(types)
    if ANYTHING in known:
        return ANYTHING
    return ValueType(
        " or ".join(dict.fromkeys(each.description for each in known if each.description)),
        lambda value: any(each.accepts(value) for each in known),
        tuple(choice for each in known for choice in each.choices),
        next((each.refers_to for each in known if each.refers_to), ""),
    )
