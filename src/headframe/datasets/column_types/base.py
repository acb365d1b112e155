"""What every type of column declares."""

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa

from headframe.cells.constraints import CellConstraint, value_constraints
from headframe.config.build import look_up
from headframe.config.plan.component import column_type_target
from headframe.config.plan.data import ColumnContract


class ColumnType:
    """How the cells of a column are stored, and how a contract is checked on them.

    Attributes:
        stored: the Arrow type, where it is the same for all columns.
        constraints: keys of the contract, besides `nullable`, that are checked on its cells.
        values: all that a cell can hold, where they can be listed.
        listed: of which of Python's types the values are that the contract's `one_of` lists.
        needs: keys of the contract that it cannot do without.
        example: of the value of such a key, for messages.
        entry_types: Arrow types of entries that the contract's `values` may name.
        can_miss: whether a cell may hold no value; a contract's `nullable` then allows it.
        in_cell: whether a value can be read from one cell of text or one number.
        ordered: whether cells are in an order that can be that of time.
        groups: whether rows can be grouped by the values, as slices of an evaluation are.
        in_pandas: whether pandas holds the cells as single values, so that Great Expectations can check them.
    """

    stored: ClassVar[pa.DataType]
    constraints: ClassVar[tuple[str, ...]]
    values: ClassVar[tuple[bool, ...]] = ()
    listed: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""
    entry_types: ClassVar[tuple[str, ...]] = ()
    can_miss: ClassVar[bool] = True
    in_cell: ClassVar[bool] = True
    ordered: ClassVar[bool] = False
    groups: ClassVar[bool] = True
    in_pandas: ClassVar[bool] = True

    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        """Return the Arrow type of a column.

        Raises:
            ConfigurationError: the contract lacks what the type needs.
        """
        del column, contract  # for types that depend on them
        return self.stored

    def bounds(self, contract: ColumnContract) -> tuple[float | None, float | None]:
        """Return the smallest and the largest value that a cell may have; None where there is no such bound."""
        return contract.min, contract.max

    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        """Yield what is checked on cells that are not missing."""
        yield from value_constraints(contract, *self.bounds(contract))

    def block_bytes(self, contract: ColumnContract) -> int:
        """Return how many bytes of a cell count where rows are cut into blocks; 0 for short ones.

        Digests are taken block by block, so it depends on nothing but the contract.
        """
        del contract  # for types whose cells are large
        return 0


def list_of(entry: pa.DataType) -> pa.ListType:
    """Return the type of lists of one type of entry, with the name for entries that Parquet gives back."""
    return pa.list_(pa.field("element", entry))


def column_type(contract: ColumnContract) -> ColumnType:
    """Return the type of a column by the name that its contract gives."""
    found: ColumnType = look_up(column_type_target(contract.dtype), (f"{__name__}.{ColumnType.__name__}",))()
    return found
