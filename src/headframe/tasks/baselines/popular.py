"""The baseline of recommendations: the same items for everyone."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.baskets import basket_matrix
from headframe.findings.association_rules import whole_baskets
from headframe.tasks.association import Association
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline


class Popular(NaturalBaseline):
    """The items that most training baskets hold, without those that are in the basket already."""

    name: ClassVar[str] = "popular"

    @override
    def predictions(self, data: BaselineData) -> pa.Table:
        task = data.task
        if not isinstance(task, Association):
            raise ConfigurationError(f"task {task.kind} names a baseline of recommendations, which it does not predict")
        inputs = data.dataset.inputs
        rows = data.table.read([*inputs, *data.dataset.target_columns])
        training = whole_baskets(rows.filter(pa.array(data.training)), tuple(rows.column_names))
        names = sorted(set(training.combine_chunks().flatten().drop_null().to_pylist()))
        popularity = np.asarray(basket_matrix(training, names).mean(axis=0), dtype=np.float64).ravel()
        asked = basket_matrix(whole_baskets(rows.take(pa.array(data.positions)), inputs), names)
        scores = np.tile(popularity, (asked.shape[0], 1))
        scores[asked.nonzero()] = -np.inf
        return task.recommend(scores, names)
