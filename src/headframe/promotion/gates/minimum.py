"""The leading metric reaches a bound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Minimum:
    """Ask that the leading metric reaches a value, or stays under it where less is better."""

    value: float | None = None
