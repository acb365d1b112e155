"""Raw rows as pictures: the images of a table, and grids of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from headframe.cells.images import decode_image
from headframe.pages.plot_style import SMALL, WIDTH, new_figure

COLUMNS = 4
_GREY, _COLOURED = 1, (3, 4)  # channels


def first_images(rows: pa.Table) -> list[np.ndarray] | None:
    """Return the cells of the first column of images, each (height, width, channels); None where there is no such.

    Images are tensors with one, three or four channels as their last axis, or files in cells of bytes.
    """
    for column in rows.columns:
        if pa.types.is_binary(column.type):
            return [decode_image(each) for each in column.to_pylist()]
        shape = tuple(column.type.shape) if isinstance(column.type, pa.FixedShapeTensorType) else ()
        if len(shape) == 3 and shape[-1] in {_GREY, *_COLOURED}:  # noqa: PLR2004 - height, width, channels
            cells: Any = column.combine_chunks()
            return list(cells.to_numpy_ndarray().reshape(-1, *shape))
    return None


def grid(images: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Draw images from left to right and from the top, each below its title.

    Args:
        images: each (height, width, channels), of any numbers; of one channel the lowest is black, the highest white.
        titles: one for each image; a line of one should fit a quarter of a plot.
    """
    rows = -(-len(images) // COLUMNS)
    figure, panels = new_figure(rows * (WIDTH / COLUMNS + 0.3), rows, COLUMNS)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, image, title in zip(panels.flat, images, titles, strict=False):
        show(axes, image)
        axes.set_title(title, fontsize=SMALL)
    return figure


def show(axes: Any, image: np.ndarray) -> None:
    """Draw an image (height, width, channels) in a panel, one pixel of it after the other and without axes."""
    axes.set_axis_off()
    axes.imshow(image[..., 0] if image.shape[-1] == _GREY else image, cmap="gray", interpolation="nearest")
