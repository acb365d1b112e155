"""Constraints on the cells of a column, checked on Arrow arrays: the same in a table and in a request."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.plan.data import ColumnContract
from headframe.errors import some

LARGEST = sys.float_info.max
"""The largest finite number, as a bound that every finite number keeps."""

Nested = Callable[[pa.Array], tuple[pa.Array, np.ndarray]]
"""From cells that are not missing to the values that they hold, and where in these each cell begins and ends: int64
(cells + 1,)."""


def whole(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return the cells themselves; see `Nested`."""
    return cells, np.arange(len(cells) + 1)


def tensor_entries(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return the numbers of all tensors; see `Nested`."""
    return cells.storage.flatten(), np.arange(len(cells) + 1) * cells.storage.type.list_size


def list_entries(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return the entries of all lists; see `Nested`."""
    return cells.flatten(), np.append(0, np.cumsum(np.asarray(pc.list_value_length(cells)), dtype=np.int64))


@dataclass(frozen=True)
class CellConstraint:
    """One constraint on the cells of a column.

    Attributes:
        name: what is checked, as reports have it.
        text: for people, to follow "column x".
        kept: returns for values without missing ones whether they keep it, bool (values,); None where it is that none
            is missing.
        settings: what it compares with, as reports have it.
        values: which values of the cells are meant.
    """

    name: str
    text: str
    kept: Callable[[pa.Array], np.ndarray] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    values: Nested = whole

    def wrong(self, cells: pa.Array) -> tuple[np.ndarray, Any]:
        """Return the positions of cells that do not keep it, ascending, and the first value that does not.

        Args:
            cells: without missing ones.
        """
        values, ends = self.values(cells)
        if self.kept is not None and not values.null_count:
            fine = self.kept(values)
        else:
            fine = np.asarray(values.is_valid())
            if self.kept is not None:
                fine = ~fine
                fine[~fine] = self.kept(values.drop_null())
        if fine.all():
            return np.empty(0, dtype=np.int64), None
        places = np.flatnonzero(~fine)
        return np.unique(np.searchsorted(ends, places, side="right") - 1), values[places[0]].as_py()


def value_constraints(
    contract: ColumnContract, low: float | None, high: float | None, values: Nested = whole, where: str = ""
) -> Iterator[CellConstraint]:
    """Yield what a contract says of single values.

    Args:
        contract: of the column, or of a field of its structs.
        low: the smallest value, where there is such a bound.
        high: the largest.
        values: which values of the cells are meant.
        where: added to each text.
    """
    if low is not None or high is not None:
        yield CellConstraint(
            "between",
            f"must be {range_text(low, high)}{where}",
            lambda found: within(found.to_numpy(zero_copy_only=False), low, high),
            {"min_value": low, "max_value": high},
            values,
        )
    if contract.one_of is not None:
        allowed = [*contract.one_of]
        yield CellConstraint(
            "in_set",
            f"must be one of {some(allowed)}{where}",
            lambda found: np.asarray(pc.is_in(found, pa.array(allowed).cast(found.type))),
            {"value_set": allowed},
            values,
        )
    if contract.min_length is not None or contract.max_length is not None:
        yield length_constraint(contract, "a length", pc.utf8_length, values, where)
    if contract.matches is not None:
        search = re.compile(whole_pattern(contract.matches)).search
        yield CellConstraint(
            "match",
            f"must match {contract.matches}{where}",
            lambda found: np.array([search(value) is not None for value in found.to_pylist()], dtype=bool),
            {"regex": whole_pattern(contract.matches)},
            values,
        )


def length_constraint(
    contract: ColumnContract, what: str, length: Callable[[pa.Array], Any], values: Nested = whole, where: str = ""
) -> CellConstraint:
    """Return the constraint on how long values are; `what` is that which `length` counts, for people."""
    shortest, longest = contract.min_length, contract.max_length
    return CellConstraint(
        "length_between",
        f"must have {what} of {range_text(shortest, longest)}{where}",
        lambda found: within(np.asarray(length(found)), shortest, longest),
        {"min_value": shortest, "max_value": longest},
        values,
    )


def list_checks(contract: ColumnContract) -> Iterator[CellConstraint]:
    """Yield what a contract says of lists as such: that no entry is missing, and how many there may be."""
    yield CellConstraint("not_null", "must have no missing entries", None, {}, list_entries)
    if contract.min_length is not None or contract.max_length is not None:
        yield length_constraint(contract, "a number of entries", pc.list_value_length)


def within(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Return which numbers are finite and keep their bounds; whole ones are compared as such."""
    fine = np.isfinite(values) if values.dtype.kind == "f" else np.ones_like(values, dtype=bool)
    if low is not None and low != -LARGEST:  # which float32 does not hold, and finite numbers keep
        fine &= values >= low
    if high is not None and high != LARGEST:
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


def _number(bound: float) -> str:
    """Return a bound in few digits, or in all where few would be another number."""
    short = f"{bound:g}"
    return short if float(short) == bound else str(bound)
