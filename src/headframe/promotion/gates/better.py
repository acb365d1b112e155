"""Better than the champion on the same rows, by a paired test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Better:
    """Ask that the version is better than the champion by more than chance."""

    alpha: float = 0.05
