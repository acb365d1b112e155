"""Which class each pixel of an image is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.cells.images import decode_mask, encode_mask
from headframe.errors import DataError, RowError, some
from headframe.features.columns import first_empty
from headframe.metrics.statistics import (
    Bounds,
    Statistic,
    Weights,
    bounded_mean,
    divide,
    mean_where,
    remember_last,
)
from headframe.tasks.base import Task, require_target, single_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET, MASK = "target", "mask"

OUTSIDE = 255
"""In the place of a class where an array goes on beyond the edge of a smaller image."""

LEAST_CLASSES, MOST_CLASSES = 2, OUTSIDE


class Segmentation(Task):
    """A mask for each image, of any size: in each pixel the number that masks of the data set have for its class.

    Masks are PNG files in tables and answers, so that each has the size of its image. The lowest number is the
    background; all others are foreground.

    Args:
        primary_metric: decides between models. `iou` is intersection over union of the pixels of all images together,
            `image_iou` the mean of that of each image, `dice` 2 x intersection over the sum of both sizes, of all
            pixels together; each is averaged over the classes of the foreground.
        classes: names of the classes in the order of their numbers, the background first; none: the numbers.
    """

    kind: ClassVar[str] = "segmentation"
    padding: ClassVar[Mapping[str, float]] = {MASK: OUTSIDE}
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.otsu.Otsu",)
    captions: ClassVar[Mapping[str, str]] = {
        "images": "Intersection over union of each image",
        "areas": "Share of each image that is foreground, true and predicted",
        "worst_masks": "The worst images in their own range of brightness, with true and with predicted outlines",
    }
    caveats: ClassVar[tuple[str, ...]] = (
        "Each pixel is judged by itself: objects that touch are one area, and are not counted.",
        "In pooled metrics large areas decide; `image_iou` gives each image the same weight.",
    )

    def __init__(
        self, *, primary_metric: Literal["iou", "image_iou", "dice"] = "iou", classes: Sequence[str] = ()
    ) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = True
        self.classes = tuple(classes)
        self.column_ = ""
        self.numbers_: list[int] = []

    @property
    @override
    def names(self) -> list[str]:
        return list(self.classes or map(str, self.numbers_))

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        """One output a class for each pixel; the size follows the image."""
        return (len(self.numbers_),)

    @override
    def fit(self, target: pa.Table) -> None:
        self.column_ = single_target(target, self.kind)
        found = np.zeros(256, dtype=bool)
        for mask in masks_in(target, self.column_):
            found[np.unique(mask)] = True
        self.numbers_ = np.flatnonzero(found).tolist()
        have = f"masks {self.column_!r} of training rows have {some(self.numbers_)}"
        if not LEAST_CLASSES <= len(self.numbers_) <= MOST_CLASSES:
            raise DataError(
                f"{have}, but {LEAST_CLASSES} to {MOST_CLASSES} different numbers were expected; correct the masks"
            )
        if self.classes and len(self.classes) != len(self.numbers_):
            raise DataError(f"{have}, but task.classes has {len(self.classes)} names; give each number one")

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        """Return `mask`, the class of each pixel, uint8 (rows, height, width) of the largest; see `OUTSIDE`."""
        require_target(target, [self.column_])
        codes, masks = self._codes, []
        for row, mask in enumerate(masks_in(target, self.column_), start=1):
            masks.append(codes[mask])
            if (masks[-1] == OUTSIDE).any():
                came = some(np.setdiff1d(mask, self.numbers_).tolist())
                raise RowError(f"mask {self.column_!r} has {came}", row, f"; training rows have {some(self.numbers_)}")
        sizes = np.array([mask.shape for mask in masks], dtype=np.int64).reshape(-1, 2)
        padded = np.full((len(masks), *sizes.max(axis=0, initial=0)), OUTSIDE, dtype=np.uint8)
        for place, mask in zip(padded, masks, strict=True):
            place[: mask.shape[0], : mask.shape[1]] = mask
        return {MASK: padded}

    @property
    def _codes(self) -> np.ndarray:
        """The class of each number, uint8 (256,)."""
        codes = np.full(256, OUTSIDE, dtype=np.uint8)
        codes[self.numbers_] = np.arange(len(self.numbers_))
        return codes

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({TARGET: self._files(_own_size(targets[MASK]))})

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        masks = _own_size(targets[MASK])
        return self.columns(masks, [1.0] * len(masks))

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return pa.schema({MASK: pa.binary(), "foreground": pa.float64(), "confidence": pa.float64()})

    def columns(self, masks: Sequence[np.ndarray], confidences: Sequence[float]) -> pa.Table:
        """Return the prediction columns of images.

        Args:
            masks: of each image the number of the class of each pixel, int (height, width), from 0 in order.
            confidences: of each image the mean probability of these classes.
        """
        shares = [float((mask > 0).mean()) for mask in masks]
        columns = [self._files(masks), pa.array(shares, pa.float64()), pa.array(confidences, pa.float64())]
        return pa.table(columns, schema=self.prediction_schema)

    def _files(self, masks: Sequence[np.ndarray]) -> pa.Array:
        numbers = np.array(self.numbers_, dtype=np.uint8)
        return pa.array([encode_mask(numbers[mask]) for mask in masks], pa.binary())

    def confusions(self, predictions: pa.Table) -> np.ndarray:
        """Return how many pixels of each row are of a class and predicted as one, int64 (rows, classes, classes)."""
        number, codes = len(self.numbers_), self._codes.astype(np.int64)
        pairs = zip(masks_in(predictions, TARGET), masks_in(predictions, MASK), strict=True)
        counts = [np.bincount(number * codes[true.ravel()] + codes[found.ravel()], minlength=number**2)
                  for true, found in pairs]  # fmt: skip
        return np.array(counts, dtype=np.int64).reshape(-1, number, number)

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        confusions = self.confusions(predictions)
        hits = np.einsum("rkk->kr", confusions).astype(np.float64)
        sizes = (confusions.sum(axis=1) + confusions.sum(axis=2)).T.astype(np.float64)
        pixels = confusions.sum(axis=(1, 2)).astype(np.float64)
        pooled = remember_last(lambda weights: (hits @ weights, sizes @ weights))
        basis = Bounds(0.0, 1.0, (np.ones(len(confusions), dtype=bool),))

        def ious(weights: Weights) -> np.ndarray:
            both, total = pooled(weights)
            return divide(both, total - both)

        def dice(weights: Weights) -> np.ndarray:
            both, total = pooled(weights)
            return _foreground(divide(2 * both, total))

        found = {
            "iou": Statistic(lambda weights: _foreground(ious(weights)), basis),
            "image_iou": bounded_mean(image_ious(confusions), 0.0, 1.0),
            "dice": Statistic(dice, basis),
            "pixel_accuracy": Statistic(lambda weights: divide(hits.sum(axis=0) @ weights, pixels @ weights), basis),
        }
        if len(self.numbers_) > LEAST_CLASSES:  # of two, that of the foreground is `iou`
            for place, number in enumerate(self.numbers_):

                def of_class(weights: Weights, place: int = place) -> np.ndarray:
                    return ious(weights)[place]

                found[f"iou_{number}"] = Statistic(of_class, basis)
        return found

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        columns = ", ".join(f"`{name}`" for name in inputs)
        return f"Finds {', '.join(self.names[1:])} in images of any size, pixel by pixel, from the columns {columns}."

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import segmentation_plots  # noqa: PLC0415 - training and serving draw nothing

        confusions = self.confusions(predictions)
        pixels = confusions.sum(axis=(1, 2))
        shares = [1 - confusions.sum(axis=axis)[:, 0] / pixels for axis in (2, 1)]
        return {
            "images": segmentation_plots.overlaps(image_ious(confusions)),
            "areas": segmentation_plots.areas(*shares),
        }

    @override
    def worst(self, predictions: pa.Table) -> np.ndarray:
        values = image_ious(self.confusions(predictions))
        order = np.argsort(values, kind="stable")
        return order[values[order] < 1]

    @override
    def pictures(self, predictions: pa.Table, rows: pa.Table) -> dict[str, Figure]:
        from headframe.tasks import pictures, segmentation_plots  # noqa: PLC0415 - training and serving draw nothing

        images = pictures.first_images(rows)
        if images is None:
            return {}
        codes = self._codes
        pairs = zip(masks_in(predictions, TARGET), masks_in(predictions, MASK), strict=True)
        masks = [(codes[true], codes[found]) for true, found in pairs]
        return {"worst_masks": segmentation_plots.outlines(images, masks, image_ious(self.confusions(predictions)))}

    @override
    def state(self) -> dict[str, Any]:
        return {"column": self.column_, "numbers": self.numbers_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.column_, self.numbers_ = state["column"], list(state["numbers"])


def image_ious(confusions: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each row, float64 (rows,), averaged over the classes of the foreground.

    A class that a row has neither in truth nor in prediction does not count; a row with none of them has 1.
    """
    both = np.einsum("rkk->kr", confusions)
    found = _foreground(divide(both, (confusions.sum(axis=1) + confusions.sum(axis=2)).T - both))
    return np.where(np.isnan(found), 1.0, found)


