"""Images whose label is the folder that they lie in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa

from headframe.cells.parse import parse_cells
from headframe.cells.rules import CellRules
from headframe.config.ranges import Column, ImageColumn, TextColumn
from headframe.datasets.file_tree import FileTree
from headframe.datasets.readers.base import RejectedRow
from headframe.datasets.readers.images import Cells, ImageReader, image_files, picture, row_of
from headframe.errors import DataError, some


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageReader):
    """Reads the images of folders or ZIP archives, `.../LABEL/ANY.jpg`, in the order of their names.

    Attributes:
        image: column that takes the image.
        label: column that takes the name of the innermost folder.
        name: column that takes the name of the file with its folders; the data set may leave it out.
    """

    image: ImageColumn = "image"
    label: Column = "label"
    name: TextColumn | None = None

    def rows(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[Cells | RejectedRow]:
        """Yield the images with their labels; see `ImageReader.rows`."""
        given = {self.image, self.label, *([self.name] if self.name else [])}
        if given != {*schema.names}:
            raise DataError(f"folders of images give {some(sorted(given))}; expected: {some(schema.names)}")
        for source, file in files.items():
            for position, (name, content) in enumerate(image_files(FileTree(file)), start=1):
                yield row_of(source, position, name, partial(self._cells, name, content, schema))

    def _cells(self, name: str, content: bytes, schema: pa.Schema) -> Cells:
        label = pa.array([PurePosixPath(name).parent.name])
        value, wrong = parse_cells(schema.field(self.label), label, CellRules())
        if wrong:
            raise DataError(f"is no row: {wrong[0]}")
        shown = picture(content, schema.field(self.image)).cell
        return {self.image: shown, self.label: value[0].as_py()} | ({self.name: name} if self.name else {})
