"""Noise that seeds decide: what a generator makes an example of."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.ranges import Count, InputColumn
from headframe.errors import DataError, RowError
from headframe.features.base import Encoder
from headframe.features.columns import first_empty
from headframe.features.spec import InputSpec


class Noise(Encoder):
    """Standard normal noise as float32 (rows, size), drawn for each row from the whole numbers in it alone.

    A row alone therefore gets the noise that it gets among others, and so do equal numbers in any other row.

    Args:
        size: how many numbers are drawn for each row.
        columns: of whole numbers; default: the data set's inputs.
    """

    gives: ClassVar[str] = "noise"

    def __init__(self, size: Count = 64, columns: Sequence[InputColumn] = ()) -> None:
        self.size = size
        self.columns = tuple(columns)

    def _fit(self, rows: pa.Table) -> None:
        self._encode(rows.slice(0, 1))

    def _encode(self, rows: pa.Table) -> np.ndarray:
        seeds = zip(*(_whole_numbers(rows.column(name), name) for name in self.columns), strict=True)
        noise = np.empty((rows.num_rows, self.size), dtype=np.float32)
        for row, numbers in zip(noise, seeds, strict=True):
            words = np.random.SeedSequence([number % 2**64 for number in numbers])
            np.random.Generator(np.random.Philox(words)).standard_normal(out=row, dtype=np.float32)
        return noise

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.gives, {"feature": self.size})


def _whole_numbers(column: pa.ChunkedArray, name: str) -> list[int]:
    if not pa.types.is_integer(column.type):
        raise DataError(f"column {name!r} holds {column.type}, but whole numbers were expected as seeds")
    if column.null_count:
        raise RowError(f"column {name!r} has no seed", first_empty(column), "; every row needs one")
    numbers: list[int] = column.to_pylist()
    return numbers
