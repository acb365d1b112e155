"""Regressors of one or several values."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.base import EncodedArray
from headframe.miners.base import EstimatorModel
from headframe.tasks.dense import TARGET, DenseTask


class RegressorModel(EstimatorModel[DenseTask]):
    """An estimator whose `predict` gives values, which it is fitted to on the standardised scale."""

    @override
    def _fit(self, inputs: EncodedArray, targets: Mapping[str, np.ndarray]) -> None:
        target = targets[TARGET]
        if target.shape[1:] != self.task.outputs:
            shapes = f"targets of shape {target.shape[1:]} came for outputs of shape {self.task.outputs}"
            raise ConfigurationError(f"{shapes}; a task's `encode` returns a value for each of its `outputs`")
        values = target.reshape(len(target), -1).astype(np.float64)
        self.estimator.fit(inputs, values[:, 0] if values.shape[1] == 1 else values)

    @override
    def _predict(self, inputs: EncodedArray) -> pa.Table:
        values = np.asarray(self.estimator.predict(inputs), dtype=np.float64)
        return self.task.columns(self.task.scores(values.reshape(len(values), *self.task.outputs)))
