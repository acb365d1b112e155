"""What a contract says of single cells, checked on Arrow columns: the same rows in a table and in a request."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import LARGEST, column_type
from headframe.errors import RowError, shown, some


@dataclass(frozen=True)
class CellConstraint:
    """One constraint on the cells of a column.

    Attributes:
        text: for people, to follow "column x".
        kept: returns for cells without missing ones whether they keep it, bool (cells,), of arrays (cells, entries).
    """

    text: str
    kept: Callable[[pa.Array], np.ndarray]


class RowConstraints:
    """The constraints that every row keeps: bounds, values, lengths and patterns of its cells.

    Args:
        contract: by column; whether a cell may be missing is known from the schema, and repetitions only from a table.
    """

    def __init__(self, contract: Mapping[str, ColumnContract]) -> None:
        self.contract = dict(contract)
        self._constraints = {name: [*_cell_constraints(column)] for name, column in contract.items()}

    def require(self, rows: pa.Table) -> None:
        """Check each cell of rows in the types of the contract.

        Raises:
            RowError: a cell does not keep a constraint.
        """
        for name, constraints in self._constraints.items():
            column = rows.column(name)
            for constraint in constraints:
                found = first_wrong(column, constraint.kept)
                if found is not None:
                    row, value = found
                    after = f", but by the data set's contract it {constraint.text}"
                    raise RowError(f"column {name!r} holds {shown(value)}", row, after)


def first_wrong(column: pa.ChunkedArray, kept: Callable[[pa.Array], np.ndarray]) -> tuple[int, Any] | None:
    """Return the number (from 1) of the first row whose cell does not keep a constraint, and what it holds."""
    cells = column.combine_chunks()
    valued = cells.drop_null() if cells.null_count else cells
    fine = kept(valued)
    rows = fine if fine.ndim == 1 else fine.all(axis=1)
    if rows.all():
        return None
    first = int(np.argmin(rows))
    cell = valued[first].as_py() if fine.ndim == 1 else entries(valued)[first, int(np.argmin(fine[first]))].item()
    return int(np.flatnonzero(np.asarray(cells.is_valid()))[first]) + 1, cell


def entries(cells: pa.Array) -> np.ndarray:
    """Return the numbers of cells that are not missing: (cells,), of arrays (cells, entries)."""
    if isinstance(cells.type, pa.FixedShapeTensorType):
        return cells.to_numpy_ndarray().reshape(len(cells), -1)
    numbers: np.ndarray = cells.to_numpy(zero_copy_only=False)
    return numbers


def within(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Return which numbers are finite and keep their bounds; whole ones are compared as such."""
    fine = np.isfinite(values) if values.dtype.kind == "f" else np.ones_like(values, dtype=bool)
    if low is not None:
        fine &= values >= low
    if high is not None:
        fine &= values <= high
    return fine


def range_text(low: float | None, high: float | None) -> str:
    """Describe bounds, to follow "must be"."""
    bounds = []
    if low not in {None, -LARGEST}:
        bounds.append(f"at least {_number(low)}")
    if high not in {None, LARGEST}:
        bounds.append(f"at most {_number(high)}")
    return " and ".join(bounds) or "finite"


def whole_pattern(expression: str) -> str:
    """Return the regular expression that finds only strings of which all is meant."""
    return rf"^(?:{expression})\Z"


def _cell_constraints(contract: ColumnContract) -> Iterator[CellConstraint]:
    low, high = column_type(contract).bounds(contract)
    if low is not None or high is not None:
        yield CellConstraint(f"must be {range_text(low, high)}", lambda cells: within(entries(cells), low, high))
    if contract.one_of is not None:
        allowed = [*contract.one_of]
        yield CellConstraint(
            f"must be one of {some(allowed)}",
            lambda cells: np.asarray(pc.is_in(cells, pa.array(allowed).cast(cells.type))),
        )
    shortest, longest = contract.min_length, contract.max_length
    if shortest is not None or longest is not None:
        text = f"must have a length of {range_text(shortest, longest)}"
        yield CellConstraint(text, lambda cells: within(np.asarray(pc.utf8_length(cells)), shortest, longest))
    if contract.matches is not None:
        found = re.compile(whole_pattern(contract.matches)).search
        yield CellConstraint(
            f"must match {contract.matches}",
            lambda cells: np.array([found(cell) is not None for cell in cells.to_pylist()], dtype=bool),
        )


def _number(bound: float) -> str:
    """Return a bound in few digits, or in all where few would be another number."""
    short = f"{bound:g}"
    return short if float(short) == bound else str(bound)
