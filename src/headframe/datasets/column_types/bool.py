"""Truth values."""

from typing import ClassVar

import pyarrow as pa

from headframe.datasets.column_types.base import ColumnType


class Bool(ColumnType):
    """True or false."""

    stored: ClassVar[pa.DataType] = pa.bool_()
    values: ClassVar[tuple[bool, ...]] = (False, True)
    listed: ClassVar[tuple[str, ...]] = ("bool",)
    constraints: ClassVar[tuple[str, ...]] = ("one_of", "unique")
