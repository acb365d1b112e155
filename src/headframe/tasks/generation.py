"""Images that resemble those of a data set, one for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.ranges import Column, Count
from headframe.errors import ConfigurationError, DataError, some
from headframe.metrics import samples
from headframe.metrics.statistics import Statistic
from headframe.tasks.base import Task, require_target
from headframe.tasks.image_features import LEVELS, ImageFeatures, packed, unpacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET, SAMPLE = "target", "image"
IMAGES = "images"
"""The one array of `targets`."""
_COPIES = 0.01
_SEED = 17


class Generation(Task):
    """An image for each row, which the row's seed alone decides; the target are the images to resemble.

    Their resemblance is measured by features of a classifier that is fitted to training images and their labels. Who
    measures fits it again, so that no model brings features of its own. Other training images are kept beside the
    model: what is generated is compared with the nearest of them.

    Args:
        labels: the input column with the classes of the images, for the features alone.
        references: how many training images are kept, and to how many others the classifier is fitted, at most.
        features: how many the classifier computes.
    """

    kind: ClassVar[str] = "generation"
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.image_mixture.ImageMixture",)
    captions: ClassVar[Mapping[str, str]] = {
        "samples": "Generated images, of seeds at equal distances",
        "nearest": "Generated images, each above the training image that is nearest to it",
        "distances": "How far generated and real test images are from the nearest training image",
    }
    caveats: ClassVar[tuple[str, ...]] = (
        "FID, by a classifier of the same data set, compares only models that are measured by the same classifier.",
        "`training_fid` is the FID of as many training images: no model is expected to be below it.",
        "FID of few rows is too high, and so is its interval, as resamples repeat rows; differences of models are not.",
        "`nearest_ratio`: distances from the nearest training image kept, of generated beside real test images.",
        "`copies`: the share that is nearer to it than 1 % of the real ones are; about 0.01 where nothing is copied.",
    )
    truth_columns = (TARGET,)

    def __init__(self, *, labels: Column, references: Count = 10_000, features: Count = 32) -> None:
        self.primary_metric, self.higher_is_better = "fid", False
        self.labels = labels
        self.references = references
        self.column_ = ""
        self.features_ = ImageFeatures(features)
        self.images_ = np.zeros((0, 1, 1, 1), dtype=np.uint8)

    @override
    def target_columns(self, inputs: Sequence[str], target: str | None) -> list[str]:
        if target is None or self.labels not in inputs:
            msg = f"task.labels={self.labels} is none of the inputs, which are {some(inputs)}; name the column with the"
            raise ConfigurationError(f"{msg} classes of the images among dataset.inputs, and the images as the target")
        return [target, self.labels]

    @override
    def fit(self, target: pa.Table) -> None:
        self.column_ = next(name for name in target.column_names if name != self.labels)
        chosen = np.random.default_rng(_SEED).permutation(len(target))[: 2 * self.references]
        rows = target.take(pa.array(chosen))
        images = self.targets(rows)[IMAGES]
        labels = rows[self.labels].to_pylist()
        if len({*labels[::2]}) < 2:  # noqa: PLR2004 - a classifier of one class has no features
            raise DataError(f"column {self.labels!r} has one value in training rows, so that no features are learned")
        self.features_.fit(images[::2], labels[::2])
        self.images_ = images[1::2]

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        require_target(target, [self.column_])
        column = target[self.column_]
        shape = tuple(column.type.shape) if isinstance(column.type, pa.FixedShapeTensorType) else ()
        if len(shape) != 3 or column.type.value_type != pa.uint8():  # noqa: PLR2004 - height, width, channels
            held = f"column {self.column_!r} holds {column.type}"
            raise DataError(f"{held}, but images were expected: uint8 tensors (height, width, channels)")
        blocks: list[Any] = [chunk.to_numpy_ndarray() for chunk in column.chunks if len(chunk)]
        return {IMAGES: np.concatenate([np.zeros((0, *shape), dtype=np.uint8), *blocks])}

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({TARGET: _tensors(targets[IMAGES])})

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({SAMPLE: _tensors(targets[IMAGES].astype(np.float32))})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.images_.shape[1:]
        return height, width, channels

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        height, width, channels = self.shape
        return channels, height, width

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return pa.schema({SAMPLE: pa.fixed_shape_tensor(pa.float32(), self.shape)})

    def columns(self, images: np.ndarray) -> pa.Table:
        """Return the prediction columns of images (images, channels, height, width) of brightness 0 to 1.

        They hold levels from 0 to 255 that are not rounded, as a rounded one may differ between one row and many.
        """
        levels = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).astype(np.float32) * np.float32(LEVELS)
        return pa.table({SAMPLE: _tensors(levels)})

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        real, generated = _images(predictions[TARGET]), _images(predictions[SAMPLE])
        features, others = self.features_(real), self.features_(generated)
        moments = samples.moments(features)
        training = samples.constant_moments(self.features_(self.images_[: len(real)]))

        @cache
        def distances() -> tuple[np.ndarray, np.ndarray]:
            return self.nearest(real)[0], self.nearest(generated)[0]

        return {
            "fid": samples.frechet_distance(moments, samples.moments(others)),
            "training_fid": samples.frechet_distance(moments, training),
            **samples.precision_and_coverage(features, others),
            **samples.nearness(distances, len(real), _COPIES),
        }

    def nearest(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far images (images, height, width, channels) are from the nearest one kept, and which that is.

        The distance is Euclidean, of brightness from 0 to 1.
        """
        rows, others = (
            each.reshape(len(each), -1).astype(np.float32) / np.float32(LEVELS) for each in (images, self.images_)
        )
        return samples.nearest_rows(rows, others)

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import generation_plots  # noqa: PLC0415 - training and serving draw nothing

        real, generated = _images(predictions[TARGET]), _images(predictions[SAMPLE])
        (distances, which), (usual, _) = self.nearest(generated), self.nearest(real)
        chosen, nearest = generation_plots.shown_pairs(distances)
        return {
            "samples": generation_plots.samples(generated),
            "nearest": generation_plots.pairs(generated, self.images_[which], chosen, nearest),
            "distances": generation_plots.distances(distances, usual),
        }

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        seeds = ", ".join(f"`{name}`" for name in inputs if name != self.labels)
        return f"Generates an image like those in `{target}` for each row; equal values of {seeds} give equal images."

    @override
    def state(self) -> dict[str, Any]:
        return {"column": self.column_, "features": self.features_.state(), "images": packed(self.images_)}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.column_ = state["column"]
        self.features_.restore(state["features"])
        self.images_ = unpacked(state["images"])


def _tensors(images: np.ndarray) -> pa.Array:
    """Return images (images, height, width, channels) as a column, also where there is none."""
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(images.dtype), images.shape[1:])
    values = pa.array(np.ascontiguousarray(images).reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(values, int(np.prod(images.shape[1:])))
    return pa.ExtensionArray.from_storage(kind, storage.cast(kind.storage_type))


def _images(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of images as (images, height, width, channels)."""
    images: np.ndarray = column.combine_chunks().to_numpy_ndarray()
    return images
