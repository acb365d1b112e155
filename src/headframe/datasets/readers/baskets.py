"""Baskets: one list of items a line, as shops, click streams and the FIMI repository have them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from headframe.config.ranges import ListColumn
from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow
from headframe.datasets.readers.lines import Row, rejected, rows_alone, rows_of
from headframe.errors import DataError, some

BATCH = 8192


@dataclass(frozen=True, kw_only=True)
class Baskets(Reader):
    """Reads one basket a line, its items in their order, without blanks around them; empty lines hold none.

    Attributes:
        items: column that takes them.
        delimiter: one character between items; of blanks, several count as one.
        quoted: whether `"` encloses items that hold delimiters.
    """

    items: ListColumn = "items"
    delimiter: str = ","
    quoted: bool = False

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the baskets of all files; see `Reader.read`."""
        if [self.items] != schema.names:
            raise DataError(f"a file of baskets gives {self.items}; expected: {some(schema.names)}")
        for source, file in files.items():
            lines = rows_alone(rows_of(source, file, self.delimiter, quoted=self.quoted))
            found = (row for row in lines if isinstance(row, RejectedRow) or any(cell.strip() for cell in row.cells))
            while rows := list(islice(found, BATCH)):
                read = [self._items(source, row) if isinstance(row, Row) else row for row in rows]
                baskets = pa.array([each for each in read if isinstance(each, list)], schema.field(0).type)
                refused = tuple(each for each in read if isinstance(each, RejectedRow))
                yield ReadBatch(pa.RecordBatch.from_arrays([baskets], schema=schema), refused)

    def _items(self, source: str, row: Row) -> list[str] | RejectedRow:
        items = [cell.strip() for cell in row.cells]
        if not self.delimiter.strip():
            return [item for item in items if item]
        return items if all(items) else rejected(source, row, "holds an empty item")
