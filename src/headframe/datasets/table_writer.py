"""Writing a data set's table: rows are cut into blocks, named and hashed; rejected rows are kept with their reasons."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.build import build
from headframe.config.plan.data import ColumnContract, DatasetConfig, SourceConfig
from headframe.datasets import hashing
from headframe.datasets.column_types.base import column_type
from headframe.datasets.readers.base import ReadBatch, RejectedRow
from headframe.datasets.schema import contract_schema, table_schema
from headframe.datasets.table import (
    BLOCK_ROWS,
    METADATA,
    REJECTED,
    TABLE,
    Table,
    TableMetadata,
    column_types,
    digest_state,
    rows_digest,
)
from headframe.digests import file_digest, write_record
from headframe.errors import DataError

BLOCK_BYTES = 16 * 2**20  # a row group holds about so many bytes of tensors, lists and images
# The digest is taken block by block, so another size, or other `BLOCK_ROWS`, gives every table another digest.

_WRITING = {"compression": "zstd", "compression_level": 3, "version": "2.6", "data_page_version": "2.0"}
_REJECTED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)


def write_table(
    folder: Path, dataset: DatasetConfig, sources: dict[str, SourceConfig], batches: Iterable[ReadBatch]
) -> Table:
    """Write a table, its rejected rows and `dataset.json` into an empty folder.

    Args:
        folder: exists and is empty.
        dataset: the contract, and what is recorded of the source.
        sources: the data set's sources with the sha256 of what was read.
        batches: rows in the contract's columns.

    Raises:
        DataError: there are more rejected rows than `dataset.max_rejected`, no rows, or a key occurs twice.
    """
    rejected: list[RejectedRow] = []
    kept = 0
    with _Writer(folder / TABLE, dataset) as writer:
        for batch in batches:
            rejected += batch.rejected
            kept += batch.rows.num_rows
            if len(rejected) > dataset.max_rejected:
                raise DataError(_too_many(dataset, rejected, kept))
            writer.write(batch.rows)
    if not writer.rows:
        why = f"; {_first_reason(rejected)}" if rejected else ""
        raise DataError(f"dataset {dataset.name}: its sources hold no rows that can be read{why}")
    metadata = TableMetadata(
        dataset=dataset.name,
        title=dataset.title,
        licence=dataset.licence,
        citation=dataset.citation,
        homepage=dataset.homepage,
        sources=sources,
        columns=column_types(writer.schema),
        rows=writer.rows,
        rejected=len(rejected),
        digest=writer.digest(),
        rejected_digest=_write_rejected(folder / REJECTED, rejected),
        files={name: file_digest(folder / name) for name in (REJECTED, TABLE)},
    )
    write_record(folder / METADATA, metadata)
    return Table.open(folder)


class _Writer:
    """Cuts rows into blocks of one size, so that neither bytes nor digest depend on how they arrived."""

    def __init__(self, file: Path, dataset: DatasetConfig) -> None:
        self.schema = table_schema(dataset.contract.columns)
        self.rows = 0
        self._dataset = dataset
        self._columns = contract_schema(dataset.contract.columns)
        self._content = _content_columns(dataset)
        self._block = _block_rows(dataset.contract.columns)
        self._waiting: list[pa.RecordBatch] = []
        self._seen = OccurrenceCounter()
        self._state = digest_state(column_types(self.schema))
        # Keys differ in every row, so a dictionary of them would be written for nothing.
        dictionaries = [name for name in self._columns.names if name != dataset.key]
        self._file = pq.ParquetWriter(file, self.schema, use_dictionary=dictionaries, **_WRITING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            if failure[0] is None and self._waiting:
                self._write_block(pa.Table.from_batches(self._waiting))
        finally:
            self._file.close()

    def write(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows:
            self._waiting.append(rows.cast(self._columns))
        while sum(batch.num_rows for batch in self._waiting) >= self._block:
            table = pa.Table.from_batches(self._waiting)
            self._write_block(table.slice(0, self._block))
            self._waiting = [batch for batch in table.slice(self._block).to_batches() if batch.num_rows]

    def digest(self) -> str:
        return self._state.hexdigest()

    def _write_block(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        contents = hashing.content_hashes(rows, self._content)
        numbered = self._seen.count_earlier(contents) if self._dataset.key is None else None
        names = _named(contents, numbered) if numbered is not None else self._keys(rows)
        block = pa.Table.from_arrays([pa.array(names), pa.array(contents), *rows.columns], schema=self.schema)
        hashing.update_digest(self._state, block)
        self._file.write_table(block, row_group_size=self._block)
        self.rows += block.num_rows

    def _keys(self, rows: pa.Table) -> list[str]:
        key = str(self._dataset.key)
        names = ["" if value is None else _key(value) for value in rows.column(key).to_pylist()]
        repeated = np.flatnonzero(self._seen.count_earlier(hashing.content_hashes(rows, [key])))
        if len(repeated):
            msg = f"dataset {self._dataset.name}: key {key}={names[repeated[0]]!r} occurs twice; a key names one row"
            raise DataError(msg)
        return names


class OccurrenceCounter:
    """Counts earlier occurrences of each content, in 8 bytes per content."""

    def __init__(self) -> None:
        self._levels: list[np.ndarray] = []  # sorted, without repetitions, each at least twice as long as the next
        self._counts: dict[int, int] = {}  # occurrences of those that are repeated

    def count_earlier(self, contents: Sequence[str]) -> np.ndarray:
        """Return the number of earlier occurrences of each content; int64 (contents,)."""
        values = np.frombuffer(bytes.fromhex("".join(contents)), dtype=">u8").astype(np.uint64)
        unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        known = np.zeros(len(unique), dtype=bool)
        for level in self._levels:
            at = np.minimum(np.searchsorted(level, unique), len(level) - 1)
            known |= level[at] == unique
        before = known.astype(np.int64)
        for index in np.flatnonzero(known | (counts > 1)).tolist():
            content = int(unique[index])
            before[index] = self._counts.get(content, before[index])
            self._counts[content] = int(before[index] + counts[index])
        self._insert(unique[~known])
        order = np.argsort(inverse, kind="stable")
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        within = np.empty(len(values), dtype=np.int64)
        within[order] = np.arange(len(values)) - starts
        return before[inverse] + within

    def _insert(self, fresh: np.ndarray) -> None:
        if not len(fresh):
            return
        while self._levels and len(self._levels[-1]) < 2 * len(fresh):
            fresh = np.sort(np.concatenate([self._levels.pop(), fresh]), kind="stable")
        self._levels.append(fresh)


def _content_columns(dataset: DatasetConfig) -> list[str]:
    """Return the columns that make two rows equal: all but the target, the key and what the source says of its split.

    Which of them are inputs does not matter, so that a study of the inputs is measured on the same test rows.
    """
    others = [name for name in dataset.contract.columns if name != dataset.target]
    return [name for name in others if name not in (dataset.key, *build(dataset.split).columns)] or others


def _named(contents: Sequence[str], numbered: np.ndarray) -> list[str]:
    return [
        f"{content}-{number}" if number else content
        for content, number in zip(contents, numbered.tolist(), strict=True)
    ]


def _key(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _block_rows(columns: Mapping[str, ColumnContract]) -> int:
    size = sum(column_type(each).block_bytes(each) for each in columns.values())
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // size)) if size else BLOCK_ROWS


def _write_rejected(file: Path, rejected: Sequence[RejectedRow]) -> str:
    """Write the rejected rows, and return their digest."""
    rows = [[getattr(one, name) for one in rejected] for name in _REJECTED.names]
    pq.write_table(pa.table(rows, schema=_REJECTED), file, **_WRITING)
    with pa.OSFile(str(file)) as written:
        return rows_digest(written, None)


def _too_many(dataset: DatasetConfig, rejected: Sequence[RejectedRow], kept: int) -> str:
    """Return a message on rows that were rejected; where few or none were kept, it is not the rows that are wrong."""
    advice = "fix the file or raise dataset.max_rejected"
    if len(rejected) > kept:
        unreadable = "most rows cannot" if kept else "not one row can"
        advice = f"{unreadable} be read, so correct dataset.reader or the types in dataset.contract"
    return (
        f"dataset {dataset.name}: {len(rejected):,} rows cannot be read and dataset.max_rejected allows "
        f"{dataset.max_rejected}; {_first_reason(rejected)}; {advice}"
    )


def _first_reason(rejected: Sequence[RejectedRow]) -> str:
    first = rejected[0]
    if not first.source:
        return first.reason
    return f"line {first.position} of source {first.source}{first.joined}"
