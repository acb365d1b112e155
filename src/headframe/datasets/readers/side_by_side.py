"""Delimited text whose columns are spread over several files: line by line, the files describe the same rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pyarrow as pa
from typing_extensions import override

from headframe.datasets.readers.base import ReadBatch, RejectedRow
from headframe.datasets.readers.delimited import Delimited
from headframe.datasets.readers.lines import Row, rows_alone, rows_of, without_end
from headframe.errors import ConfigurationError, DataError


@dataclass(frozen=True, kw_only=True)
class SideBySide(Delimited):
    """Reads files side by side: line n of every file, from left to right, is one row.

    All settings are those of `Delimited`; `columns` names the cells of all files in the data set's order of
    sources. `parts` are for files that hold rows of their own, so they are refused.
    """

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing here.

        Raises:
            ConfigurationError: there are parts.
        """
        if self.parts:
            msg = "reader.parts are for files with rows of their own; SideBySide reads one row from all: remove it"
            raise ConfigurationError(msg)

    @override
    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        found = self._joined(files)
        last = [*files.values()][-1]
        names = self._names(last, found)
        self._check_columns(last, names, schema)
        yield from self._batches(" + ".join(files), names, found, schema)

    @override
    def _columns_of(self, source: str, cells: list[str], schema: pa.Schema) -> list[str]:
        """Return the only neighbouring columns that one of the files can hold, as it must have all of `schema`."""
        columns = list(self.columns or ())
        width = len(cells)
        found = [columns[start : start + width] for start in range(len(columns) - width + 1)]
        fitting = [names for names in found if {*names} >= {*schema.names}]
        return fitting[0] if len(fitting) == 1 else super()._columns_of(source, cells, schema)

    def _joined(self, files: Mapping[str, Path]) -> Iterator[Row | RejectedRow]:
        streams = [
            rows_alone(rows_of(source, file, self.delimiter, quoted=self.quoted, comment=self.comment))
            for source, file in files.items()
        ]
        for parts in zip_longest(*streams):
            if not any(isinstance(part, RejectedRow) or (part and not part.is_blank) for part in parts):
                continue
            lines = [_line(part) for part in parts]
            if len({*lines}) > 1:
                lengths = ", ".join(
                    f"{file} {'ends' if line is None else f'has line {line}'}"
                    for file, line in zip(files.values(), lines, strict=True)
                )
                msg = f"files side by side must have the same lines, but where {lengths}; make them equally long"
                raise DataError(msg)
            bad = next((part for part in parts if isinstance(part, RejectedRow)), None)
            rows = [part for part in parts if isinstance(part, Row)]
            yield bad or self._join(rows)

    def _join(self, rows: Sequence[Row]) -> Row:
        """Join the rows that stand in the same lines of the files."""
        aligned = zip_longest(*(row.lines for row in rows), fillvalue="")
        lines = tuple(self.delimiter.join(without_end(line) for line in parts) for parts in aligned)
        return Row(rows[0].line, [cell for row in rows for cell in row.cells], lines)


def _line(part: Row | RejectedRow | None) -> int | None:
    return part.position if isinstance(part, RejectedRow) else part and part.line
