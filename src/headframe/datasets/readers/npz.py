"""NumPy's archives: several arrays of equal length, one row each, without anything that could run."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from shutil import copyfileobj

import numpy as np
import pyarrow as pa

from headframe.cells.parse import cast_cells
from headframe.config.ranges import Column
from headframe.datasets.readers.base import RAW_LENGTH, ReadBatch, Reader, RejectedRow
from headframe.errors import DataError, first_line, shown, some

BATCH_NUMBERS = 2**20  # that are turned into columns at once


@dataclass(frozen=True, kw_only=True)
class Npz(Reader):
    """Reads the arrays of `.npz` files side by side: row n of each array is row n of the table.

    Arrays are unpacked into a temporary file and mapped, so memory stays bounded. Objects are refused, since NumPy
    would unpickle them.

    Attributes:
        arrays: by name of an array the columns that it holds: as many as it is wide, or one column of tensors.
    """

    arrays: Mapping[str, tuple[Column, ...]]

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the rows of all files; see `Reader.read`."""
        named = [column for columns in self.arrays.values() for column in columns]
        lacking = [name for name in schema.names if name not in named]
        if lacking:
            raise DataError(f"reader.arrays has no column {lacking[0]!r}; it has {some(named)}")
        for source, file in files.items():
            with tempfile.TemporaryDirectory() as scratch:
                arrays = {name: self._array(file, name, Path(scratch), schema) for name in self.arrays}
                lengths = {name: len(array) for name, array in arrays.items()}
                if len({*lengths.values()}) > 1:
                    counts = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
                    raise DataError(f"{file}: its arrays need as many rows each, but {counts}")
                step = max(1, BATCH_NUMBERS // sum(prod(array.shape[1:]) for array in arrays.values()))
                for start in range(0, max(lengths.values(), default=0), step):
                    parts = {name: np.asarray(array[start : start + step]) for name, array in arrays.items()}
                    yield self._batch(source, start, parts, schema)

    def _array(self, file: Path, name: str, scratch: Path, schema: pa.Schema) -> np.ndarray:
        """Unpack an array; (rows, columns), or (rows, ...) of tensors."""
        unpacked = scratch / "array.npy"
        try:
            with zipfile.ZipFile(file) as archive:
                if f"{name}.npy" not in archive.namelist():
                    held = some(each.removesuffix(".npy") for each in archive.namelist())
                    raise DataError(f"{file} has no array {name!r}; it has {held}")
                with archive.open(f"{name}.npy") as packed, unpacked.open("wb") as stream:
                    copyfileobj(packed, stream)
            array = np.load(unpacked, mmap_mode="r", allow_pickle=False)
            unpacked.unlink()  # the mapping keeps it
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError, OSError) as error:
            raise DataError(f"{file}: array {name!r} cannot be read: {first_line(error)}") from error
        columns = self.arrays[name]
        if len(columns) == 1 and _is_tensor(columns[0], schema):
            shape = tuple(schema.field(columns[0]).type.shape)
            if array.shape[1:] not in {shape, *([shape[:-1]] if shape[-1] == 1 else [])}:
                raise DataError(
                    f"{file}: array {name!r} holds cells of {array.shape[1:]}, but the contract has {shape}"
                )
            return array
        array = array[:, np.newaxis] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != len(columns):  # noqa: PLR2004 - rows and columns
            wide = "x".join(map(str, array.shape[1:])) or "no"
            raise DataError(f"{file}: array {name!r} has {wide} columns, but reader.arrays names {len(columns)}")
        return array

    def _batch(self, source: str, start: int, parts: Mapping[str, np.ndarray], schema: pa.Schema) -> ReadBatch:
        columns = {
            column: parts[name] if _is_tensor(column, schema) else parts[name][:, place]
            for name, given in self.arrays.items()
            for place, column in enumerate(given)
        }
        fine = np.ones(len(next(iter(parts.values()))), dtype=bool)
        reasons: dict[int, str] = {}
        for field in schema:
            values = columns[field.name]
            if values.dtype.kind != "f":
                continue
            values = values.reshape(len(values), -1).sum(axis=1) if values.ndim > 1 else values
            strange = np.isinf(values) if field.nullable else ~np.isfinite(values)
            for row in np.flatnonzero(strange).tolist():
                reasons.setdefault(row, f"column {field.name!r} holds {values[row]}, which is no finite number")
            fine &= ~strange
        kept = [_cells(columns[field.name][fine], field) for field in schema]
        refused = [
            RejectedRow(
                source, start + row + 1, why, ", ".join(str(each[row]) for each in columns.values())[:RAW_LENGTH]
            )
            for row, why in reasons.items()
        ]
        return ReadBatch(pa.RecordBatch.from_arrays(kept, schema=schema), tuple(refused))


def _is_tensor(column: str, schema: pa.Schema) -> bool:
    return column in schema.names and isinstance(schema.field(column).type, pa.FixedShapeTensorType)


def _cells(values: np.ndarray, field: pa.Field) -> pa.Array:
    try:
        if isinstance(field.type, pa.FixedShapeTensorType):
            numbers = pa.array(np.ascontiguousarray(values).reshape(-1)).cast(field.type.value_type)
            flat = pa.FixedSizeListArray.from_arrays(numbers, prod(field.type.shape))
            return pa.ExtensionArray.from_storage(field.type, flat.cast(field.type.storage_type))
        array = pa.array(np.ascontiguousarray(values), from_pandas=True)
        return cast_cells(array, field)
    except pa.ArrowException as error:
        msg = f"column {field.name!r} holds {shown(values.flat[0].item())} and the like, but {field.type} was expected"
        raise DataError(f"{msg}: {first_line(error)}") from error
