"""Images whose pixels stand as numbers in the rows of a text file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.cells.parse import cast_cells
from headframe.config.ranges import Column, TensorColumn
from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow
from headframe.datasets.readers.lines import Row, first_row, rejected, rows_of
from headframe.errors import DataError, some

BATCH_BYTES = 16 * 2**20  # of text, roughly, that is turned into tensors at once
BRIGHTEST = 255  # what a byte can hold
LARGEST_WHOLE = 2**53  # whole numbers beyond have no float64 of their own


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
        for source, file in files.items():
            found = rows_of(source, file, self.delimiter, quoted=False)
            yield from self._batches(source, found, schema, labelled=True)

    @override
    def read_inputs(self, file: Path, schema: pa.Schema, ids: Sequence[str]) -> Iterator[ReadBatch]:
        if [self.image] != schema.names:
            raise DataError(f"a file of pixels gives {self.image}; expected: {', '.join(schema.names)}")
        found = rows_of(file.name, file, self.delimiter, quoted=False)
        first = first_row(found)
        if first is None:
            raise DataError(f"{file} holds no rows")
        labelled = isinstance(first, Row) and len(first.cells) == prod(schema.field(self.image).type.shape) + 1
        yield from self._batches(file.name, chain([first], found), schema, labelled=labelled)

    def _batches(
        self, source: str, found: Iterator[Row | RejectedRow], schema: pa.Schema, *, labelled: bool
    ) -> Iterator[ReadBatch]:
        pixels = prod(schema.field(self.image).type.shape)
        filled = (row for row in found if isinstance(row, RejectedRow) or not row.is_blank)
        while rows := list(islice(filled, max(1, BATCH_BYTES // (4 * pixels)))):
            yield self._batch(source, rows, schema, pixels, labelled=labelled)

    def _batch(
        self, source: str, rows: list[Row | RejectedRow], schema: pa.Schema, pixels: int, *, labelled: bool
    ) -> ReadBatch:
        values: list[np.ndarray] = []
        refused: list[RejectedRow] = []
        for row in rows:
            parsed = row if isinstance(row, RejectedRow) else self._parse(source, row, pixels, labelled=labelled)
            if isinstance(parsed, RejectedRow):
                refused.append(parsed)
            else:
                values.append(parsed)
        table = np.array(values, dtype=np.int64).reshape(len(values), pixels + labelled)
        kind = schema.field(self.image).type
        flat = table[:, :pixels].astype(np.uint8).ravel()
        storage = pa.FixedSizeListArray.from_arrays(pa.array(flat), pixels)
        columns = {self.image: pa.ExtensionArray.from_storage(kind, storage.cast(kind.storage_type))}
        if self.label in schema.names:
            columns[self.label] = cast_cells(pa.array(table[:, -1]), schema.field(self.label))
        batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
        return ReadBatch(batch, tuple(refused))

    def _parse(self, source: str, row: Row, pixels: int, *, labelled: bool) -> np.ndarray | RejectedRow:
        if len(row.cells) != pixels + labelled:
            expected = f"{pixels} pixels and a label" if labelled else f"{pixels} pixels"
            reason = f"has {len(row.cells)} numbers where {expected} were expected"
            return rejected(source, row, reason)
        try:
            numbers: np.ndarray = pa.array(row.cells, pa.string()).cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid as error:
            return rejected(source, row, f"holds what is no number: {error}")
        if not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any():
            return rejected(source, row, "holds a number that is not whole or not finite")
        if numbers[:pixels].min() < 0 or numbers[:pixels].max() > BRIGHTEST:
            return rejected(source, row, f"holds a pixel outside 0 to {BRIGHTEST}")
        if abs(numbers[-1]) >= LARGEST_WHOLE:
            return rejected(source, row, f"holds a label beyond {LARGEST_WHOLE}")
        return numbers
