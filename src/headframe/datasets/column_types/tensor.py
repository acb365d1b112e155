"""Tensors of one shape, such as images and masks."""

from collections.abc import Iterator
from math import prod
from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.cells.constraints import LARGEST, CellConstraint, tensor_entries, value_constraints
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType
from headframe.errors import ConfigurationError


class Tensor(ColumnType):
    """A tensor of numbers in each cell, of the shape that the contract has; of bytes unless it names other `values`."""

    constraints: ClassVar[tuple[str, ...]] = ("min", "max", "shape", "values")
    needs: ClassVar[tuple[str, ...]] = ("shape",)
    example: ClassVar[str] = "[28, 28, 1]"
    entry_types: ClassVar[tuple[str, ...]] = (
        "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64",
    )  # fmt: skip
    can_miss: ClassVar[bool] = False  # Arrow does not read such cells from Parquet again
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        if not contract.shape:
            msg = f"dataset.contract.columns.{column}.shape has no value; a tensor needs one, as in [28, 28, 1]"
            raise ConfigurationError(msg)
        return pa.fixed_shape_tensor(_entry_type(contract), contract.shape)

    @override
    def bounds(self, contract: ColumnContract) -> tuple[float | None, float | None]:
        low, high = contract.min, contract.max
        if not pa.types.is_floating(_entry_type(contract)):
            return low, high
        return -LARGEST if low is None else low, LARGEST if high is None else high

    @override
    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        yield from value_constraints(contract, *self.bounds(contract), tensor_entries)

    @override
    def block_bytes(self, contract: ColumnContract) -> int:
        return prod(contract.shape or ()) * _entry_type(contract).bit_width // 8


def _entry_type(contract: ColumnContract) -> pa.DataType:
    return pa.type_for_alias(contract.values or "uint8")
