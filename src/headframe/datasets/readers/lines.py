"""Lines of text as rows of cells: what the readers of text formats share."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from headframe.datasets.readers.base import LONGEST_LINE, RAW_LENGTH, TOO_LONG, RejectedRow, numbered_lines, open_text
from headframe.errors import DataError

QUOTE = '"'
SUSPICIOUS_LINES = 3
SUSPICIOUS_SHARE = 0.9
"""So many rows of the right length within one cell, and hardly another line, are no text with line ends: they are rows
behind a quote left open."""

LONE_RETURN = (
    "holds a carriage return without a line feed, which may be a line end or text; end lines with line feeds, and "
    "enclose such text in quotes, or write JSON lines"
)


class Row(NamedTuple):
    """The cells of one row, the line on which it begins, counted from 1, and its lines as they stand in the file.

    A comment is a row, too, so that a caller that skips it can count it.
    """

    line: int
    cells: list[str]
    lines: tuple[str, ...]
    is_comment: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether its line is empty: a row with an empty cell in a file of one column, else no row."""
        return self.cells == [""] and QUOTE not in self.lines[0] and not self.is_comment

    def swallows(self, delimiter: str, cells: int) -> bool:
        """Return whether the row has taken in lines of which almost all look like rows of so many cells."""
        inner = [line for line in self.lines[1:-1] if line.strip()]
        alike = sum(line.count(delimiter) + 1 == cells for line in inner)
        return cells > 1 and alike >= max(SUSPICIOUS_LINES, SUSPICIOUS_SHARE * len(inner))

    def may_be_several(self, delimiter: str, cells: int) -> bool:
        """Return whether it runs over lines each of which looks like a row of so many cells, quotes apart."""
        whole = all(line.count(delimiter) + 1 == cells for line in self.lines)
        return cells > 1 and len(self.lines) > 1 and whole


def rows_of(
    source: str, file: Path, delimiter: str, *, quoted: bool, comment: str | None = None
) -> Iterator[Row | RejectedRow]:
    """Yield each row of a UTF-8 text file (plain or gzip), also blank lines and comments.

    Lines end with a line feed, or a carriage return and a line feed. A carriage return alone, outside of quotes, is
    refused, since some programs end lines so and others write it within a text. No other character ends a line.

    Args:
        source: name of the source, for rejected rows.
        file: the text file.
        delimiter: one character between cells.
        quoted: whether `"` encloses cells that hold delimiters, line ends or doubled quotes; else it is
            a character like any other.
        comment: how lines begin that hold no row; None where all do.
    """
    with open_text(file) as stream:
        yield from rows_in(source, stream, delimiter, quoted=quoted, comment=comment)


def rows_in(
    source: str, stream: BinaryIO, delimiter: str, *, quoted: bool, comment: str | None = None
) -> Iterator[Row | RejectedRow]:
    """Yield each row of UTF-8 text; see `rows_of`."""
    # A byte that is no UTF-8 becomes a lone surrogate, so that it spoils its own row and not the file.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="\n")
    lines = numbered_lines(source, text)
    found: list[Row] | list[RejectedRow]
    try:
        for number, line in lines:
            if comment and line.startswith(comment):
                found = [Row(number, without_end(line).split(delimiter), (line,), is_comment=True)]
            elif quoted and QUOTE in line:
                found = _quoted(source, number, line, lines, delimiter)
            else:
                found = [Row(number, without_end(line).split(delimiter), (line,))]
            for row in found:
                if isinstance(row, RejectedRow) or row.is_comment:
                    yield row
                elif not _is_unicode("".join(row.cells)):
                    yield rejected(source, row, "is not UTF-8 text")
                elif "\r" in line and not (quoted and QUOTE in line) and "\r" in without_end(line):
                    yield rejected(source, row, LONE_RETURN)
                else:
                    yield row
    finally:
        text.detach()  # else the stream would be closed with it


def rows_alone(found: Iterator[Row | RejectedRow]) -> Iterator[Row | RejectedRow]:
    """Yield what is no comment."""
    return (row for row in found if isinstance(row, RejectedRow) or not row.is_comment)


def first_row(found: Iterator[Row | RejectedRow]) -> Row | RejectedRow | None:
    """Return the first row whose line is neither blank nor a comment; None without any."""
    return next((row for row in rows_alone(found) if isinstance(row, RejectedRow) or not row.is_blank), None)


def rejected(source: str, row: Row, reason: str) -> RejectedRow:
    """Return a row as rejected; bytes that are no text are shown in hexadecimal."""
    raw = without_end("".join(row.lines))[:RAW_LENGTH]
    shown = raw.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return RejectedRow(source, row.line, reason, shown)


def rejected_lines(source: str, row: Row, reason: str) -> list[RejectedRow]:
    """Return each line of a row as rejected, since which of them are rows of their own cannot be known."""
    also = f"is within quoted text that begins in line {row.line} and {reason}"
    return [
        rejected(source, Row(number, [], (line,)), reason if number == row.line else also)
        for number, line in enumerate(row.lines, start=row.line)
    ]


def _quoted(
    source: str, number: int, line: str, lines: Iterator[tuple[int, str]], delimiter: str
) -> list[Row] | list[RejectedRow]:
    """Read the row that begins with a line that holds a quote, and takes as many of the next lines as it needs."""
    taken = [line]

    def needed() -> Iterator[str]:
        yield line
        length = len(line)
        for _, following in lines:
            length += len(following)
            if length > LONGEST_LINE:
                raise DataError(f"{source}: the row that begins in line {number} {TOO_LONG}")
            taken.append(following)
            yield following

    try:
        cells = next(csv.reader(needed(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        alone = str(error).startswith("new-line character")  # the words of csv for the same
        reason = LONE_RETURN if alone else f"is no row of quoted text: {error}"
        return rejected_lines(source, Row(number, [], tuple(taken)), reason)
    return [Row(number, cells, tuple(taken))]


def without_end(line: str) -> str:
    """Return a line without its one line end."""
    return line[: -2 if line.endswith("\r\n") else -1] if line.endswith(("\n", "\r")) else line


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
