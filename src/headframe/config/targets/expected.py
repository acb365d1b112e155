"""What a setting may be: a check of a YAML value, and the words that a message says it with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expected:
    """A set of values.

    Attributes:
        words: what they are, for people; empty where they are not offered.
        fits: tells whether a value is one of them.
        choices: the texts among them, where they can be counted.
    """

    words: str
    fits: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


ANYTHING = Expected("anything", lambda _: True)
NOTHING = Expected("", lambda _: False)
NULL = Expected("null", lambda value: value is None)
BOOLEAN = Expected("true or false", lambda value: isinstance(value, bool))
TEXT = Expected("text", lambda value: isinstance(value, str))
MAPPING = Expected("keys with values", lambda value: isinstance(value, Mapping))


def number(
    *,
    whole: bool = False,
    ge: float = -math.inf,
    gt: float = -math.inf,
    le: float = math.inf,
    lt: float = math.inf,
) -> Expected:
    """Expect a finite number, or a whole one, within bounds."""
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (("at least", ge), ("greater than", gt), ("at most", le), ("less than", lt))
        if math.isfinite(bound)
    ]

    def fits(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return False
        return math.isfinite(value) and value >= ge and value > gt and value <= le and value < lt

    words = "a whole number" if whole else "a number"
    return Expected(f"{words} ({', '.join(bounds)})" if bounds else words, fits)


def one_of(values: Iterable[Any]) -> Expected:
    """Expect one of some values."""
    known = tuple(values)

    def fits(value: Any) -> bool:
        return any(value == choice and type(value) is type(choice) for choice in known)

    words = ", ".join("null" if value is None else str(value) for value in known)
    return Expected(f"one of {words}", fits, tuple(value for value in known if isinstance(value, str)))


def items(each: Expected, least: int = 0, most: float = math.inf) -> Expected:
    """Expect a list of `least` to `most` items, each of which fits."""

    def fits(value: Any) -> bool:
        return isinstance(value, list | tuple) and least <= len(value) <= most and all(each.fits(one) for one in value)

    many = f" of {least}" if least == most else f" of {least} or more" if least else ""
    return Expected(f"a list{many}, each {each.words}" if each is not ANYTHING else f"a list{many}", fits)


def either(alternatives: Iterable[Expected]) -> Expected:
    """Expect what fits one of several."""
    known = list(alternatives)
    if ANYTHING in known:
        return ANYTHING
    return Expected(
        " or ".join(dict.fromkeys(each.words for each in known if each.words)),
        lambda value: any(each.fits(value) for each in known),
        tuple(choice for each in known for choice in each.choices),
    )
