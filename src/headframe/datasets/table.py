"""A data set as a Parquet table: one row, one example; equal input gives equal bytes."""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from headframe.checked_files import holds
from headframe.config.plan.data import SourceConfig
from headframe.datasets import hashing
from headframe.digests import Record, canonical, validation_message
from headframe.errors import DataError, HeadframeError, some
from headframe.exhaustion import bounded_memory
from headframe.records import TableRecord

BLOCK_ROWS = 65_536  # a row group holds at most so many rows
TENSOR_BYTES = 2**20  # of tensors are read at once, as Parquet's reader takes ten times as much for them

TABLE, REJECTED, METADATA = "table.parquet", "rejected.parquet", "dataset.json"


class TableMetadata(Record):
    """What `dataset.json` records of the table in its folder. No time stamps: equal input, equal bytes."""

    dataset: str
    title: str
    licence: str
    citation: str
    homepage: str
    sources: dict[str, SourceConfig]  # with the sha256 of what was read
    columns: dict[str, str]  # name -> Arrow type, in the table's order
    rows: int
    rejected: int
    digest: str  # sha256 of all cells, whatever the Parquet writer's version
    rejected_digest: str  # the same of the rejected rows
    files: dict[str, str]  # sha256 of the other files in the folder


class Table:
    """A table on disk, whose rows are those that its digest stands for: they were hashed when it was opened.

    What is read of it is of the version that was opened, even if another one has been put in its place since.
    """

    def __init__(self, folder: Path, metadata: TableMetadata, file: pa.NativeFile, rejected: pa.NativeFile) -> None:
        self.folder = folder
        self.metadata = metadata
        self._file = file
        self._rejected = rejected

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open `data/<dataset>/`, whose files are read whole once after each change; see `headframe.checked_files`.

        Raises:
            HeadframeError: there is no table in that folder.
            DataError: its files do not belong together, or are not those that were written.
        """
        try:
            raw, files, about = _opened(folder)
            table = cls(folder, TableMetadata.model_validate_json(raw), files[TABLE], files[REJECTED])
            holds(["table", hashlib.sha256(raw).hexdigest()], about, table.verify)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise HeadframeError(
                f"{folder} holds no table ({error.filename} is missing); "
                f"collect it with: headframe ingest dataset={folder.name}"
            ) from error
        except (ValidationError, pa.ArrowException, IsADirectoryError) as error:
            msg = f"{folder} is damaged: {validation_message(error)}; collect it again or restore a version of it"
            raise DataError(msg) from error
        return table

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema: name and content of each row, then the contract's columns."""
        return pq.read_schema(self._file)

    @property
    def num_rows(self) -> int:
        """How many examples there are."""
        return self.metadata.rows

    @property
    def digest(self) -> str:
        """The sha256 of all cells."""
        return self.metadata.digest

    def record(self) -> TableRecord:
        """Return the record by which steps name this table."""
        metadata = self.metadata
        return TableRecord(
            dataset=metadata.dataset,
            folder=f"data/{metadata.dataset}",
            digest=metadata.digest,
            rows=metadata.rows,
            rejected=metadata.rejected,
            rejected_digest=metadata.rejected_digest,
        )

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read some columns, or all, of all rows into memory.

        Raises:
            DataError: the table has no such column.
        """
        return pq.read_table(self._file, columns=self._known(columns))

    def batches(self, columns: Sequence[str] | None = None, size: int | None = None) -> Iterator[pa.RecordBatch]:
        """Stream the rows in table order, at most `size` at a time, and no more than were written as one block.

        Without a size, there are as many at once as take little memory.

        Raises:
            DataError: the table has no such column.
        """
        with pq.ParquetFile(self._file) as file:
            for group in range(file.num_row_groups):
                rows = size or _rows_at_once(self.schema)
                yield from file.iter_batches(rows, row_groups=[group], columns=self._known(columns))

    def rejected(self) -> pa.Table:
        """Return the rows that could not be read: source, position, reason, raw."""
        return pq.read_table(self._rejected)

    def verify(self) -> bool:
        """Read every byte and compare with what `dataset.json` says, which is then true.

        The digests are computed from the cells, so that rows which were changed together with the file's sha256 are
        not taken for the version whose name they bear.

        Raises:
            DataError: a file, or its rows, are not what was written.
        """
        about = self.metadata
        files = {TABLE: (self._file, about.digest), REJECTED: (self._rejected, about.rejected_digest)}
        for name, (file, digest) in files.items():
            file.seek(0)
            expected, actual = about.files.get(name), hashlib.file_digest(file, "sha256").hexdigest()
            if actual != expected:
                raise self._changed(name, f"has sha256 {actual}, but {expected} was written")
            with bounded_memory(self.folder / name, file.size()):
                actual = rows_digest(file, about.columns if name == TABLE else None)
            if actual != digest:
                raise self._changed(name, f"has rows of digest {actual}, but {METADATA} says {digest}")
        for name, (file, _) in files.items():
            stored = pq.read_metadata(file).num_rows
            counted = about.rows if name == TABLE else about.rejected
            if stored != counted:
                raise self._changed(name, f"has {stored} rows, but {METADATA} says {counted}")
        return True

    def _changed(self, name: str, what: str) -> DataError:
        advice = "it was changed or damaged: collect the data set again or restore a version of it"
        return DataError(f"{self.folder / name} {what}; {advice}")

    def _known(self, columns: Sequence[str] | None) -> list[str] | None:
        """Check that the columns exist, since Arrow ignores those that do not."""
        lacking = [name for name in columns or () if name not in self.schema.names]
        if lacking:
            msg = f"{self.folder / TABLE} has no column {lacking[0]!r}; it has {some(self.schema.names)}"
            raise DataError(msg)
        return None if columns is None else list(columns)


def rows_digest(file: pa.NativeFile, columns: Mapping[str, str] | None) -> str:
    """Compute the digest of the rows of a Parquet file.

    Blocks are hashed as they were written: a row group of the file is one of them.

    Args:
        file: open; stays so.
        columns: names and Arrow types; of the file unless given.
    """
    with pq.ParquetFile(file) as rows:
        state = digest_state(column_types(rows.schema_arrow) if columns is None else columns)
        for group in range(rows.num_row_groups):
            parts = rows.iter_batches(_rows_at_once(rows.schema_arrow), row_groups=[group])
            hashing.update_digest(state, pa.Table.from_batches(parts, rows.schema_arrow))
    return str(state.hexdigest())


def _rows_at_once(schema: pa.Schema) -> int:
    tensors = [kind for kind in schema.types if isinstance(kind, pa.FixedShapeTensorType)]
    size = sum(kind.value_type.bit_width // 8 * math.prod(kind.shape) for kind in tensors)
    return min(BLOCK_ROWS, max(1, TENSOR_BYTES // size)) if size else BLOCK_ROWS


def digest_state(columns: Mapping[str, str]) -> Any:
    """Return the hashlib state with which the digest of a table begins: names and Arrow types of its columns."""
    return hashlib.sha256(canonical(list(columns.items())).encode())


def column_types(schema: pa.Schema) -> dict[str, str]:
    """Return the Arrow type of each column by its name, in the schema's order."""
    return {field.name: str(field.type) for field in schema}


