"""Lists of structs, such as the boxes of an image or the events of a case."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.cells.constraints import (
    CellConstraint,
    Nested,
    list_checks,
    list_entries,
    value_constraints,
)
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType, column_type, list_of
from headframe.errors import ConfigurationError


class StructList(ColumnType):
    """A list of structs in each cell, of any length; each field has a contract as a column has one."""

    constraints: ClassVar[tuple[str, ...]] = ("fields", "min_length", "max_length")
    needs: ClassVar[tuple[str, ...]] = ("fields",)
    example: ClassVar[str] = "{x: {dtype: float, min: 0}, label: {dtype: string}}"
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False

    @override
    def arrow(self, column: str, contract: ColumnContract) -> pa.DataType:
        if not contract.fields:
            where = f"dataset.contract.columns.{column}.fields"
            raise ConfigurationError(f"{where} has no value; structs need fields, as in {self.example}")
        fields = [(name, column_type(each).arrow(f"{column}.{name}", each)) for name, each in contract.fields.items()]
        return list_of(pa.struct(fields))

    @override
    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        yield from list_checks(contract)
        for name, of_field in (contract.fields or {}).items():
            where = f" in field {name!r}"
            if not of_field.nullable:
                yield CellConstraint("not_null", f"must not be missing{where}", None, {"field": name}, _field(name))
            kind = column_type(of_field)
            for each in value_constraints(of_field, *kind.bounds(of_field), _field(name), where):
                yield CellConstraint(each.name, each.text, each.kept, {**each.settings, "field": name}, each.values)

    @override
    def block_bytes(self, contract: ColumnContract) -> int:
        return 1024  # a few dozen structs


def _field(name: str) -> Nested:
    def entries(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
        found, ends = list_entries(cells)
        return pc.struct_field(found, name), ends

    return entries
