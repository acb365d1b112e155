"""Images of one size as standardised arrays."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import DataError, RowError
from headframe.features.base import Encoder
from headframe.features.columns import first_empty
from headframe.features.spec import IMAGE, InputSpec

LEVELS = 256
AT_ONCE = 4096
"""Images decoded at once, so that memory stays bounded whatever the size of the table."""


class Images(Encoder):
    """Images of one size as float32 (channels, height, width), standardised by channel.

    Mean and deviation are those of all training pixels of a channel. They are computed from counts of the 256 levels,
    hence exact and independent of the order of the rows. Each level keeps a value of its own, so that two images are
    copies for it (`examples.copies`) where all their pixels are equal, and only there.

    Args:
        column: the column of images; default: the data set's only input.
    """

    gives: ClassVar[str] = "image"

    def __init__(self, column: str | None = None) -> None:
        self.columns = (column,) if column else ()
        self.shape_: list[int] = []
        self.mean_: list[float] = []
        self.deviation_: list[float] = []

    def _fit(self, rows: pa.Table) -> None:
        counts = np.zeros((0, LEVELS), dtype=np.int64)
        for pixels in _batches(rows, self.column):
            height, width, channels = pixels.shape[1:]
            self.shape_ = [channels, height, width]
            counts = counts if len(counts) else np.zeros((channels, LEVELS), dtype=np.int64)
            for channel in range(channels):
                counts[channel] += np.bincount(pixels[..., channel].ravel(), minlength=LEVELS)
        levels = np.arange(LEVELS)
        total = counts.sum(axis=1)
        mean = counts @ levels / total
        deviation = np.sqrt((counts * (levels - mean[:, np.newaxis]) ** 2).sum(axis=1) / total)
        constant = (counts > 0).sum(axis=1) == 1
        self.mean_ = mean.tolist()
        self.deviation_ = np.where(constant, 1.0, deviation).tolist()

    def _encode(self, rows: pa.Table) -> np.ndarray:
        encoded = np.empty((rows.num_rows, *self.shape_), dtype=np.float32)
        deviation = np.array(self.deviation_)[:, np.newaxis]
        level = ((np.arange(LEVELS) - np.array(self.mean_)[:, np.newaxis]) / deviation).astype(np.float32)
        start = 0
        for pixels in _batches(rows, self.column):
            height, width, channels = pixels.shape[1:]
            if [channels, height, width] != self.shape_:
                expected = "{1} x {2} pixels in {0} channels".format(*self.shape_)
                msg = f"column {self.columns[0]!r} holds images of {height} x {width} pixels in {channels} channels, "
                raise DataError(msg + f"but the model was trained on {expected}")
            for channel in range(channels):
                np.take(level[channel], pixels[..., channel], out=encoded[start : start + len(pixels), channel])
            start += len(pixels)
        return encoded

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.gives, dict(zip(IMAGE, self.shape_, strict=True)))


def _batches(rows: pa.Table, name: str) -> Iterator[np.ndarray]:
    """Yield a column of images as uint8 (at most `AT_ONCE`, height, width, channels), in order.

    Raises:
        DataError: the column holds no uint8 tensors of one size, or an empty cell.
    """
    column = rows.column(name)
    kind = column.type
    fits = isinstance(kind, pa.FixedShapeTensorType) and kind.value_type == pa.uint8() and len(kind.shape) in {2, 3}
    if not fits:
        msg = f"column {name!r} holds {kind}, but images were expected: uint8 tensors (height, width, channels)"
        raise DataError(msg)
    if column.null_count:
        raise RowError(f"column {name!r} has no image", first_empty(column), "; leave the row out")
    for chunk in column.chunks:
        for start in range(0, len(chunk), AT_ONCE):
            pixels = chunk.slice(start, AT_ONCE).to_numpy_ndarray()
            yield pixels if pixels.ndim == 4 else pixels[..., np.newaxis]  # noqa: PLR2004 - a grey image without channels
