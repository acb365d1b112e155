"""Lines that mean one thing in a data set's files, and may mean another where a different program has written them."""

import logging
import re
from collections.abc import Collection, Iterator, Sequence

from headframe.datasets.readers.base import RejectedRow
from headframe.datasets.readers.lines import QUOTE, SUSPICIOUS_LINES, Row, rejected
from headframe.errors import some

log = logging.getLogger(__name__)

SHOWN = 100
"""Characters of a cell that a message shows."""

TEXT = r'(?:[^"]|"")*+'
"""All that stands within quotation marks."""


class Doubts:
    """Finds the doubtful lines of one text, whose rows are given once and in order.

    Args:
        delimiter: one character between cells.
        missing: cells that mean "no value" to the data set's reader.
        places: of the cells that are read.
        quoted: whether a `"` around a cell is no part of it to the data set's reader.
    """

    def __init__(self, delimiter: str, missing: Collection[str], places: Sequence[int], *, quoted: bool) -> None:
        end = f"(?:{re.escape(delimiter)}|$)"
        self._enclosed, self._open_cell = re.compile(f'"{TEXT}"{end}'), re.compile(f'"{TEXT}$')
        self._closing, self._within = re.compile(f'{TEXT}"{end}'), re.compile(f"{TEXT}$")
        self._delimiter, self._missing, self._places, self._quoted = delimiter, missing, places, quoted
        self._opened: int | None = None  # line of a cell that begins with a quotation mark and does not end in one
        self._far: list[str] = []  # pairs of lines with quotation marks, between which each line is a row by itself

    def reject(self, source: str, found: Iterator[Row | RejectedRow]) -> Iterator[Row | RejectedRow]:
        """Yield the rows of a text that others have written; what is doubtful, as rejected."""
        for row in found:
            reason = self._reason(row)
            yield rejected(source, row, reason) if isinstance(row, Row) and reason else row
        self._say_far(source)

    def say(self, source: str, found: Iterator[Row | RejectedRow]) -> Iterator[Row | RejectedRow]:
        """Yield the rows of a text that may be a file of the data set; log, at its end, which lines were doubtful."""
        doubtful: list[int] = []
        first = ""
        for row in found:
            reason = self._reason(row)
            if isinstance(row, Row) and reason:
                doubtful.append(row.line)
                first = first or reason
            if isinstance(row, RejectedRow) or not row.is_comment:
                yield row
        if doubtful:
            which = f"line {doubtful[0]} {first}" + (f"; likewise line {some(doubtful[1:])}" if doubtful[1:] else "")
            log.warning("%s: it was read as the data set's own files are, though %s", source, which)
        self._say_far(source)

    def _say_far(self, source: str) -> None:
        if self._far:
            log.warning(
                "%s: each of lines %s was read as a row, though the first one opens a quotation mark that the last one "
                "closes; if they are one text, give JSON lines",
                source, some(self._far),
            )  # fmt: skip

    def _reason(self, row: Row | RejectedRow) -> str:
        """Return what is doubtful about a row; empty for nothing."""
        if isinstance(row, RejectedRow):
            return ""
        if row.is_comment:
            how = "in quotes" if self._quoted else "in JSON lines"
            return f"is a comment in such files and gets no prediction; leave it out, or give it {how} if it is a row"
        if not self._quoted and (QUOTE in row.lines[0] or self._opened is not None):
            opened, cell = self._quotes(row)
            is_near = opened is not None and row.line - opened <= SUSPICIOUS_LINES
            if opened is not None and len(row.cells) > 1 and not is_near:
                self._far.append(f"{opened}-{row.line}")
            elif opened is not None:
                return f"closes a quotation mark that line {opened} opens, so they may be one text; give JSON lines"
            if cell:
                return f"holds {cell[:SHOWN]}, which may be text with quotation marks or without; give JSON lines"
        if "" not in self._missing and "" in [row.cells[place] for place in self._places if place < len(row.cells)]:
            return f"has an empty cell, which may be empty text or no value ({some(self._missing)})"
        return ""

    def _quotes(self, row: Row) -> tuple[int | None, str]:
        """Return the earlier line whose text would end here, and the first cell that is read and may be enclosed."""
        line, at, opened, cell = row.lines[0].rstrip("\r\n"), 0, self._opened, ""
        if opened is not None:
            if self._within.match(line):
                return None, ""
            closing = self._closing.match(line)
            at, opened, self._opened = (closing.end(), opened, None) if closing else (0, None, None)
        place = line.count(self._delimiter, 0, at)
        while at < len(line):
            if self._open_cell.match(line, at):
                self._opened = row.line
                break
            enclosed = self._enclosed.match(line, at)
            end = enclosed.end() if enclosed else line.find(self._delimiter, at) + 1 or len(line)
            if enclosed and place in self._places:
                cell = cell or line[at:end].removesuffix(self._delimiter)
            at, place = end, place + 1
        return opened, cell
