"""Lists of text, such as baskets."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class List(ColumnType):
    """A list of text in each cell, of any length."""

    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        return pa.list_(pa.string())
