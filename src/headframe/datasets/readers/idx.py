"""IDX: the binary format of MNIST and its kin.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits" (format description).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.cells.parse import cast_cells
from headframe.config.ranges import Column, TensorColumn, TextColumn
from headframe.datasets.readers.base import ReadBatch, Reader, open_bytes
from headframe.errors import DataError, some

BATCH_BYTES = 16 * 2**20  # of pixels that are read at once
UNSIGNED_BYTE = 0x08


@dataclass(frozen=True, kw_only=True)
class Idx(Reader):
    """Reads pairs of IDX files, plain or gzip: images of one size, and one label for each.

    Attributes:
        parts: by value of the column `part`, the two sources that hold its images and its labels.
        image: column that takes the image.
        label: column that takes the label.
        part: column that says which pair of files a row came from.
    """

    reads_cells: ClassVar[bool] = True

    parts: Mapping[str, tuple[str, str]]
    image: TensorColumn = "image"
    label: Column = "label"
    part: TextColumn = "part"

    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        """Yield the images of all pairs of files; see `Reader.read`."""
        if {self.image, self.label, self.part} != {*schema.names}:
            msg = f"IDX files give {self.image}, {self.label}, {self.part}; expected: {some(schema.names)}"
            raise DataError(msg)
        unread = [name for name in files if not any(name in pair for pair in self.parts.values())]
        if unread:
            raise DataError(f"no pair of reader.parts names source {unread[0]!r}, so its rows would be lost; add it")
        for part, pair in self.parts.items():
            lacking = [name for name in pair if name not in files]
            if lacking:
                msg = f"reader.parts.{part} names source {lacking[0]!r}; dataset.sources has {some(files)}"
                raise DataError(msg)
            images, labels = (files[name] for name in pair)
            with open_bytes(images) as image_stream, open_bytes(labels) as label_stream:
                yield from self._pair(part, (images, image_stream), (labels, label_stream), schema)

    @override
    def read_inputs(self, file: Path, schema: pa.Schema, ids: Sequence[str]) -> Iterator[ReadBatch]:
        if [self.image] != schema.names:
            raise DataError(f"an IDX file of images gives {self.image}; expected: {', '.join(schema.names)}")
        with open_bytes(file) as stream:
            shape = _header(file, stream)
            for images in self._images(file, stream, shape, schema):
                yield ReadBatch(pa.RecordBatch.from_arrays([images], schema=schema))
            _require_end(file, stream, shape[0])

    def _images(
        self, file: Path, stream: BinaryIO, shape: tuple[int, ...], schema: pa.Schema
    ) -> Iterator[pa.ExtensionArray]:
        """Yield the images of a file, many at a time."""
        kind = schema.field(self.image).type
        if shape[1:] not in {tuple(kind.shape), *([tuple(kind.shape[:-1])] if kind.shape[-1] == 1 else [])}:
            raise DataError(f"{file} holds images of {shape[1:]}, but the contract has {tuple(kind.shape)}")
        pixels, left = prod(shape[1:]), shape[0]
        while left:
            count = min(left, max(1, BATCH_BYTES // pixels))
            storage = pa.FixedSizeListArray.from_arrays(pa.array(_take(file, stream, count * pixels)), pixels)
            yield pa.ExtensionArray.from_storage(kind, storage.cast(kind.storage_type))
            left -= count

    def _pair(
        self, part: str, images: tuple[Path, BinaryIO], labels: tuple[Path, BinaryIO], schema: pa.Schema
    ) -> Iterator[ReadBatch]:
        shape, label_shape = _header(*images), _header(*labels)
        if label_shape != shape[:1]:
            _require_entries(*images, shape)  # the file that does not keep its own promise is the one to blame
            _require_entries(*labels, label_shape)
            if len(shape) == 1 < len(label_shape):
                advice = f"; name them the other way round in reader.parts.{part}"
                raise DataError(f"{images[0]} holds labels, and {labels[0]} images of {label_shape[1:]}{advice}")
            raise DataError(f"{images[0]} holds {shape[0]} images, but {labels[0]} holds labels of shape {label_shape}")
        for pictures in self._images(*images, shape, schema):
            count = len(pictures)
            columns = {
                self.image: pictures,
                self.label: cast_cells(pa.array(_take(*labels, count)), schema.field(self.label)),
                self.part: pa.array([part] * count, pa.string()),
            }
            yield ReadBatch(pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema))
        for file, stream in (images, labels):
            _require_end(file, stream, shape[0])


def _header(file: Path, stream: BinaryIO) -> tuple[int, ...]:
    """Read the sizes of the array: two zero bytes, type, number of axes, then each size as big-endian int32."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != UNSIGNED_BYTE:  # noqa: PLR2004 - the bytes described above
        raise DataError(f"{file} is no IDX file of unsigned bytes: it begins with {start.hex(' ') or 'nothing'}")
    axes = start[3]
    sizes = stream.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise DataError(f"{file} ends within its header; get it again")
    shape = struct.unpack(f">{axes}i", sizes)
    if not shape or min(shape) < 0:
        raise DataError(f"{file} announces an array of {shape} entries in its header; get it again")
    return shape


def _require_entries(file: Path, stream: BinaryIO, shape: tuple[int, ...]) -> None:
    """Raise a DataError unless exactly the entries follow that a header announces."""
    left = prod(shape)
    while left:
        left -= len(_take(file, stream, min(left, BATCH_BYTES)))
    _require_end(file, stream, shape[0])


def _take(file: Path, stream: BinaryIO, count: int) -> np.ndarray:
    raw = stream.read(count)
    if len(raw) < count:
        raise DataError(f"{file} ends {count - len(raw)} bytes too early; get it again")
    return np.frombuffer(raw, dtype=np.uint8)


def _require_end(file: Path, stream: BinaryIO, entries: int) -> None:
    if stream.read(1):
        raise DataError(f"{file} goes on after the {entries} entries that its header announces; get it again")
