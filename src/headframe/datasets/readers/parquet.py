"""Parquet files, whose columns are called as those of the contract."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headframe.datasets.readers.base import RAW_LENGTH, READ_BYTES, ReadBatch, Reader, RejectedRow
from headframe.errors import DataError, first_line, some
from headframe.exhaustion import bounded_memory

BATCH = 1024
KINDS = {
    "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "numbers": (pa.types.is_integer, pa.types.is_floating),
    "truth values": (pa.types.is_boolean,),
    "times": (pa.types.is_timestamp, pa.types.is_date),
    "bytes": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    "lists": (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    "structs": (pa.types.is_struct,),
}
"""Types whose values may be cast to each other: text is never read as a number, nor a number as text."""


@dataclass(frozen=True, kw_only=True)
class Parquet(Reader):
    """Reads the columns of the contract from Parquet files; others are left out, and lists of one length are tensors.

    A row without a value in a column that needs one is rejected; a column of another kind ends the reading.
    """

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the rows of all files; see `Reader.read`."""
        for source, file in files.items():
            start = 1
            for batch in _batches(file, schema.names):
                yield _batch(source, start, batch, schema)
                start += batch.num_rows


def _batches(file: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with bounded_memory(file):
            # Which would read ahead without a bound, and whole columns of a group of rows.
            opened = pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES)
        with opened:
            came = opened.schema_arrow.names
            if lacking := [name for name in columns if name not in came]:
                raise DataError(f"{file} has no column {lacking[0]!r}; it has {some(came)}")
            batches = opened.iter_batches(BATCH, columns=columns)
            while True:
                with bounded_memory(file):
                    batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)  # text may be no UTF-8
                yield batch
    except (pa.ArrowException, OSError) as error:  # Arrow calls a damaged page an error of input
        raise DataError(f"{file} is no Parquet file that can be read: {first_line(error)}") from error


def _batch(source: str, start: int, rows: pa.RecordBatch, schema: pa.Schema) -> ReadBatch:
    reasons: dict[int, str] = {}
    columns = []
    for field in schema:
        column = _cast(rows.column(field.name), field)
        if pa.types.is_floating(field.type):  # where NaN means that there is no number
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
        columns.append(column)
        if not field.nullable:
            for row in np.flatnonzero(np.asarray(column.is_null())).tolist():
                reasons.setdefault(row, f"column {field.name!r} holds no value")
    kept = pa.array([row not in reasons for row in range(rows.num_rows)], pa.bool_())
    refused = [
        RejectedRow(source, start + row, why, str(rows.slice(row, 1).to_pylist()[0])[:RAW_LENGTH])
        for row, why in reasons.items()
    ]
    filtered = [column.filter(kept) if reasons else column for column in columns]
    return ReadBatch(pa.RecordBatch.from_arrays(filtered, schema=schema), tuple(refused))


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    wanted = field.type.storage_type if isinstance(field.type, pa.FixedShapeTensorType) else field.type
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not _fits(column.type, wanted):
        raise DataError(f"column {field.name!r} holds {column.type}, but {field.type} was expected")
    try:
        cast = column.cast(wanted)
    except pa.ArrowException as error:
        msg = f"column {field.name!r} holds {column.type}, but {field.type} was expected: {first_line(error)}"
        raise DataError(msg) from error
    return cast if wanted is field.type else pa.ExtensionArray.from_storage(field.type, cast)


def _fits(came: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether values of one type are of the kind of another, and so are those that they hold."""
    if pa.types.is_null(came) or came == wanted:
        return True
    kinds = [
        next((name for name, tests in KINDS.items() if any(is_of(each) for is_of in tests)), "")
        for each in (came, wanted)
    ]
    if kinds[0] != kinds[1] or not kinds[0]:
        return False
    if kinds[0] == "lists":
        return _fits(came.value_type, wanted.value_type)
    if kinds[0] == "structs":
        fields = {field.name: field.type for field in came}
        return fields.keys() == {field.name for field in wanted} and all(
            _fits(fields[each.name], each.type) for each in wanted
        )
    return True
