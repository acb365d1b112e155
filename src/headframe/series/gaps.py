"""How rows that a series lacks are filled, where a plan says so. A choice is a class here or in the project's code."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.ranges import Count


class Gaps(ABC):
    """Fills gaps in the rows that a window looks back on; what it predicts is always measured.

    Attributes:
        limit: rows that may be missing at one place; a longer gap stays, and no window spans it.
        closes: whether rows count as neighbours whatever time lies between them, so that there are no gaps.
    """

    limit: int = 0
    closes: ClassVar[bool] = False

    @abstractmethod
    def fill(self, rows: pa.Table, before: np.ndarray, share: np.ndarray) -> pa.Table:
        """Return rows with those that are missing.

        Args:
            rows: those that came, in order of time.
            before: for each row to return the last one that came, int64, its index in `rows`.
            share: how much of the way to the next one that came lies behind it, from 0 (which came itself) to 1.
        """


class ForwardFill(Gaps):
    """Repeats the last row.

    Args:
        limit: rows that may be missing at one place.
    """

    def __init__(self, limit: Count) -> None:
        if limit < 1:
            raise ValueError(f"limit is a number of rows, at least 1, not {limit}")
        self.limit = limit

    def fill(self, rows: pa.Table, before: np.ndarray, share: np.ndarray) -> pa.Table:  # noqa: ARG002 - as in `Gaps`
        """See `Gaps.fill`."""
        return rows.take(pa.array(before))


class Interpolate(ForwardFill):
    """Interpolates columns of fractional numbers between the rows on both sides; the others repeat their last value.

    Args:
        limit: rows that may be missing at one place.
    """

    def fill(self, rows: pa.Table, before: np.ndarray, share: np.ndarray) -> pa.Table:
        """See `Gaps.fill`."""
        filled = super().fill(rows, before, share)
        after = rows.take(pa.array(np.minimum(before + 1, rows.num_rows - 1)))
        for position, field in enumerate(rows.schema):
            if pa.types.is_floating(field.type):
                left, right = filled.column(position), after.column(position)
                between = pc.add(left, pc.multiply(pc.subtract(right, left), pa.array(share)))
                # What came stays as it is to the last bit.
                filled = filled.set_column(position, field, pc.if_else(pa.array(share > 0), between, left))
        return filled


class Adjacent(Gaps):
    """Takes rows as neighbours whatever time lies between them: trading days without holidays, readings by event."""

    closes: ClassVar[bool] = True

    def fill(self, rows: pa.Table, before: np.ndarray, share: np.ndarray) -> pa.Table:  # noqa: ARG002 - as in `Gaps`
        """See `Gaps.fill`."""
        return rows
