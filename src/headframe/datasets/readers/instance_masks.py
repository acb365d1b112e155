"""Images with one mask for each instance, as the Data Science Bowl 2018 has them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from headframe.cells.images import decode_image, encode_mask
from headframe.config.ranges import ImageColumn, MaskColumn, TextColumn
from headframe.datasets.file_tree import FileTree
from headframe.datasets.readers.base import RejectedRow
from headframe.datasets.readers.images import ENDINGS, Cells, ImageReader, picture, row_of
from headframe.errors import DataError, some


@dataclass(frozen=True, kw_only=True)
class InstanceMasks(ImageReader):
    """Reads one image a row, and the union of its masks: 1 where any of them is not 0.

    The files lie in folders or ZIP archives as `NAME/images/ANY.png` and `NAME/masks/ANY.png`, below any top.

    Attributes:
        images: name of the folder with the one image.
        masks: name of the folder with the masks.
        image: column that takes the image.
        mask: column that takes the union of the masks, as pixels of one size or as a PNG file.
        name: column that takes the name.
    """

    images: str = "images"
    masks: str = "masks"
    image: ImageColumn = "image"
    mask: MaskColumn = "mask"
    name: TextColumn = "name"

    def rows(self, files: Mapping[str, Path], schema: pa.Schema) -> Iterator[Cells | RejectedRow]:
        """Yield the images with their masks; see `ImageReader.rows`."""
        if {self.image, self.mask, self.name} != {*schema.names}:
            raise DataError(f"these files give {self.image}, {self.mask}, {self.name}; expected: {some(schema.names)}")
        for source, file in files.items():
            tree = FileTree(file)
            found: dict[str, dict[str, list[str]]] = defaultdict(lambda: {self.images: [], self.masks: []})
            for path in map(PurePosixPath, tree.names):
                if path.suffix.lower() in ENDINGS and path.parent.name in {self.images, self.masks}:
                    found[path.parent.parent.as_posix()][path.parent.name].append(path.as_posix())
            if not found:
                raise DataError(f"{file} has no images in folders called {self.images}, and masks in {self.masks}")
            for position, folder in enumerate(sorted(found), start=1):
                name = PurePosixPath(folder).name
                yield row_of(source, position, name, partial(self._cells, tree, name, found[folder], schema))

    def _cells(self, tree: FileTree, name: str, found: Mapping[str, Sequence[str]], schema: pa.Schema) -> Cells:
        images, masks = found[self.images], found[self.masks]
        if len(images) != 1 or not masks:
            raise DataError(f"has {len(images)} images and {len(masks)} masks; expected one, and some")
        shown = picture(tree.read(images[0]), schema.field(self.image))
        parts = [decode_image(tree.read(each), "L")[..., 0] > 0 for each in masks]
        sizes = {each.shape for each in parts}
        if sizes != {(shown.height, shown.width)}:
            raise DataError(f"has {shown.height} x {shown.width} pixels, but masks of {some(sorted(sizes))}")
        union = np.any(parts, axis=0).astype(np.uint8)
        kind = schema.field(self.mask).type
        if pa.types.is_binary(kind):
            return {self.image: shown.cell, self.mask: encode_mask(union), self.name: name}
        if tuple(kind.shape) not in {union.shape, (*union.shape, 1)}:
            raise DataError(f"has masks of {union.shape}, but the contract has {tuple(kind.shape)}")
        return {self.image: shown.cell, self.mask: union, self.name: name}

    def is_input(self, name: str) -> bool:
        """Return whether a file of an archive to predict for is an image, and no mask."""
        return PurePosixPath(name).parent.name != self.masks