def _own_size(padded: np.ndarray) -> list[np.ndarray]:
    """Return the masks of (rows, height, width) without what is beyond the edges of their images."""
    inside = padded != OUTSIDE
    return [mask[: each[:, 0].sum(), : each[0].sum()] for mask, each in zip(padded, inside, strict=True)]


def _foreground(values: np.ndarray) -> np.ndarray:
    """Return the mean over the classes but the first of (classes, ...), without those that are not defined."""
    return mean_where(values[1:], np.isfinite(values[1:]))


def masks_in(rows: pa.Table, name: str) -> Iterator[np.ndarray]:
    """Yield the masks of a column, uint8 (height, width): tensors of bytes, or PNG files.

    Raises:
        DataError: it holds anything else.
    """
    column = rows.column(name)
    kind = column.type
    if column.null_count:
        raise RowError(f"column {name!r} has no mask", first_empty(column), "; leave the row out")
    if isinstance(kind, pa.FixedShapeTensorType) and kind.value_type == pa.uint8():
        for chunk in column.chunks:
            for mask in chunk.to_numpy_ndarray() if len(chunk) else ():
                yield mask.reshape(_flat(mask.shape, name))
        return
    if not pa.types.is_binary(kind):
        raise DataError(f"column {name!r} holds {kind}, but masks were expected: tensors of bytes, or PNG files")
    for row, content in enumerate(column, start=1):
        try:
            yield decode_mask(content.as_py())
        except DataError as error:
            raise RowError(f"column {name!r} holds what {error}", row, "; correct the mask") from error


def _flat(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return height and width of a tensor with one channel or none."""
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):  # noqa: PLR2004 - height, width and maybe a channel
        return shape[:2]
    raise DataError(f"column {name!r} holds tensors of shape {shape}, but a mask has height and width alone")
