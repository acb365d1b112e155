"""Text."""

from typing import ClassVar

import pyarrow as pa

from headframe.datasets.column_types.base import ColumnType


class String(ColumnType):
    """Text, encoded in UTF-8."""

    stored: ClassVar[pa.DataType] = pa.string()
    listed: ClassVar[tuple[str, ...]] = ("str",)
    constraints: ClassVar[tuple[str, ...]] = ("one_of", "min_length", "max_length", "matches", "unique")
