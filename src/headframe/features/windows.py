"""Windows of standardised time series."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.config.ranges import Count, InputColumn
from headframe.features.base import Encoder
from headframe.features.columns import column_statistics, number_columns
from headframe.features.spec import InputSpec


class Windows(Encoder):
    """Numeric columns as float32 (rows, channels), each standardised by its mean and deviation in training rows.

    Rows are encoded one by one; batches gather `lookback` of them for each example, oldest first. A gap is refused,
    since any replacement would be taken for a measurement.

    Args:
        lookback: consecutive rows in one example.
        columns: the channels, in this order; default: the data set's inputs.
    """

    gives: ClassVar[str] = "series"

    def __init__(self, lookback: Count, columns: Sequence[InputColumn] = ()) -> None:
        if lookback < 1:
            raise ValueError(f"lookback is a number of rows, at least 1, not {lookback}")
        self.lookback = lookback
        self.columns = tuple(columns)
        self.mean_: list[float] = []
        self.deviation_: list[float] = []

    def _fit(self, rows: pa.Table) -> None:
        mean, deviation = column_statistics(rows, self.columns)
        self.mean_, self.deviation_ = mean.tolist(), deviation.tolist()

    def _encode(self, rows: pa.Table) -> np.ndarray:
        values = number_columns(rows, self.columns)
        with np.errstate(over="ignore"):  # a number too large becomes infinite, which prediction refuses
            return ((values - np.array(self.mean_)) / np.array(self.deviation_)).astype(np.float32)

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.gives, {"time": self.lookback, "channel": len(self.columns)})
