"""Estimators that find clusters with centres."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.base import Encoded
from headframe.miners.base import EstimatorModel
from headframe.tasks.clustering import Clustering


class ClustererModel(EstimatorModel[Clustering]):
    """An estimator that has `cluster_centers_` once it is fitted, and whose `predict` gives the number of one."""

    def __init__(self, estimator: Any, task: Clustering) -> None:
        if not hasattr(estimator, "predict"):
            name = type(estimator).__name__
            raise ConfigurationError(f"{name} assigns no new rows to clusters; take one with predict, such as KMeans")
        super().__init__(estimator, task)

    @override
    def _fit(self, inputs: Encoded, targets: Mapping[str, np.ndarray]) -> None:
        self.estimator.fit(inputs)
        if not hasattr(self.estimator, "cluster_centers_"):
            raise TypeError("its clusters have no centres")

    @override
    def _predict(self, inputs: Encoded) -> pa.Table:
        centres = np.asarray(self.estimator.cluster_centers_)
        return self.task.columns(inputs, centres, np.asarray(self.estimator.predict(inputs)))
