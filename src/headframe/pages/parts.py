"""What templates show besides text: tables, interval plots and pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from headframe.pages.numbers import limits, number
from headframe.records import Interval

_TICKS = 5  # at most
_EDGE = 8.0  # per cent of the width that stays free on either side, for the labels of the outer ticks


@dataclass(frozen=True)
class PageTable:
    """A table; on narrow screens each row becomes a list of its cells."""

    columns: Sequence[str]  # headings; one that begins with # is of a column of numbers
    rows: Sequence[Sequence[str]]  # of text, where backticks mark code
    marked: frozenset[int] = frozenset()  # positions of rows that stand out


@dataclass(frozen=True)
class Picture:
    """A plot as a file; `source` is a `data:` address, or a path relative to the page."""

    caption: str
    source: str


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, whose limits may be missing."""

    name: str  # what was measured
    interval: Interval
    values: Sequence[float] = ()  # what the value is the mean of, drawn as small dots
    marked: bool = False  # whether it stands out

    @property
    def text(self) -> str:
        """The value and its limits."""
        return f"{number(self.interval.value)} ({limits(self.interval)})"


@dataclass(frozen=True)
class IntervalPlot:
    """Estimates with their intervals on one axis, one below the other; Markdown leaves it out.

    Attributes:
        estimates: from the top, at least one.
        axis: what is measured.
        guide: where a dashed line crosses all rows, if anywhere.
        band: half the width of a shaded band around zero, if there is one.
    """

    estimates: Sequence[Estimate]
    axis: str
    guide: float | None = None
    band: float | None = None

    @cached_property
    def _ends(self) -> tuple[float, float]:
        ends: list[float | None] = [self.guide] if self.band is None else [-1.2 * self.band, 1.2 * self.band]
        for each in self.estimates:
            ends += [each.interval.low, each.interval.value, each.interval.high, *each.values]
        known = [end for end in ends if end is not None]
        low, high = min(known), max(known)
        margin = 0.0 if low < high else abs(low) * 0.01 or 1.0
        return low - margin, high + margin

    def at(self, value: float) -> str:
        """Return where a value lies, in per cent of the width."""
        low, high = self._ends
        return f"{_EDGE + (value - low) / (high - low) * (100 - 2 * _EDGE):.2f}%"

    @property
    def shaded(self) -> tuple[str, str] | None:
        """Where the band begins and how wide it is, in per cent of the width."""
        if self.band is None:
            return None
        low, high = self._ends
        return self.at(-self.band), f"{2 * self.band / (high - low) * (100 - 2 * _EDGE):.2f}%"

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """Round values, 1, 2 or 5 times a power of ten apart, each with its position."""
        low, high = self._ends
        power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
        step = next(each * power for each in (1, 2, 5, 10) if (high - low) / (each * power) <= _TICKS)
        values = [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
        return [(self.at(value), f"{value:.6g}") for value in values]
