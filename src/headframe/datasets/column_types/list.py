"""Lists of text, such as baskets."""

from typing import ClassVar

import pyarrow as pa

from headframe.datasets.column_types.base import ColumnType


class List(ColumnType):
    """A list of text in each cell, of any length."""

    stored: ClassVar[pa.DataType] = pa.list_(pa.string())
    constraints: ClassVar[tuple[str, ...]] = ()
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False
