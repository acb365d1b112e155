"""Baselines that predict the same for every row."""

from typing import ClassVar

import numpy as np
from typing_extensions import override

from headframe.tasks.baselines.base import BaselineData, DenseBaseline


class Prior(DenseBaseline):
    """The share of each class among training rows as its probability, and so the most frequent class."""

    name: ClassVar[str] = "prior"

    @override
    def scores(self, data: BaselineData) -> np.ndarray:
        [classes] = data.dense_task.outputs
        counts = np.bincount(data.training_targets, minlength=classes)
        return np.tile(counts / counts.sum(), (len(data.positions), 1))


class TargetMean(DenseBaseline):
    """The mean of the target in training rows."""

    name: ClassVar[str] = "mean"

    @override
    def scores(self, data: BaselineData) -> np.ndarray:
        mean = data.training_targets.mean(axis=0, dtype=np.float64)
        return data.dense_task.scores(np.broadcast_to(mean, (len(data.positions), *data.dense_task.outputs)))
