"""The interface of readers, and how they open raw files."""

import gzip
import io
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, ClassVar, TypeVar, cast

import pyarrow as pa
from typing_extensions import override

from headframe.cells.rules import CellRules
from headframe.errors import DataError, HeadframeError

GZIP = b"\x1f\x8b"
READ_BYTES = 2**18  # that are unpacked at once
LONGEST_SIGNATURE = 16
FOREIGN = {
    rb"\xff\xfe|\xfe\xff|[^\0]\0[^\0]\0|\0[^\0]\0[^\0]|[^\0]\0\0\0": "text in UTF-16 or UTF-32; save it as UTF-8",
    rb"PK\x03\x04": "a ZIP archive, as Excel's workbooks are; unpack it, or save its sheet as CSV in UTF-8",
    rb"\xd0\xcf\x11\xe0": "a workbook of Excel; save its sheet as CSV in UTF-8",
    rb"BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|7z\xbc\xaf": "compressed otherwise than by gzip; unpack it",
    rb"PAR1[\0-\x1f]": "a Parquet file; let its name end in .parquet",
    rb"ARROW1\0|FEA1": "an Arrow file; write it as Parquet",
}
"""How files begin that are no text in UTF-8, and what to do with them."""
LONGEST_LINE = 64 * 2**20
"""Characters, or bytes where they are no text yet, of a line, and of all lines of one row."""
RAW_LENGTH = 2000  # characters of an unreadable row that are stored


TOO_LONG = f"is longer than {LONGEST_LINE // 2**20} MiB, so it is no row; see whether it is the file that is meant"
T = TypeVar("T", str, bytes)


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be read.

    Attributes:
        source: name of the source, as the data set has it.
        position: line or record in the file, counted from 1.
        reason: what is wrong with it.
        raw: the row as it stands in the file, at most 2000 characters.
    """

    source: str
    position: int
    reason: str
    raw: str

    @property
    def joined(self) -> str:
        """The reason as it continues a sentence that ends with the position."""
        return f", {self.reason}" if self.reason.startswith("column ") else f" {self.reason}"


@dataclass(frozen=True)
class ReadBatch:
    """What a reader yields at a time: rows that it could read, and those that it could not."""

    rows: pa.RecordBatch
    rejected: tuple[RejectedRow, ...] = ()


class Reader(ABC):
    """Streams raw files as record batches; memory does not grow with the files.

    Attributes:
        reads_cells: whether each column, but those of tensors that a setting names, is read from one cell of text or
            one number a row; checked when a plan is loaded.
        reads_folders: whether `read_inputs` takes a folder, too.
    """

    reads_cells: ClassVar[bool] = False
    reads_folders: ClassVar[bool] = False

    @abstractmethod
    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield all rows of all files, in the order of `files` and then of the file.

        Args:
            files: each source's name and file, in the data set's order.
            schema: the columns to return, with their types; a field that is not nullable takes no missing value.

        Raises:
            DataError: a file as a whole is not what it should be: empty, cut short, without an expected column.
        """

    def read_inputs(self, file: Path, schema: pa.Schema, ids: Sequence[str]) -> Iterator[ReadBatch]:
        """Yield the rows of one file to predict for, whose cells mean what they mean to `read`.

        Args:
            file: a source file as it came, which may lack the target.
            schema: the columns that the model takes.
            ids: names that a column of the rows' ids may have; the first that the file has is returned behind them.

        Raises:
            DataError: as `read`.
        """
        del ids  # only files that name their columns have it
        yield from self.read({file.name: file}, schema)

    @property
    def cells(self) -> CellRules:
        """What texts mean in the files; without rules, what they say."""
        return CellRules()


@contextmanager
def open_bytes(file: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzip-compressed file for reading bytes, recognised by its first bytes.

    Raises:
        DataError: the file is empty, or is gzip data cut short or damaged.
        HeadframeError: the file cannot be opened.
    """
    with _readable_errors(file):
        plain = file.open("rb")
    with plain:
        with _readable_errors(file):
            start = plain.read(len(GZIP))
            plain.seek(0)
        if not start:
            raise DataError(f"{file} is empty; a file with rows was expected")
        bytes_in = gzip.GzipFile(fileobj=plain) if start == GZIP else plain
        yield io.BufferedReader(_NamedStream(file, cast("BinaryIO", bytes_in)), READ_BYTES)


def numbered_lines(what: object, stream: IO[T]) -> Iterator[tuple[int, T]]:
    """Yield the lines of a stream with their numbers, from 1.

    Raises:
        DataError: one is longer than `LONGEST_LINE`, which no row is.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(f"{what}: line {number} {TOO_LONG}")
        yield number, line


@contextmanager
def open_text(file: Path) -> Iterator[BinaryIO]:
    """Open a file as `open_bytes` does, for reading lines of UTF-8.

    Raises:
        DataError: as `open_bytes`; or it is of a kind that is no such text.
    """
    with open_bytes(file) as stream:
        refuse_foreign(file, cast("io.BufferedReader", stream).peek(LONGEST_SIGNATURE))
        yield stream


def refuse_foreign(what: object, start: bytes) -> None:
    """Raise a DataError if bytes begin as files do that are no lines of UTF-8 text.

    Args:
        what: has these bytes, for the message.
        start: the first bytes, at least `LONGEST_SIGNATURE` of them where there are so many.
    """
    for signature, kind in FOREIGN.items():
        if re.match(signature, start, re.DOTALL):
            raise DataError(f"{what} is {kind}")


class _NamedStream(io.RawIOBase):
    """A stream whose errors name its file, wherever it is read: beside another one, that one must not be blamed."""

    def __init__(self, file: Path, stream: BinaryIO) -> None:
        self._file, self._stream = file, stream

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        with _readable_errors(self._file):
            raw = self._stream.read(len(buffer))
        buffer[: len(raw)] = raw
        return len(raw)


@contextmanager
def _readable_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is no whole gzip file ({error}); get it again") from error
    except OSError as error:
        raise HeadframeError(f"{file} cannot be read: {error.strerror}") from error
