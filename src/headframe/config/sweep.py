"""One command line, several plans: `model=cnn,lstm seed=range(3)`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from headframe.errors import ConfigurationError


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each run, in the order of Hydra's own sweeper.

    Args:
        overrides: Hydra's override grammar; `choice`, `range`, `interval`-free lists and `glob`-free commas.

    Raises:
        ConfigurationError: an override is no `key=value`, or a sweep has no value.
    """
    axes: list[list[str]] = []
    parser = OverridesParser.create()
    for text in overrides:
        try:
            (override,) = parser.parse_overrides([text])
        except OverrideParseException:
            msg = f"{text!r} is no override; write key=value, as in trainer.max_epochs=3"
            raise ConfigurationError(msg) from None
        if override.is_sweep_override():
            key = override.get_key_element()
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            if not axes[-1]:
                msg = f"{text!r} names no value, so nothing would run; name at least one, as in seed=range(3)"
                raise ConfigurationError(msg)
        else:
            axes.append([text])
    return [list(choice) for choice in product(*axes)]
