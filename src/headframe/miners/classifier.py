"""Classifiers with probabilities."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.base import EncodedArray
from headframe.miners.base import EstimatorModel
from headframe.tasks.dense import TARGET, DenseTask


class ClassifierModel(EstimatorModel[DenseTask]):
    """An estimator with `predict_proba`.

    Its outputs are those of a network: logarithms of its probabilities, in the order of the task's classes. A class
    that its training rows lacked, as a bootstrap sample may, gets minus infinity.
    """

    def __init__(self, estimator: Any, task: DenseTask) -> None:
        if not hasattr(estimator, "predict_proba"):
            msg = f"{type(estimator).__name__} has no probabilities; take a classifier with predict_proba"
            raise ConfigurationError(msg)
        super().__init__(estimator, task)

    @override
    def _fit(self, inputs: EncodedArray, targets: Mapping[str, np.ndarray]) -> None:
        target, weights = targets[TARGET], self.task.class_weighting()
        self.estimator.fit(inputs, target, **({} if weights is None else {"sample_weight": weights[target]}))

    @override
    def _predict(self, inputs: EncodedArray) -> pa.Table:
        probabilities = np.asarray(self.estimator.predict_proba(inputs), dtype=np.float64)
        outputs = np.full((len(probabilities), *self.task.outputs), -np.inf)
        with np.errstate(divide="ignore"):
            outputs[:, self.estimator.classes_] = np.log(probabilities)
        return self.task.columns(self.task.scores(outputs))
