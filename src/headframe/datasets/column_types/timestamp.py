"""Points in time."""

from __future__ import annotations

import pyarrow as pa
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class Timestamp(ColumnType):
    """Points in time, to the microsecond, without a time zone."""

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        return pa.timestamp("us")
