"""Images of any size, as the bytes of their files, brought to one size."""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from typing_extensions import override

from headframe.cells.images import decode_image
from headframe.config.ranges import Count
from headframe.errors import DataError, RowError
from headframe.features.base import Encoded, Encoder
from headframe.features.columns import first_empty
from headframe.features.spec import IMAGE, InputSpec

CHANNELS = 3


class ResizedImages(Encoder):
    """Encoded images as three inputs: `image`, uint8 RGB (3, height, width), and where its pixels come from.

    `size` is the image's own height and width in pixels, and `scale` how many pixels of `image` one of them has become
    along each of both, so that places in `image` can be found in the image as it came; both float32 (2,).

    Args:
        column: the column of images; default: the data set's only input.
        height: of `image`, in pixels.
        width: likewise.
        fit: `stretch` fills `image` and may change proportions, `pad` keeps them and leaves black below or right.
    """

    gives: ClassVar[str] = "resized_image"

    def __init__(
        self,
        column: str | None = None,
        height: Count = 240,
        width: Count = 320,
        fit: Literal["stretch", "pad"] = "stretch",
    ) -> None:
        self.columns = (column,) if column else ()
        self.height = height
        self.width = width
        self.pads = fit == "pad"

    def _fit(self, rows: pa.Table) -> None:
        self._cells(rows)

    def _cells(self, rows: pa.Table) -> pa.ChunkedArray:
        column = rows.column(self.column)
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            raise DataError(f"column {self.column!r} holds {column.type}, but the bytes of image files were expected")
        if column.null_count:
            raise RowError(f"column {self.column!r} has no image", first_empty(column), "; leave the row out")
        return column

    def _encode(self, rows: pa.Table) -> Encoded:
        images = np.zeros((rows.num_rows, self.height, self.width, CHANNELS), dtype=np.uint8)
        size, scale = np.empty((rows.num_rows, 2), np.float32), np.empty((rows.num_rows, 2), np.float32)
        for number, cell in enumerate(self._cells(rows)):
            try:
                pixels = decode_image(cell.as_py(), "RGB")
            except DataError as error:
                raise RowError(f"column {self.column!r} has no usable image", number + 1, f": it {error}") from error
            own = np.array(pixels.shape[:2])
            new = np.array([self.height, self.width])
            if self.pads:
                new = np.maximum(1, np.round(own * (new / own).min()).astype(np.int64))
            high, wide = new.tolist()
            resized = Image.fromarray(pixels).resize((wide, high), Image.Resampling.BILINEAR)
            images[number, :high, :wide] = np.asarray(resized)
            size[number], scale[number] = own, new / own
        return {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2)), "size": size, "scale": scale}

    @override
    def spec(self) -> InputSpec:
        image = InputSpec("image", dict(zip(IMAGE, (CHANNELS, self.height, self.width), strict=True)))
        pair = InputSpec("pair", {"feature": 2})
        return InputSpec(self.gives, {}, parts={"image": image, "size": pair, "scale": pair})
