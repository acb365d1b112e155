"""Tensors of one shape, such as images."""

from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType
from headframe.errors import ConfigurationError


class Tensor(ColumnType):
    """A tensor of bytes (uint8) in each cell, of the shape that the contract has."""

    constraints: ClassVar[tuple[str, ...]] = ("min", "max", "shape")
    needs: ClassVar[tuple[str, ...]] = ("shape",)
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False
    arrays: ClassVar[bool] = True

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        if not contract.shape:
            msg = f"dataset.contract.columns.{column}.shape has no value; a tensor needs one, as in [28, 28, 1]"
            raise ConfigurationError(msg)
        return pa.fixed_shape_tensor(pa.uint8(), contract.shape)
