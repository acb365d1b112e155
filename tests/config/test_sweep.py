"""Several runs in one line."""

from __future__ import annotations

import pytest

from headframe.config.sweep import expand
from headframe.errors import ConfigurationError


def test_a_sweep_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'seed=range\(0\)' names no value"):
        expand(["seed=range(0)"])
