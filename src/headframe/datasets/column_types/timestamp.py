"""Points in time."""

from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class Timestamp(ColumnType):
    """Points in time, to the microsecond; local times unless the contract names their zone."""

    stored: ClassVar[pa.DataType] = pa.timestamp("us")
    constraints: ClassVar[tuple[str, ...]] = ("unique", "zone")
    ordered: ClassVar[bool] = True

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        return pa.timestamp("us", contract.zone)
