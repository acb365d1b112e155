"""Numbers."""

from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.cells.constraints import LARGEST
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class Float(ColumnType):
    """Finite numbers of 64 bits."""

    stored: ClassVar[pa.DataType] = pa.float64()
    listed: ClassVar[tuple[str, ...]] = ("int",)
    constraints: ClassVar[tuple[str, ...]] = ("min", "max", "one_of", "unique")
    ordered: ClassVar[bool] = True

    @override
    def bounds(self, contract: ColumnContract) -> tuple[float | None, float | None]:
        # Great Expectations passes infinity where no bound is given.
        low, high = contract.min, contract.max
        return -LARGEST if low is None else low, LARGEST if high is None else high
