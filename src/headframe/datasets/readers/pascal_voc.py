"""Images with boxes in the layout of Pascal VOC: a folder of images, one of XML files, one of lists of names.

Source: M. Everingham et al., The PASCAL Visual Object Classes Challenge 2012, Development Kit, section 4.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pyarrow as pa

from headframe.config.ranges import ImageColumn, StructsColumn, TextColumn
from headframe.datasets.file_tree import FileTree
from headframe.datasets.readers.base import RAW_LENGTH, RejectedRow
from headframe.datasets.readers.images import ENDINGS, Cells, ImageReader, picture, row_of
from headframe.errors import DataError, some

BOX = ("x", "y", "width", "height", "label")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True)
class PascalVoc(ImageReader):
    """Reads one image and its boxes a row, in the order of names.

    A box is its left and upper edge, width and height in pixels as the corners have them, and its label. One without
    an area, or that reaches beyond the image, is left out of its row and rejected by itself.

    Attributes:
        images: source of the images.
        annotations: source of the XML files, called as the images are.
        lists: source of the lists of names; None where there are none.
        parts: by value of the column `part` the file of `lists` with its names.
        image: column that takes the image.
        boxes: column that takes the boxes, with the fields x, y, width, height and label.
        name: column that takes the name, without ending.
        part: column that takes the part, where there are lists.
    """

    images: str = "images"
    annotations: str = "annotations"
    lists: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    image: ImageColumn = "image"
    boxes: StructsColumn = "boxes"
    name: TextColumn = "name"
    part: str = "part"

    def rows(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[Cells | RejectedRow]:
        """Yield the images with their boxes; see `ImageReader.rows`."""
        given = {self.image, self.boxes, self.name, *([self.part] if self.lists else [])}
        if given != {*schema.names}:
            raise DataError(f"these files give {some(sorted(given))}; expected: {some(schema.names)}")
        if {each.name for each in schema.field(self.boxes).type.value_type} != {*BOX}:
            raise DataError(f"column {self.boxes!r} needs the fields {', '.join(BOX)} to hold boxes")
        images, annotations = (FileTree(self._file(files, name)) for name in (self.images, self.annotations))
        pictures = {PurePosixPath(name).stem: name for name in images.names if name.lower().endswith(ENDINGS)}
        described = {PurePosixPath(name).stem: name for name in annotations.names if name.endswith(".xml")}
        parts = self._parts(files)
        for position, name in enumerate(sorted({*pictures, *described, *parts}), start=1):
            lacking = {"image": pictures, "annotation": described} | ({"part": parts} if self.lists else {})
            if missing := [what for what, known in lacking.items() if name not in known]:
                yield RejectedRow(self.images, position, f"({name}) has no {' and no '.join(missing)}", name)
                continue
            refused: list[RejectedRow] = []
            part = {self.part: parts[name]} if self.lists else {}
            read = partial(self._cells, name, (images, pictures[name]), (annotations, described[name]), schema, refused)
            row = row_of(self.annotations, position, name, read)
            yield row if isinstance(row, RejectedRow) else row | part
            yield from (replace(each, position=position) for each in refused)

    def _cells(
        self,
        name: str,
        image: tuple[FileTree, str],
        annotation: tuple[FileTree, str],
        schema: pa.Schema,
        refused: list[RejectedRow],
    ) -> Cells:
        """Return the cells of a row, and add the boxes that are left out of it to `refused`."""
        found = picture(image[0].read(image[1]), schema.field(self.image))
        boxes = []
        for number, node in enumerate(_parsed(annotation[0].read(annotation[1])).iter("object"), start=1):
            box = _box(node)
            if fault := _why_no_box(box, found.width, found.height):
                raw = " ".join(ElementTree.tostring(node, encoding="unicode").split())[:RAW_LENGTH]
                refused.append(RejectedRow(self.annotations, 0, f"(box {number} of {name}) {fault}: left out", raw))
            else:
                boxes.append(box)
        return {self.image: found.cell, self.boxes: boxes, self.name: name}

    def _parts(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Return the part of each name."""
        if self.lists is None:
            return {}
        tree, found = FileTree(self._file(files, self.lists)), list[tuple[str, str]]()
        for part, file in self.parts.items():
            if file not in tree.names:
                raise DataError(f"source {self.lists} has no file {file!r}; it has {some(tree.names)}")
            found += [(line.split()[0], part) for line in tree.read(file).decode().splitlines() if line.strip()]
        twice = [name for name, times in Counter(name for name, _ in found).items() if times > 1]
        if twice:
            raise DataError(f"source {self.lists} lists {twice[0]!r} twice; a row lies in one part")
        return dict(found)

    @staticmethod
    def _file(files: Mapping[str, Path], source: str) -> Path:
        if source not in files:
            raise DataError(f"the reader needs a source {source!r}; dataset.sources has {some(files)}")
        return files[source]


def _parsed(content: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)  # noqa: S314 - expat bounds what entities expand to
    except ElementTree.ParseError as error:
        raise DataError(f"has an annotation that is no XML: {error}") from error


def _box(node: ElementTree.Element) -> dict[str, float | str]:
    try:
        left, top, right, bottom = (float(node.findtext(f"bndbox/{corner}", "")) for corner in CORNERS)
    except ValueError:
        raise DataError(f"has a box without the numbers {', '.join(CORNERS)}") from None
    label = node.findtext("name", "").strip()
    if not label:
        raise DataError("has a box without a name")
    return {"x": left, "y": top, "width": right - left, "height": bottom - top, "label": label}


def _why_no_box(box: Mapping[str, float | str], width: int, height: int) -> str:
    x, y, wide, high = (float(box[name]) for name in BOX[:4])
    if not (wide > 0 and high > 0):
        return "has no area"
    inside = x >= 0 and y >= 0 and x + wide <= width and y + high <= height
    return "" if inside else f"reaches beyond the image of {width} x {height} pixels"
