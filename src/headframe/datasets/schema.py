"""From the words of a contract to the Arrow types of a table."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from headframe.config.plan.data import ColumnContract
from headframe.errors import ConfigurationError

OWN = ("row_id", "content")
"""The columns that every table has before those of its contract."""

_PLAIN = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
    "list": pa.list_(pa.string()),
}


def arrow_type(column: str, promise: ColumnContract) -> pa.DataType:
    """Give the Arrow type of a column; a tensor holds bytes (uint8) of the promised shape.

    Raises:
        ConfigurationError: a tensor without a shape.
    """
    if promise.dtype != "tensor":
        return _PLAIN[promise.dtype]
    if not promise.shape:
        msg = f"dataset.contract.columns.{column}.shape has no value; a tensor needs one, as in [28, 28, 1]"
        raise ConfigurationError(msg)
    return pa.fixed_shape_tensor(pa.uint8(), promise.shape)


def contract_schema(columns: Mapping[str, ColumnContract]) -> pa.Schema:
    """Give the Arrow schema of a contract's columns, in its order."""
    return pa.schema(
        [pa.field(name, arrow_type(name, promise), nullable=promise.nullable) for name, promise in columns.items()]
    )


def table_schema(columns: Mapping[str, ColumnContract]) -> pa.Schema:
    """Give the Arrow schema of a whole table: `row_id` and `content`, then the contract's columns."""
    own = [pa.field(name, pa.string(), nullable=False) for name in OWN]
    return pa.schema([*own, *contract_schema(columns)])
