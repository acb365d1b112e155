"""Delimited text: comma- or tab-separated values of mixed types, in one or several files."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.cells.parse import parse_cells
from headframe.cells.rules import CellRules
from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow
from headframe.datasets.readers.doubts import Doubts
from headframe.datasets.readers.lines import Row, first_row, rejected, rejected_lines, rows_alone, rows_of
from headframe.errors import ConfigurationError, DataError, some
from headframe.series.zones import is_zoned, near_set_back

log = logging.getLogger(__name__)

SEPARATORS = ";\t|, :"
"""What may separate cells, if it is not what was expected; the likeliest first."""

BATCH = 16_384  # rows that are turned into Arrow arrays at once
LARGEST = 16 * BATCH  # where a batch may not end, as clocks are set back


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
        endings: by column, what to cut off the end of a cell where it is there, as often as it is there.
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

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1:
            raise ConfigurationError(f"reader.delimiter is {self.delimiter!r}; expected one character")

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the rows of all files; see `Reader.read`."""
        for source, file in files.items():
            if self.parts and source not in self.parts:
                raise DataError(f"reader.parts has no value for source {source!r}; it has {some(self.parts)}")
            found = rows_alone(rows_of(source, file, self.delimiter, quoted=self.quoted, comment=self.comment))
            names = self._names(file, found)
            self._check_columns(file, names, schema)
            yield from self._batches(source, names, found, schema)

    @override
    def read_inputs(self, file: Path, schema: pa.Schema, ids: Sequence[str]) -> Iterator[ReadBatch]:
        def split(each: Delimited) -> Iterator[Row | RejectedRow]:
            return rows_of(file.name, file, each.delimiter, quoted=each.quoted, comment=each.comment)

        yield from self.read_text(str(file), split, schema, ids)

    def read_text(
        self, source: str, split: "Split", schema: pa.Schema, ids: Sequence[str], *, foreign: bool = False
    ) -> Iterator[ReadBatch]:
        """Yield the rows to predict for from one text, which `split` returns as rows; see `Reader.read_inputs`.

        A line that means something else to the data set's reader than to other programs is rejected where these have
        written the text. Where it may be a file of the data set, it is read as such, and the log says so.

        Args:
            source: for messages and rejected rows.
            split: returns the rows of the text.
            schema: as `Reader.read_inputs` has it.
            ids: as `Reader.read_inputs` has it.
            foreign: whether others than the data set's have written the text, even if its form is that of its files.
        """
        found = split(self)
        before: list[Row | RejectedRow] = []  # comments, and blank lines, which are rows where there is one column
        for first in found:
            if isinstance(first, RejectedRow):
                raise DataError(f"{source}: line {first.position}{first.joined}")
            if not (first.is_blank or first.is_comment):
                break
            before.append(first)
        else:
            raise DataError(f"{source} holds no rows")
        names = [cell.strip() for cell in first.cells]
        if self.columns is None:
            before = [row for row in before if not foreign and isinstance(row, Row) and row.is_comment]
        elif self._is_header(source, names, schema, ids):
            # Others have written it, so what looks like a comment may be a row.
            found = (row for row in split(replace(self, comment=None)) if _line(row) > first.line)
            before, foreign = [], True
        else:
            before.append(first)
            names = self._columns_of(source, names, schema)
        wanted = pa.schema(
            [*schema, *[pa.field(name, pa.string(), nullable=False) for name in ids if name in names][:1]]
        )
        self._check_columns(source, names, wanted)
        places = [names.index(name) for name in wanted.names]
        doubts = Doubts(self.delimiter, self.missing, places, quoted=self.quoted)
        found = (doubts.reject if foreign else doubts.say)(source, chain(before, found))
        yield from replace(self, parts={})._batches(source, names, found, wanted)

    @property
    @override
    def cells(self) -> CellRules:
        return CellRules(self.missing, self.trim, self.endings)

    def _is_header(self, source: str, names: list[str], schema: pa.Schema, ids: Sequence[str]) -> bool:
        """Return whether the first line names columns, though in the data set's files it is a row."""
        if not {*names} >= {*schema.names}:
            return False
        known = {*(self.columns or ()), *ids}
        if len(names) == len(self.columns or ()) and not {*names} <= known:
            raise DataError(
                f"{source}: its first line, {some(names)}, may name columns or be a row; as names, use only "
                f"{some(sorted(known))}"
            )
        return True

    def _columns_of(self, source: str, cells: list[str], schema: pa.Schema) -> list[str]:
        """Return the names of the columns in a source file whose first row has these cells."""
        columns = list(self.columns or ())
        if len(cells) != len(columns):
            lacking = next(name for name in schema.names if name not in cells)
            raise DataError(
                f"{source}: its first line has {len(cells)} cells ({', '.join(cells)[:100]}) and names no column "
                f"{lacking!r}; expected names of columns, or a row as in the data set's files: {some(columns)}"
            )
        return columns

    def _names(self, file: Path, found: Iterator[Row | RejectedRow]) -> list[str]:
        if self.columns is not None:
            return list(self.columns)
        first = first_row(found)
        if isinstance(first, RejectedRow):
            raise DataError(f"{file}: line {first.position}{first.joined}")
        if first is None:
            raise DataError(f"{file} has no line that names its columns")
        return [cell.strip() for cell in first.cells]

    def _check_columns(self, file: Path | str, names: list[str], schema: pa.Schema) -> None:
        twice = [name for name, times in Counter(names).items() if times > 1 and name in schema.names]
        if twice:
            raise DataError(f"{file} has {names.count(twice[0])} columns {twice[0]!r}; give each a name of its own")
        if self.parts and self.part in names:
            msg = f"{file} has a column {self.part!r} of its own; name that of reader.parts otherwise in reader.part"
            raise DataError(msg)
        given = {*names, self.part} if self.parts else {*names}
        lacking = [name for name in schema.names if name not in given]
        if lacking:
            missing = f"{file}: column {lacking[0]!r} is missing; came: {some(names)}; expected: {some(schema.names)}"
            others = [other for other in SEPARATORS if any(lacking[0] in name.split(other) for name in names)]
            advice = f"; its cells seem to be separated by {others[0]!r}: " if others else ""
            what = f"set reader.delimiter to that, or write a file separated by {self.delimiter!r}" if others else ""
            raise DataError(missing + advice + what)

    def _batches(
        self, source: str, names: list[str], found: Iterator[Row | RejectedRow], schema: pa.Schema
    ) -> Iterator[ReadBatch]:
        rows: list[Row] = []
        refused: list[RejectedRow] = []
        merged: list[str] = []
        zoned = [(names.index(each.name), each.type) for each in schema if is_zoned(each.type) and each.name in names]
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
                if row.may_be_several(self.delimiter, len(names)):
                    merged.append(f"{row.line}-{row.line + len(row.lines) - 1}")
            # The rows around it tell which of two equal hours is meant, so they stay in one batch.
            amid = BATCH <= len(rows) < LARGEST and any(near_set_back(rows[-1].cells[at], kind) for at, kind in zoned)
            if len(rows) + len(refused) >= BATCH and not amid:
                yield self._batch(source, names, rows, refused, schema)
                rows, refused = [], []
        if rows or refused:
            yield self._batch(source, names, rows, refused, schema)
        if merged:
            log.warning(
                "%s: lines %s are one row with line ends within quotes, though each of them looks like a row; if they "
                "are rows, close the quotation mark",
                source, some(merged),
            )  # fmt: skip

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
            texts = pa.array(columns.get(wanted.name, ()), pa.string())
            array, wrong = parse_cells(wanted, texts, self.cells)
            arrays.append(array)
            reasons = {**wrong, **reasons}
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))
        if reasons:
            batch = batch.filter(pa.array([index not in reasons for index in range(len(rows))]))
            refused = refused + [rejected(source, rows[at], why) for at, why in reasons.items()]
        refused.sort(key=lambda one: one.position)
        return ReadBatch(batch.cast(schema), tuple(refused))


def text_reader(reader: Reader, delimiter: str, schema: pa.Schema, split: "Split") -> Delimited | None:
    """Return what reads a text with this delimiter for a model whose data set `reader` reads.

    It is `reader` itself where the text is as the data set's files are, or what reads a text with a header and quotes,
    whose cells mean the same. None where the first line names no columns and the files have another delimiter.

    Args:
        reader: of the data set.
        delimiter: one character between cells.
        schema: the columns that the model takes.
        split: returns the rows of the text.
    """
    cells = reader.cells
    own = reader if isinstance(reader, Delimited) and reader.delimiter == delimiter else None
    # No column has a name before the header is read.
    plain = Delimited(delimiter=delimiter, columns=(), missing=cells.missing, trim=cells.trim, endings=cells.endings)
    for each in filter(None, (own, plain)):
        first = first_row(split(each))
        if isinstance(first, Row) and {cell.strip() for cell in first.cells} >= {*schema.names}:
            return each
    return own


Split = Callable[[Delimited], Iterator[Row | RejectedRow]]
"""Returns the rows of a text, as the settings of a reader divide it into rows and cells."""


def _line(row: Row | RejectedRow) -> int:
    return row.line if isinstance(row, Row) else row.position
