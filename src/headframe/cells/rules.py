"""What the files of a data set mean by the text of a cell; the same at scoring as in training."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class CellRules:
    """From the text of a cell to its value, still as text; null where it means that there is none.

    Applying the rules to a value changes nothing, so rows that come from the table stay as they are.

    Attributes:
        missing: cells that mean "no value", in any column.
        trim: drop blanks around each cell.
        endings: by column, what to cut off the end of a cell where it is there, as often as it is there.
    """

    missing: tuple[str, ...] = ()
    trim: bool = False
    endings: Mapping[str, str] = field(default_factory=dict)

    def clean(self, column: str, cells: Any) -> Any:
        """Return the cells of a column, an array of strings or dictionary-encoded ones, as strings."""
        cells = self._without_missing(self._trimmed(pc.cast(cells, pa.string())))
        if column not in self.endings:
            return cells
        ending = re.escape(self.endings[column]) + "$"
        while True:
            shorter = self._trimmed(pc.replace_substring_regex(cells, ending, ""))
            if shorter.equals(cells):
                return self._without_missing(cells)
            cells = shorter

    def clean_numbers(self, numbers: Any) -> Any:
        """Return the numbers of a column, null where one equals a marker of missing values such as `-999`."""
        markers = [number for cell in self.missing if (number := _number(cell, numbers.type)) is not None]
        nothing = pc.is_in(numbers, pa.array(markers, numbers.type))
        return pc.if_else(nothing, pa.scalar(None, numbers.type), numbers)

    def _trimmed(self, cells: Any) -> Any:
        return pc.utf8_trim_whitespace(cells) if self.trim else cells

    def _without_missing(self, cells: Any) -> Any:
        nothing = pc.is_in(cells, pa.array(self.missing, pa.string()))
        return pc.if_else(nothing, pa.scalar(None, pa.string()), cells)


def _number(cell: str, kind: Any) -> pa.Scalar | None:
    """Return a cell as a number in the type of a column; None where it is none of that type."""
    try:
        return pa.scalar(int(cell) if pa.types.is_integer(kind) else float(cell), kind)
    except (ValueError, OverflowError):  # Arrow's own are ValueErrors
        return None