def _opened(folder: Path) -> tuple[bytes, dict[str, pa.NativeFile], list[os.stat_result]]:
    """Read `dataset.json` and open the other files: all of one version, though another may replace it.

    A version's folder is put in place as a whole, so files that are found from one and the same folder belong together.
    """
    while True:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        files, about = {}, []
        try:
            with os.fdopen(os.open(METADATA, os.O_RDONLY, dir_fd=held), "rb") as stream:
                raw = stream.read()
            for name in (TABLE, REJECTED):
                handle = os.open(name, os.O_RDONLY, dir_fd=held)
                try:
                    about.append(os.fstat(handle))
                    files[name] = pa.OSFile(f"/dev/fd/{handle}")
                finally:
                    os.close(handle)
        except FileNotFoundError:
            if os.path.samestat(os.fstat(held), folder.stat()):
                raise
            # The version that was opened was removed under this process; another one stands there.
        else:
            return raw, files, about
        finally:
            os.close(held)


def open_version(root: Path, dataset: str, digest: str) -> Table:
    """Open a data set's table if it is the version with that digest.

    Raises:
        HeadframeError: the data set has no table.
        DataError: another version lies there now.
    """
    table = Table.open(root / "data" / dataset)
    if table.digest != digest:
        raise DataError(
            f"data/{dataset} holds version {table.digest[:12]} of the data, but {digest[:12]} is expected: another "
            "run or a restore has replaced it meanwhile; run again when nothing else uses it, or bring yours back: "
            f"headframe data restore {dataset} {digest[:12]}"
        )
    return table


def open_record(record: TableRecord, root: Path) -> Table:
    """Open the table that a record names; see `open_version`."""
    return open_version(root, record.dataset, record.digest)
