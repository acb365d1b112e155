"""Masks that need no model: what is brighter than a threshold, or darker."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.pixels import channels_in, pixels_in
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline
from headframe.tasks.segmentation import MASK, OUTSIDE, Segmentation

SIDES = ("brighter", "darker", "smaller")
"""Which side of its threshold is an image's foreground; the one that fits the masks of training rows best."""


class Otsu(NaturalBaseline):
    """The pixels on one side of the threshold that divides an image's brightness best (Otsu 1979), in one class."""

    name: ClassVar[str] = "otsu"
    absence: ClassVar[str] = "There is no threshold of brightness: no input is an image."

    @override
    def predictions(self, data: BaselineData) -> pa.Table | None:
        task = data.task
        if not isinstance(task, Segmentation):
            raise ConfigurationError(f"task {task.kind} names a baseline that predicts masks, as it does not")
        images = {name: channels_in(data.table.schema.field(name).type) for name in data.dataset.inputs}
        images = {name: channels for name, channels in images.items() if channels in {0, 1, 3}}
        if len(images) != 1:
            return None
        [(name, channels)] = images.items()
        rows = data.table.read([name])

        def bright(chosen: pa.Array) -> list[np.ndarray]:
            return [above_threshold(image) for image in pixels_in(rows.take(chosen), name, channels or 3)]

        training = pa.array(np.flatnonzero(data.training))
        masks = task.targets(data.targets.take(training))[MASK]
        counts = np.bincount(masks.ravel(), minlength=OUTSIDE)
        number = 1 + int(counts[1:OUTSIDE].argmax())
        shared = dict.fromkeys(SIDES, 0.0)
        for above, mask in zip(bright(training), masks, strict=True):
            true = mask[: above.shape[0], : above.shape[1]] > 0
            for side in SIDES:
                chosen = _side(above, side)
                shared[side] += (chosen & true).sum() / max((chosen | true).sum(), 1)
        best = max(SIDES, key=shared.__getitem__)
        found = [number * _side(above, best).astype(np.int64) for above in bright(pa.array(data.positions))]
        return task.columns(found, [1.0] * len(found))


def _side(above: np.ndarray, side: str) -> np.ndarray:
    darker = side == "darker" or (side == "smaller" and 2 * above.sum() > above.size)
    return ~above if darker else above


def above_threshold(image: np.ndarray) -> np.ndarray:
    """Return which pixels of an image, uint8 (height, width, channels), are brighter than Otsu's threshold."""
    bright = image.mean(axis=2).round().astype(np.uint8)
    counts = np.bincount(bright.ravel(), minlength=256).astype(np.float64)
    levels, total = np.arange(256), counts.sum()
    below, mass = np.cumsum(counts), np.cumsum(counts * levels)
    between = (mass[-1] * below / total - mass) ** 2 / np.maximum(below * (total - below), 1)
    return bright > between.argmax()
