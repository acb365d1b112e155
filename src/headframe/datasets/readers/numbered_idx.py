"""IDX files whose rows are numbered, for what is asked of a model by a number: the seed of a generated image."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from typing_extensions import override

from headframe.config.ranges import Column
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.readers.idx import Idx
from headframe.errors import DataError, some


@dataclass(frozen=True, kw_only=True)
class NumberedIdx(Idx):
    """Reads IDX files as `Idx` does, and numbers the rows.

    Attributes:
        number: column that takes the number of each row, from 0, in the order of the parts and then of the file.
    """

    number: Column = "number"

    @override
    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        place = schema.get_field_index(self.number)
        if place < 0:
            msg = f"reader.number={self.number} is no column of the contract, which has {some(schema.names)}"
            raise DataError(f"{msg}; add it there as an int")
        start = 0
        for batch in super().read(files, schema.remove(place)):
            rows = batch.rows
            numbers = pa.array(range(start, start + rows.num_rows), schema.field(place).type)
            columns = [*rows.columns[:place], numbers, *rows.columns[place:]]
            yield ReadBatch(pa.RecordBatch.from_arrays(columns, schema=schema), batch.rejected)
            start += rows.num_rows
