"""A score of anomalies that needs no model: how far the numbers of a row lie from their means."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.columns import mean_and_std
from headframe.tasks.anomaly import Anomaly
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline
from headframe.tasks.baselines.numbers import input_numbers


class Deviation(NaturalBaseline):
    """The mean of the squared standardised distances of all numeric inputs; its threshold is of training rows."""

    name: ClassVar[str] = "deviation"
    absence: ClassVar[str] = "There is no deviation from the mean: no input is a number or an array of numbers."

    @override
    def predictions(self, data: BaselineData) -> pa.Table | None:
        if not isinstance(data.task, Anomaly):
            raise ConfigurationError(f"task {data.task.kind} names a baseline that scores anomalies, as it does not")
        values = input_numbers(data)
        if values is None:
            return None
        training = values[data.training]
        mean, deviation = mean_and_std(training)

        def scores(rows: np.ndarray) -> np.ndarray:
            return (((rows - mean) / deviation) ** 2).mean(axis=1)

        return data.task.columns(scores(values[data.positions]), data.task.threshold(scores(training)))
