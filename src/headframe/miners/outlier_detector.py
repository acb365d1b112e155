"""Detectors of outliers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.base import Encoded
from headframe.miners.base import EstimatorModel
from headframe.tasks.anomaly import Anomaly


class OutlierDetectorModel(EstimatorModel[Anomaly]):
    """An estimator whose `score_samples` are low for unusual examples; the threshold is one of validation examples."""

    def __init__(self, estimator: Any, task: Anomaly) -> None:
        if not hasattr(estimator, "score_samples"):
            name = type(estimator).__name__
            raise ConfigurationError(f"{name} scores no new rows; take a detector of outliers with score_samples")
        super().__init__(estimator, task)
        self.threshold_ = np.nan

    @override
    def _fit(self, inputs: Encoded, targets: Mapping[str, np.ndarray]) -> None:
        self.estimator.fit(inputs)

    @override
    def calibrate(self, inputs: Encoded, targets: Mapping[str, np.ndarray]) -> None:
        self.threshold_ = self.task.threshold(self(inputs)["score"].to_numpy())

    @override
    def _predict(self, inputs: Encoded) -> pa.Table:
        scores = -np.asarray(self.estimator.score_samples(inputs), dtype=np.float64)
        return self.task.columns(scores, self.threshold_)

    @override
    def state(self) -> dict[str, Any]:
        return {"threshold": self.threshold_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.threshold_ = state["threshold"]
