"""Images whose pixels stand as numbers in the rows of a text file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from headframe.config.ranges import Column, TensorColumn
from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow, cast_cells
from headframe.datasets.readers.lines import Row, rejected, rows_of
from headframe.errors import DataError, some

BATCH_BYTES = 16 * 2**20  # of text, roughly, that is turned into tensors at once
BRIGHTEST = 255  # what a byte can hold


@dataclass(frozen=True, kw_only=True)
class PixelRows(Reader):
    """Reads one image a line: height x width x channels whole numbers from 0 to 255, then its label.

    Attributes:
        image: column that takes the image.
        label: column that takes the label.
        delimiter: one character between numbers.
    """

    reads_cells: ClassVar[bool] = True

    image: TensorColumn = "image"
    label: Column = "label"
    delimiter: str = ","

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the images of all files; see `Reader.read`."""
        if {self.image, self.label} != {*schema.names}:
            raise DataError(f"a file of pixels gives {self.image}, {self.label}; expected: {some(schema.names)}")
        shape = schema.field(self.image).type.shape
        for source, file in files.items():
            found = rows_of(source, file, self.delimiter, quoted=False)
            filled = (row for row in found if isinstance(row, RejectedRow) or not row.is_blank)
            while rows := list(islice(filled, max(1, BATCH_BYTES // (4 * prod(shape))))):
                yield self._batch(source, rows, schema, prod(shape))

    def _batch(self, source: str, rows: list[Row | RejectedRow], schema: pa.Schema, pixels: int) -> ReadBatch:
        values: list[np.ndarray] = []
        refused: list[RejectedRow] = []
        for row in rows:
            parsed = row if isinstance(row, RejectedRow) else self._parse(source, row, pixels)
            if isinstance(parsed, RejectedRow):
                refused.append(parsed)
            else:
                values.append(parsed)
        table = np.array(values, dtype=np.int64).reshape(len(values), pixels + 1)
        kind = schema.field(self.image).type
        storage = pa.FixedSizeListArray.from_arrays(pa.array(table[:, :-1].astype(np.uint8).ravel()), pixels)
        columns = {
            self.image: pa.ExtensionArray.from_storage(kind, storage.cast(kind.storage_type)),
            self.label: cast_cells(pa.array(table[:, -1]), schema.field(self.label)),
        }
        batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
        return ReadBatch(batch, tuple(refused))

    def _parse(self, source: str, row: Row, pixels: int) -> np.ndarray | RejectedRow:
        if len(row.cells) != pixels + 1:
            reason = f"has {len(row.cells)} numbers where {pixels} pixels and a label were expected"
            return rejected(source, row, reason)
        try:
            numbers = np.array(row.cells, dtype=np.float64)
        except ValueError as error:
            return rejected(source, row, f"holds what is no number: {error}")
        if not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any():
            return rejected(source, row, "holds a number that is not whole or not finite")
        if numbers[:-1].min() < 0 or numbers[:-1].max() > BRIGHTEST:
            return rejected(source, row, f"holds a pixel outside 0 to {BRIGHTEST}")
        return numbers
