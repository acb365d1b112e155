"""Whole numbers."""

from typing import ClassVar

import pyarrow as pa

from headframe.datasets.column_types.base import ColumnType


class Int(ColumnType):
    """Whole numbers of 64 bits."""

    stored: ClassVar[pa.DataType] = pa.int64()
    constraints: ClassVar[tuple[str, ...]] = ("min", "max", "one_of", "unique")
    ordered: ClassVar[bool] = True
