"""Numbers as people read them."""

from __future__ import annotations


def number(value: float) -> str:
    """Spell a measured number: four significant digits, no exponent where it can be read without."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:  # noqa: PLR2004 - where an exponent only hides the number
        digits = max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 4
        return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def _sign(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
