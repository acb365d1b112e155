"""Figures as every page and card shows them."""

import json
from typing import Any

from headframe.records import Interval


def number(value: float) -> str:
    """Format a measured number: four significant digits, no exponent where it can be read without.

    >>> [number(value) for value in (0.99612, 1.0, 12.3456, 123456.7, 2e-5)]
    ['0.9961', '1.0000', '12.35', '123,457', '2e-05']
    """
    if value == 0 or 1e-3 <= abs(value) < 1e6:  # noqa: PLR2004 - where an exponent only hides the number
        digits = max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) > 1 else 4
        return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def signed(value: float) -> str:
    """Format a difference with its sign."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def limits(interval: Interval) -> str:
    """Format the limits of an interval."""
    if interval.low is None or interval.high is None:
        return "no interval"
    return f"{number(interval.low)} to {number(interval.high)}"


def difference(change: Interval) -> str:
    """Format a difference with its sign and its limits."""
    if change.low is None or change.high is None:
        return f"{signed(change.value)} (no interval)"
    return f"{signed(change.value)} ({signed(change.low)} to {signed(change.high)})"


def setting(value: Any) -> str:
    """Format a value of JSON whatever its type: `none`, `true`, four significant digits, or JSON.

    >>> [setting(value) for value in (None, True, 12345, 0.123456, "macro", [1, 2])]
    ['none', 'true', '12,345', '0.1235', 'macro', '[1, 2]']
    """
    match value:
        case str():
            return value
        case None | bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case _:
            return json.dumps(value, ensure_ascii=False)
