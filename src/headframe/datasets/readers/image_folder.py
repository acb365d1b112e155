"""Images whose label is the folder that they lie in, or stands in a file of CSV."""

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
from headframe.datasets.readers.lines import Row, rows_of
from headframe.errors import DataError, some

FILE = "file"
"""Column of the CSV with the name of an image and its folders."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageReader):
    """Reads the images of folders or ZIP archives in the order of their names; else `.../LABEL/ANY.jpg`.

    Attributes:
        image: column that takes the image.
        label: column that takes its label: the name of the innermost folder, unless `labels` names a source.
        name: column that takes the name of the file with its folders; the data set may leave it out.
        labels: source of a CSV file with the columns `file` and that of the label; None where folders are labels.
    """

    image: ImageColumn = "image"
    label: Column = "label"
    name: TextColumn | None = None
    labels: str | None = None

    def rows(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[Cells | RejectedRow]:
        """Yield the images with their labels; see `ImageReader.rows`."""
        given = {self.image, self.label, *([self.name] if self.name else [])}
        if given != {*schema.names}:
            raise DataError(f"folders of images give {some(sorted(given))}; expected: {some(schema.names)}")
        labels = None if self.labels is None else self._labels(self.labels, files)
        found: set[str] = set()
        for source, file in files.items():
            if source == self.labels:
                continue
            for position, (name, content) in enumerate(image_files(FileTree(file)), start=1):
                found.add(name)
                label = PurePosixPath(name).parent.name if labels is None else labels.get(name, (0, None))[1]
                yield row_of(source, position, name, partial(self._cells, name, label, content, schema))
        for name, (line, _) in (labels or {}).items():
            if name not in found:
                yield RejectedRow(str(self.labels), line, f"({name}) has no image", name)

    def _cells(self, name: str, label: str | None, content: bytes, schema: pa.Schema) -> Cells:
        if label is None:
            raise DataError(f"has no label in source {self.labels}")
        value, wrong = parse_cells(schema.field(self.label), pa.array([label]), CellRules())
        if wrong:
            raise DataError(f"is no row: {wrong[0]}")
        shown = picture(content, schema.field(self.image)).cell
        return {self.image: shown, self.label: value[0].as_py()} | ({self.name: name} if self.name else {})

    def _labels(self, source: str, files: Mapping[str, Path]) -> dict[str, tuple[int, str]]:
        """Return line and label of each image that the CSV file names."""
        if source not in files:
            raise DataError(f"reader.labels names source {source!r}; dataset.sources has {some(files)}")
        found: dict[str, tuple[int, str]] = {}
        header: list[str] = []
        for row in rows_of(source, files[source], ",", quoted=True):
            if not isinstance(row, Row):
                raise DataError(f"line {row.position} of source {source}{row.joined}; correct it")
            if not header:
                header = row.cells
                if lacking := [name for name in (FILE, self.label) if name not in header]:
                    raise DataError(f"source {source} has no column {lacking[0]!r}; it has {some(header)}")
            elif not row.is_blank:
                cells = dict(zip(header, row.cells, strict=False))
                if len(row.cells) != len(header) or cells[FILE] in found:
                    fault = "names an image again" if len(row.cells) == len(header) else f"has {len(row.cells)} cells"
                    raise DataError(f"line {row.line} of source {source} {fault}; correct it")
                found[cells[FILE]] = row.line, cells[self.label]
        return found
