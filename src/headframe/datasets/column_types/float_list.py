"""Lists of numbers, such as series of one variable."""

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.cells.constraints import LARGEST, CellConstraint, list_checks, list_entries, value_constraints
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType, list_of


class FloatList(ColumnType):
    """Any number of finite numbers of 64 bits in each cell; bounds are of entries, lengths of lists."""

    stored: ClassVar[pa.DataType] = list_of(pa.float64())
    constraints: ClassVar[tuple[str, ...]] = ("min", "max", "min_length", "max_length")
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False

    @override
    def bounds(self, contract: ColumnContract) -> tuple[float | None, float | None]:
        low, high = contract.min, contract.max
        return -LARGEST if low is None else low, LARGEST if high is None else high

    @override
    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        yield from list_checks(contract)
        of_entries = contract.model_copy(update={"min_length": None, "max_length": None})
        yield from value_constraints(of_entries, *self.bounds(contract), list_entries)

    @override
    def block_bytes(self, contract: ColumnContract) -> int:
        return 4096  # a series of 512 numbers
