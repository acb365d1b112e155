"""Images of any size as bytes, padded to the largest, and where each ends."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.cells.images import decode_image
from headframe.errors import DataError, RowError
from headframe.features.base import Encoder
from headframe.features.columns import first_empty
from headframe.features.spec import IMAGE, InputSpec

MODES: dict[int, str] = {1: "L", 3: "RGB"}


class Pixels(Encoder):
    """Images as uint8 (channels + 1, height, width) of the largest image; the last channel is 1 inside an image.

    Smaller images lie in the upper left corner, and all beyond them is 0. How far it reaches depends on what else is
    encoded, so a network for such inputs predicts each image without it.

    Args:
        column: the column of images; default: the data set's only input.
        channels: 3 for colours, 1 for grey.
    """

    gives: ClassVar[str] = "pixels"
    padding: Mapping[str, float] = MappingProxyType({"": 0})

    def __init__(self, column: str | None = None, channels: Literal[1, 3] = 3) -> None:
        self.columns = (column,) if column else ()
        self.channels = channels

    def _fit(self, rows: pa.Table) -> None:
        pass

    def _encode(self, rows: pa.Table) -> np.ndarray:
        images = list(pixels_in(rows, self.column, self.channels))
        sizes = np.array([image.shape[:2] for image in images], dtype=np.int64).reshape(-1, 2)
        height, width = sizes.max(axis=0, initial=1)
        encoded = np.zeros((len(images), self.channels + 1, height, width), dtype=np.uint8)
        for place, image in zip(encoded, images, strict=True):
            place[: self.channels, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
            place[self.channels, : image.shape[0], : image.shape[1]] = 1
        return encoded

    @override
    def spec(self) -> InputSpec:
        """Return the number of channels; height and width are 0, as they differ between images."""
        return InputSpec(self.gives, dict(zip(IMAGE, (self.channels + 1, 0, 0), strict=True)))


def channels_in(kind: pa.DataType) -> int | None:
    """Return how many channels images of a type of column have; 0 for files, which have any, None where it has none."""
    if pa.types.is_binary(kind):
        return 0
    if isinstance(kind, pa.FixedShapeTensorType) and kind.value_type == pa.uint8() and len(kind.shape) in {2, 3}:
        return int([*kind.shape, 1][2])
    return None


def pixels_in(rows: pa.Table, name: str, channels: int) -> Iterator[np.ndarray]:
    """Yield the images of a column, uint8 (height, width, channels): tensors of bytes, or JPEG and PNG files.

    Raises:
        DataError: it holds anything else.
    """
    column = rows.column(name)
    kind = column.type
    if column.null_count:
        raise RowError(f"column {name!r} has no image", first_empty(column), "; leave the row out")
    came = channels_in(kind)
    if came is None:
        msg = f"column {name!r} holds {kind}, but images were expected: tensors of bytes (height, width, channels), or "
        raise DataError(msg + "JPEG and PNG files")
    if came not in {0, channels}:
        msg = f"column {name!r} holds images of {came} channels, but {channels} were expected; set features.encoder."
        raise DataError(f"{msg}channels={came}")
    if came:
        for chunk in column.chunks:
            for image in chunk.to_numpy_ndarray() if len(chunk) else ():
                yield image.reshape(*image.shape[:2], channels)
        return
    for row, content in enumerate(column, start=1):
        try:
            yield decode_image(content.as_py(), MODES[channels])
        except DataError as error:
            raise RowError(f"column {name!r} holds what {error}", row, "; correct the image") from error
