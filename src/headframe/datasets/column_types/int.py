"""Whole numbers."""

import math
from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class Int(ColumnType):
    """Whole numbers of 64 bits."""

    stored: ClassVar[pa.DataType] = pa.int64()
    listed: ClassVar[tuple[str, ...]] = ("int",)
    constraints: ClassVar[tuple[str, ...]] = ("min", "max", "one_of", "unique")
    ordered: ClassVar[bool] = True

    @override
    def bounds(self, contract: ColumnContract) -> tuple[int | None, int | None]:
        # A float beside whole numbers would have them rounded to floats before they are compared.
        low = None if contract.min is None or contract.min == -math.inf else math.ceil(contract.min)
        high = None if contract.max is None or contract.max == math.inf else math.floor(contract.max)
        return low, high
