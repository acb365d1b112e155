"""Refuse a command line that gives one key twice, of which only the last would count."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from headframe.errors import ConfigurationError


def refuse_repeated(overrides: Sequence[Override]) -> None:
    """Refuse two overrides of one key, and of a key within what the other one gives as a whole.

    A choice of a group and values in what it chooses are no such pair: `model=cnn model.dropout=0`.

    Raises:
        ConfigurationError: naming both.
    """
    given: list[tuple[str, Override]] = []
    for override in overrides:
        for key in _keys(override.get_key_element().lstrip("+~"), override.value()):
            for other, earlier in given:
                if key == other or _is_within(key, other, earlier) or _is_within(other, key, override):
                    first, second = earlier.input_line, override.input_line
                    raise ConfigurationError(f"{first} and {second} both give {min(key, other)}; leave one of them out")
            given.append((key, override))


def _keys(key: str, value: Any) -> Iterator[str]:
    """Yield the keys to which an override gives values; those of a mapping, one by one."""
    if not isinstance(value, Mapping) or not value:
        yield key
        return
    for name, inner in value.items():
        yield from _keys(f"{key}.{name}", inner)


def _is_within(key: str, whole: str, override: Override) -> bool:
    """Return whether a key lies in what an override gives as a whole; it does not where that is a file's name."""
    return key.startswith(f"{whole}.") and (override.is_sweep_override() or not isinstance(override.value(), str))
