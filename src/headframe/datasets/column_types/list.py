"""Lists of text, such as baskets."""

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.cells.constraints import CellConstraint, list_checks, list_entries, value_constraints
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType, list_of


class List(ColumnType):
    """A list of text in each cell, of any length; lengths are those of lists, all else is of their entries."""

    stored: ClassVar[pa.DataType] = list_of(pa.string())
    constraints: ClassVar[tuple[str, ...]] = ("one_of", "min_length", "max_length", "matches")
    listed: ClassVar[tuple[str, ...]] = ("str",)
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False

    @override
    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        yield from list_checks(contract)
        of_entries = contract.model_copy(update={"min_length": None, "max_length": None})
        yield from value_constraints(of_entries, None, None, list_entries)
