"""Points in time."""

from typing import ClassVar

import pyarrow as pa

from headframe.datasets.column_types.base import ColumnType


class Timestamp(ColumnType):
    """Points in time, to the microsecond, without a time zone."""

    stored: ClassVar[pa.DataType] = pa.timestamp("us")
    constraints: ClassVar[tuple[str, ...]] = ("unique",)
    ordered: ClassVar[bool] = True
