"""What readers of image files share."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.cells.images import decode_image
from headframe.datasets.file_tree import FileTree
from headframe.datasets.readers.base import ReadBatch, Reader, RejectedRow
from headframe.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png")
BATCH = 64
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Kinds of pixels by their number of channels."""

Cells = dict[str, Any]


class ReadImage(NamedTuple):
    """An image that was read."""

    cell: Any  # for the column: the file's bytes, or pixels uint8 (height, width, channels)
    height: int
    width: int


class ImageReader(Reader):
    """Reads files of images, of which many become a table of a few files.

    Attributes:
        image: column that takes the image, as pixels of one size or as the file's bytes.
    """

    reads_folders: ClassVar[bool] = True
    image: str

    def is_input(self, name: str) -> bool:
        """Return whether a file of images to predict for, named with its folders, is one of them."""
        del name  # all are, where truth is not in images itself
        return True

    @abstractmethod
    def rows(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[Cells | RejectedRow]:
        """Yield the cells of each row, by column, and what cannot be read."""

    @override
    def read(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[ReadBatch]:
        yield from _batches(self.rows(files, schema), schema)

    @override
    def read_inputs(self, file: Path, schema: pa.Schema, ids: Sequence[str]) -> Iterator[ReadBatch]:
        """Yield the images of a folder or a ZIP archive, or the one of a file, with names as the rows' ids.

        See `Reader.read_inputs`.
        """
        if [self.image] != schema.names:
            raise DataError(f"a file of images gives {self.image}; expected: {', '.join(schema.names)}")
        alone = file.suffix.lower() in ENDINGS
        contents = [(file.name, file.read_bytes())] if alone else image_files(FileTree(file))
        contents = ((name, content) for name, content in contents if self.is_input(name))

        named = [pa.field(each, pa.string()) for each in ids[:1]]

        def cells(name: str, content: bytes) -> Cells:
            return {self.image: picture(content, schema.field(0)).cell, **{each.name: name for each in named}}

        rows = (
            row_of(file.name, place, name, partial(cells, name, content))
            for place, (name, content) in enumerate(contents, start=1)
        )
        yield from _batches(rows, pa.schema([*schema, *named]))


def image_files(tree: FileTree) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each image in a tree."""
    for name in tree.names:
        if PurePosixPath(name).suffix.lower() in ENDINGS:
            yield name, tree.read(name)


def row_of(source: str, position: int, name: str, cells: Callable[[], Cells]) -> Cells | RejectedRow:
    """Return the cells of a row that a function makes, or the row as rejected where it raises a DataError."""
    try:
        return cells()
    except DataError as error:
        return RejectedRow(source, position, f"({name}) {error}", name)


def picture(content: bytes, field: pa.Field) -> ReadImage:
    """Return an image as a column takes it.

    Raises:
        DataError: it is no JPEG or PNG image, or of another size than the column's.
    """
    if pa.types.is_binary(field.type):
        height, width, _ = decode_image(content).shape
        return ReadImage(content, height, width)
    shape = tuple(field.type.shape)
    channels = shape[2] if len(shape) > 2 else 1  # noqa: PLR2004 - height and width
    if channels not in MODES:
        raise DataError(f"has to fill {channels} channels, but images have {', '.join(map(str, MODES))}")
    pixels = decode_image(content, MODES[channels])
    if pixels.shape[:2] != shape[:2]:
        raise DataError(
            f"has {pixels.shape[0]} x {pixels.shape[1]} pixels, but the contract has {shape[0]} x {shape[1]}"
        )
    return ReadImage(pixels, *shape[:2])


def _batches(rows: Iterator[Cells | RejectedRow], schema: pa.Schema) -> Iterator[ReadBatch]:
    while found := list(islice(rows, BATCH)):
        kept = [each for each in found if not isinstance(each, RejectedRow)]
        columns = [_column([row[field.name] for row in kept], field) for field in schema]
        refused = tuple(each for each in found if isinstance(each, RejectedRow))
        yield ReadBatch(pa.RecordBatch.from_arrays(columns, schema=schema), refused)


def _column(cells: list[Any], field: pa.Field) -> pa.Array:
    if not isinstance(field.type, pa.FixedShapeTensorType):
        return pa.array(cells, field.type)
    numbers = np.array(cells).reshape(-1).astype(field.type.value_type.to_pandas_dtype())
    storage = pa.FixedSizeListArray.from_arrays(pa.array(numbers), prod(field.type.shape))
    return pa.ExtensionArray.from_storage(field.type, storage.cast(field.type.storage_type))
