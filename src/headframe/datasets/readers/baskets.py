"""Baskets: one list of items a line, as shops, click streams and the FIMI repository have them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from headframe.config.ranges import Column, ListColumn
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
        held_out: column that takes one item out of each basket, as the target of a recommendation: the sha256 of the
            basket chooses it. Where the column is not wanted, as in a file to predict for, baskets stay whole.
        number: column that takes the number of the line, by which equal baskets are rows of their own in a split.
    """

    items: ListColumn = "items"
    delimiter: str = ","
    quoted: bool = False
    held_out: Column | None = None
    number: Column | None = None

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the baskets of all files; see `Reader.read`."""
        given = [name for name in (self.items, self.held_out, self.number) if name is not None]
        if not {*schema.names} <= {*given}:
            raise DataError(f"a file of baskets gives {some(given)}; expected: {some(schema.names)}")
        for source, file in files.items():
            lines = rows_alone(rows_of(source, file, self.delimiter, quoted=self.quoted))
            found = (row for row in lines if isinstance(row, RejectedRow) or any(cell.strip() for cell in row.cells))
            while rows := list(islice(found, BATCH)):
                read = [self._items(source, row) if isinstance(row, Row) else row for row in rows]
                baskets = [each for each in read if isinstance(each, list)]
                columns: dict[str | None, list[Any]] = {self.items: baskets}
                if self.held_out in schema.names:
                    columns[self.held_out] = chosen = [_chosen(basket) for basket in baskets]
                    columns[self.items] = [
                        [item for item in basket if item != out] for basket, out in zip(baskets, chosen, strict=True)
                    ]
                numbers = (
                    row.line
                    for row, each in zip(rows, read, strict=True)
                    if isinstance(row, Row) and isinstance(each, list)
                )
                columns[self.number] = list(numbers)
                arrays = [pa.array(columns[field.name], field.type) for field in schema]
                refused = tuple(each for each in read if isinstance(each, RejectedRow))
                yield ReadBatch(pa.RecordBatch.from_arrays(arrays, schema=schema), refused)

    def _items(self, source: str, row: Row) -> list[str] | RejectedRow:
        items = [cell.strip() for cell in row.cells]
        if not self.delimiter.strip():
            return [item for item in items if item]
        return items if all(items) else rejected(source, row, "holds an empty item")


def _chosen(basket: list[str]) -> str:
    """Return an item of a basket: any one, but the same of equal baskets whatever their order."""
    items = sorted({*basket})
    state = hashlib.sha256("\n".join(items).encode())
    return items[int.from_bytes(state.digest()[:8], "big") % len(items)]
