"""Delimited text: comma- or tab-separated values of mixed types, in one or several files."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow, cast_cells
from headframe.datasets.readers.lines import Row, first_row, rejected, rejected_lines, rows_of
from headframe.errors import ConfigurationError, DataError, some

BATCH = 16_384  # rows that are turned into Arrow arrays at once


@dataclass(frozen=True, kw_only=True)
class Delimited(Reader):
    """Reads text tables; columns that the contract does not name are left out.

    Attributes:
        delimiter: one character between cells.
        columns: names of the file's columns from left to right; None: the first line names them.
        quoted: whether `"` encloses cells that hold delimiters or line ends.
        missing: cells that mean "no value", in any column.
        comment: how lines begin that hold no row.
        trim: drop blanks around each cell.
        endings: by column, what to cut off the end of a cell where it is there.
        parts: by source, the value that its rows get in the column `part`, for data whose files are its split.
        part: name of that column.
    """

    reads_cells: ClassVar[bool] = True

    delimiter: str = ","
    columns: tuple[str, ...] | None = None
    quoted: bool = True
    missing: tuple[str, ...] = ("",)
    comment: str | None = None
    trim: bool = False
    endings: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    part: str = "part"

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the rows of all files; see `Reader.read`."""
        for source, file in files.items():
            if self.parts and source not in self.parts:
                raise DataError(f"reader.parts has no value for source {source!r}; it has {some(self.parts)}")
            found = rows_of(source, file, self.delimiter, quoted=self.quoted, comment=self.comment)
            names = self._names(file, found)
            self._check_columns(file, names, schema)
            yield from self._batches(source, names, found, schema)

    def _names(self, file: Path, found: Iterator[Row | RejectedRow]) -> list[str]:
        if self.columns is not None:
            return list(self.columns)
        first = first_row(found)
        if not isinstance(first, Row):
            raise DataError(f"{file} has no line that names its columns")
        return [cell.strip() for cell in first.cells]

    def _check_columns(self, file: Path, names: list[str], schema: pa.Schema) -> None:
        twice = [name for name, times in Counter(names).items() if times > 1 and name in schema.names]
        if twice:
            raise DataError(f"{file} has {names.count(twice[0])} columns {twice[0]!r}; give each a name of its own")
        if self.parts and self.part in names:
            msg = f"{file} has a column {self.part!r} of its own; name that of reader.parts otherwise in reader.part"
            raise DataError(msg)
        given = {*names, self.part} if self.parts else {*names}
        lacking = [name for name in schema.names if name not in given]
        if lacking:
            raise DataError(
                f"{file}: column {lacking[0]!r} is missing; came: {some(names)}; expected: {some(schema.names)}"
            )

    def _batches(
        self, source: str, names: list[str], found: Iterator[Row | RejectedRow], schema: pa.Schema
    ) -> Iterator[ReadBatch]:
        rows: list[Row] = []
        refused: list[RejectedRow] = []
        for row in found:
            if isinstance(row, RejectedRow):
                refused.append(row)
            elif row.is_blank and len(names) > 1:
                continue
            elif len(row.cells) != len(names):
                refused += rejected_lines(source, row, f"has {len(row.cells)} cells where {len(names)} were expected")
            elif row.swallows(self.delimiter, len(names)):
                reason = f"holds {len(row.lines) - 2} lines that look like rows; close the quote, or set reader.quoted"
                refused += rejected_lines(source, row, reason)
            else:
                rows.append(row)
            if len(rows) + len(refused) >= BATCH:
                yield self._batch(source, names, rows, refused, schema)
                rows, refused = [], []
        if rows or refused:
            yield self._batch(source, names, rows, refused, schema)

    def _batch(
        self, source: str, names: list[str], rows: list[Row], refused: list[RejectedRow], schema: pa.Schema
    ) -> ReadBatch:
        reasons: dict[int, str] = {}
        arrays = []
        columns = dict(zip(names, zip(*(row.cells for row in rows), strict=True), strict=True)) if rows else {}
        for wanted in schema:
            if self.parts and wanted.name == self.part:
                if not pa.types.is_string(wanted.type):
                    msg = (
                        f"column {self.part!r} takes the texts of reader.parts, but is {wanted.type}; make it a string"
                    )
                    raise ConfigurationError(msg)
                arrays.append(pa.array([self.parts[source]] * len(rows), pa.string()))
                continue
            array, wrong = _typed(wanted, self._cells(wanted.name, columns.get(wanted.name, ())))
            arrays.append(array)
            reasons = {**wrong, **reasons}
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))
        if reasons:
            batch = batch.filter(pa.array([index not in reasons for index in range(len(rows))]))
            refused = refused + [rejected(source, rows[at], why) for at, why in reasons.items()]
        refused.sort(key=lambda one: one.position)
        return ReadBatch(batch.cast(schema), tuple(refused))

    def _cells(self, column: str, texts: Sequence[str]) -> pa.Array:
        """Return a column's cells as text, null where they mean that there is no value."""
        cells = pa.array(texts, pa.string())
        if self.trim:
            cells = pc.utf8_trim_whitespace(cells)
        cells = pc.if_else(pc.is_in(cells, pa.array(self.missing, pa.string())), pa.scalar(None, pa.string()), cells)
        if column not in self.endings:
            return cells
        return pc.replace_substring_regex(cells, re.escape(self.endings[column]) + "$", "")


def _typed(wanted: pa.Field, cells: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Convert cells to one type; also return, by position, what is wrong with those that are not of it."""
    wrong: dict[int, str] = {}
    try:
        array = cast_cells(cells, wanted)
    except pa.ArrowInvalid:
        values = [_value(wanted.type, cell) for cell in cells]
        array = pa.array(values, wanted.type)
        for index in np.flatnonzero(np.asarray(array.is_null()) & np.asarray(cells.is_valid())).tolist():
            wrong[index] = f"column {wanted.name!r} holds {_short(cells[index])}, which is no {wanted.type}"
    if pa.types.is_floating(wanted.type):
        numbers, valid = array.to_numpy(zero_copy_only=False), np.asarray(array.is_valid())
        strange = valid & ~np.isfinite(numbers)
        for index in np.flatnonzero(strange).tolist():
            if np.isinf(numbers[index]) or not wanted.nullable:  # else NaN means "no value", too
                wrong[index] = f"column {wanted.name!r} holds {_short(cells[index])}, which is no finite number"
        if strange.any():
            array = pa.array(numbers, wanted.type, mask=strange | ~valid)
    if not wanted.nullable:
        for index in np.flatnonzero(np.asarray(array.is_null())).tolist():
            wrong.setdefault(index, f"column {wanted.name!r} holds no value")
    return array, wrong


def _value(kind: pa.DataType, cell: pa.Scalar) -> Any:
    try:
        return cell.cast(kind).as_py()
    except pa.ArrowInvalid:
        return None


def _short(cell: pa.Scalar) -> str:
    return repr(str(cell.as_py())[:100])
