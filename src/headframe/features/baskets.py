"""Baskets - lists of items - as sparse rows of zeros and ones."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from typing_extensions import override

from headframe.config.ranges import Count
from headframe.errors import DataError
from headframe.features.base import Encoder
from headframe.features.spec import InputSpec


class BasketItems(Encoder):
    """A list of items as a CSR row (items,) float32 that holds 1 for each item of the list, however often it occurs.

    Items that training rows did not have are left out of a row; a list may be empty.

    Args:
        min_count: training rows that must hold an item.
        column: the column of lists; default: the data set's only input.
    """

    gives: ClassVar[str] = "baskets"

    def __init__(self, min_count: Count = 1, *, column: str | None = None) -> None:
        self.columns = (column,) if column else ()
        self.min_count = min_count
        self.items_: list[str] = []

    def _fit(self, rows: pa.Table) -> None:
        baskets = rows.column(self.column)
        pairs = pa.table({"row": pc.list_parent_indices(baskets), "item": pc.list_flatten(baskets)})
        counted = pc.value_counts(pairs.group_by(["row", "item"]).aggregate([]).column("item"))
        kept = counted.field("values").filter(pc.greater_equal(counted.field("counts"), self.min_count))
        self.items_ = sorted(item for item in kept.to_pylist() if item is not None)
        if not self.items_:
            raise DataError(f"column {self.column!r} has no item that {self.min_count} training rows hold")

    def _encode(self, rows: pa.Table) -> sparse.csr_matrix:
        return basket_matrix(rows.column(self.column), self.items_)

    @property
    @override
    def feature_names(self) -> list[str]:
        return self.items_

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.gives, {"feature": len(self.items_)}, sparse=True)


def basket_matrix(baskets: pa.ChunkedArray, items: Sequence[str]) -> sparse.csr_matrix:
    """Return which of some items each basket holds, float32 (baskets, items); other items are left out."""
    numbers = pc.index_in(pc.list_flatten(baskets), value_set=pa.array(items, pa.string()))
    known = numbers.is_valid()
    rows = pc.list_parent_indices(baskets).filter(known).to_numpy()
    columns = numbers.filter(known).to_numpy()
    found = sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), (len(baskets), len(items)))
    found.data[:] = 1.0  # an item may occur several times in a basket
    return found


def bitsets(matrix: sparse.csr_matrix) -> np.ndarray:
    """Return one bit a row for each column, set where the entry is stored: uint64 (columns, words)."""
    columns = sparse.csc_matrix(matrix)
    rows, many = columns.shape
    packed = np.zeros((many, -(-rows // 64) * 8), dtype=np.uint8)
    for number in range(many):
        held = np.zeros(packed.shape[1] * 8, dtype=np.uint8)
        held[columns.indices[columns.indptr[number] : columns.indptr[number + 1]]] = 1
        packed[number] = np.packbits(held)
    return packed.view(np.uint64)
