"""Lines of text as rows of cells: what the readers of text formats share."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headframe.datasets.readers.base import RAW_LENGTH, RejectedRow, open_bytes


class Row(NamedTuple):
    """The cells of one row and the line on which it ends, counted from 1."""

    line: int
    cells: list[str]


def rows_of(
    source: str, file: Path, delimiter: str, *, quoted: bool, comment: str | None = None
) -> Iterator[Row | RejectedRow]:
    """Yield each row of a UTF-8 text file (plain or gzip); blank lines and comments are passed over.

    Args:
        source: name of the source, for rejected rows.
        file: the text file.
        delimiter: one character between cells.
        quoted: whether `"` encloses cells that hold delimiters, line ends or doubled quotes; else it is
            a character like any other.
        comment: how lines begin that hold no row; None where all do.
    """
    with open_bytes(file) as stream:
        # A byte that is no UTF-8 becomes a lone surrogate, so that it spoils its own row and not the file.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="" if quoted else "\n")
        found = _quoted(source, text, delimiter, comment) if quoted else _plain(text, delimiter, comment)
        for row in found:
            if isinstance(row, Row) and not _is_unicode("".join(row.cells)):
                yield rejected(source, row, "is not UTF-8 text", delimiter)
            else:
                yield row


def rejected(source: str, row: Row, reason: str, delimiter: str) -> RejectedRow:
    """Return a row as rejected; bytes that are no text are shown in hexadecimal."""
    raw = delimiter.join(row.cells)[:RAW_LENGTH].encode(errors="surrogateescape").decode(errors="backslashreplace")
    return RejectedRow(source, row.line, reason, raw)


def _plain(text: io.TextIOWrapper, delimiter: str, comment: str | None) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        content = line.rstrip("\r\n")
        if content and not (comment and content.startswith(comment)):
            yield Row(number, content.split(delimiter))


def _quoted(source: str, text: io.TextIOWrapper, delimiter: str, comment: str | None) -> Iterator[Row | RejectedRow]:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RejectedRow(source, reader.line_num, f"is no row of quoted text: {error}", "")
            continue
        if cells and not (comment and cells[0].startswith(comment)):
            yield Row(reader.line_num, cells)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
