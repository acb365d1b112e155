"""Features of images: what a small classifier of theirs computes before it decides."""

import base64
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

_HIDDEN = 64  # units between pixels and features
_PASSES = 12  # over the images; more of them change features little
_SEED = 17
LEVELS = 255.0


class ImageFeatures:
    """The last hidden layer of a classifier of images, by one scale so that its units vary by 1 on average.

    Args:
        size: how many features.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.layers: list[tuple[np.ndarray, np.ndarray]] = []
        self.scale = 1.0

    def fit(self, images: np.ndarray, labels: Sequence[Any]) -> None:
        """Fit the classifier to images (images, ...) of levels up to 255; equal images give equal bits."""
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - where a task is restored nothing is fitted
        from sklearn.neural_network import MLPClassifier  # noqa: PLC0415 - where a task is restored nothing is fitted

        model = MLPClassifier((_HIDDEN, self.size), max_iter=_PASSES, random_state=_SEED)
        # The number of threads would change the bits.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_pixels(images), np.asarray(labels))
            self.layers = [*zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True)]
            self.scale = 1.0
            variance = float(self(images).var(axis=0).mean())
        self.scale = 1 / np.sqrt(variance) if variance else 1.0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the features of images (images, ...) of levels up to 255, float64 (images, size)."""
        found = _pixels(images)
        with threadpool_limits(1):
            for weights, offsets in self.layers:
                found = np.maximum(found @ weights + offsets, 0.0)
        return found.astype(np.float64) * self.scale

    def state(self) -> dict[str, Any]:
        """Return what was fitted, as JSON values."""
        return {"scale": self.scale, "layers": [[packed(each) for each in layer] for layer in self.layers]}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.scale = state["scale"]
        self.layers = [(unpacked(weights), unpacked(offsets)) for weights, offsets in state["layers"]]


def _pixels(images: np.ndarray) -> np.ndarray:
    return (images.reshape(len(images), -1) / LEVELS).astype(np.float32)


def packed(array: np.ndarray) -> dict[str, Any]:
    """Return an array as JSON values, compressed."""
    content = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()
    return {"type": array.dtype.str, "shape": list(array.shape), "content": content}


def unpacked(state: dict[str, Any]) -> np.ndarray:
    """Return the array of which `packed` made JSON values."""
    content = zlib.decompress(base64.b64decode(state["content"]))
    return np.frombuffer(content, dtype=state["type"]).reshape(state["shape"])
