"""Miners that rank items for a basket, and may say by which rules."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.base import Encoded
from headframe.miners.base import EstimatorModel
from headframe.tasks.association import TARGET, Association


class RecommenderModel(EstimatorModel[Association]):
    """An estimator whose `score_items` is high for items that a basket may lack; its `rules_`, if any, are findings."""

    def __init__(self, estimator: Any, task: Association) -> None:
        if not hasattr(estimator, "score_items"):
            name = type(estimator).__name__
            raise ConfigurationError(f"{name} ranks no items; take a miner with score_items, such as AssociationRules")
        super().__init__(estimator, task)

    @override
    def _fit(self, inputs: Encoded, targets: Mapping[str, np.ndarray]) -> None:
        numbers = {name: number for number, name in enumerate(self.names)}
        target = np.array([numbers.get(item, -1) for item in targets[TARGET]], dtype=np.int64)
        self.estimator.fit(inputs, target)

    @override
    def _predict(self, inputs: Encoded) -> pa.Table:
        return self.task.recommend(self.estimator.score_items(inputs), self.names)

    @override
    def findings(self) -> list[Any]:
        rules = getattr(self.estimator, "rules_", None)
        if rules is None:
            return []
        lefts = np.split(rules.left.indices, rules.left.indptr[1:-1])
        return [
            {"antecedent": [self.names[item] for item in left], "consequent": self.names[right]}
            for left, right in zip(lefts, rules.right, strict=False)
        ]
