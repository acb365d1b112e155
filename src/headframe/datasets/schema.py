"""Arrow schemas of contracts and tables."""

from collections.abc import Mapping

import pyarrow as pa

from headframe.config.plan.data import CONTENT, ROW_ID, ColumnContract
from headframe.datasets.column_types.base import column_type

OWN = (ROW_ID, CONTENT)
"""The columns that every table has before those of its contract."""


def contract_schema(columns: Mapping[str, ColumnContract]) -> pa.Schema:
    """Return the Arrow schema of a contract's columns, in its order."""
    return pa.schema(
        [
            pa.field(name, column_type(column).arrow(name, column), nullable=column.nullable)
            for name, column in columns.items()
        ]
    )


def table_schema(columns: Mapping[str, ColumnContract]) -> pa.Schema:
    """Return the Arrow schema of a whole table: the row's name and content, then the contract's columns."""
    own = [pa.field(name, pa.string(), nullable=False) for name in OWN]
    return pa.schema([*own, *contract_schema(columns)])
