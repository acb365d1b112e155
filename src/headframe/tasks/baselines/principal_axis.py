"""Clusters that need no model: rows in equal groups along the direction in which they differ most."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.columns import mean_and_std
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline
from headframe.tasks.baselines.numbers import input_numbers
from headframe.tasks.clustering import Clustering


class PrincipalAxis(NaturalBaseline):
    """Equal groups along the first principal axis of the standardised numbers, as many as there are labels, or two."""

    name: ClassVar[str] = "principal_axis"
    absence: ClassVar[str] = "There are no groups along a principal axis: no input is a number or an array of numbers."

    @override
    def predictions(self, data: BaselineData) -> pa.Table | None:
        if not isinstance(data.task, Clustering):
            raise ConfigurationError(f"task {data.task.kind} names a baseline that finds clusters, as it does not")
        values = input_numbers(data)
        if values is None:
            return None
        groups = max(2, len(data.task.names))
        mean, deviation = mean_and_std(values[data.training])
        scaled = (values - mean) / deviation
        training = scaled[data.training]
        axis = np.linalg.eigh(training.T @ training)[1][:, -1]
        edges = np.quantile(training @ axis, np.arange(1, groups) / groups)
        of_training = np.searchsorted(edges, training @ axis)
        # Where many rows are equal, a group may be empty; the others stay apart.
        kept = np.unique(of_training)
        centres = np.stack([training[of_training == one].mean(axis=0) for one in kept])
        if len(centres) < 2:  # noqa: PLR2004 - all rows are equal
            return None
        chosen = scaled[data.positions]
        group = np.searchsorted(kept, np.searchsorted(edges, chosen @ axis)).clip(max=len(kept) - 1)
        return data.task.columns(chosen, centres, group)
