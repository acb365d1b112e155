"""Whole numbers."""

from __future__ import annotations

import pyarrow as pa
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class Int(ColumnType):
    """Whole numbers of 64 bits."""

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        return pa.int64()
