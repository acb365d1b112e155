"""Raw rows in, predictions out: the one way to use a model, in training, evaluation and serving alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, final

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from typing_extensions import override

from headframe.errors import DataError
from headframe.features.base import Encoded, Encoder, finite
from headframe.prediction.schema import cast_table
from headframe.tasks.base import Task

BATCH = 1024
"""Examples in one forward pass; bounds memory and does not change what a row means."""


class Outputs(Protocol):
    """Computes outputs (examples, *outputs) of encoded examples."""

    def __call__(self, inputs: Encoded) -> np.ndarray:
        """Return the outputs of one batch."""


class _Combiner(Protocol):
    def combine(self, scores: np.ndarray) -> np.ndarray:
        """Return scores (examples, ...) of scores (members, examples, ...)."""


class NetworkModel:
    """A network as a function from arrays to arrays, in single precision; it stays in evaluation mode.

    The same batch gives the same bits. The same example in a batch of another size, or with another number of
    threads, may differ in the last bits, since sums are taken in an order that depends on both: up to 1e-6 was seen
    between batches of 1 to 512 examples for outputs of about 1.

    Args:
        network: takes (batch, ...) and returns (batch, *outputs).
        device: where it computes.
    """

    def __init__(self, network: nn.Module, device: str | torch.device = "cpu") -> None:
        self.network = network.to(device).eval()
        self.device = torch.device(device)

    def __call__(self, inputs: Encoded) -> np.ndarray:
        """Return outputs (examples, *outputs) float32."""
        self.network.eval()
        with torch.inference_mode():
            outputs = self.network(torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device))
        return outputs.float().cpu().numpy()


class Predictor(ABC):
    """Predictions for raw rows.

    Where `lookback` is 0, one row is one example. Otherwise an example is `lookback` rows that follow each other
    and its prediction is about the rows behind them.

    Attributes:
        schema: the raw columns it takes, as an Arrow schema.
        task: what is predicted.
        lookback: rows that one example needs; 0 where one row is one example.
    """

    def __init__(self, schema: pa.Schema, task: Task, lookback: int) -> None:
        self.schema = schema
        self.task = task
        self.lookback = lookback

    @property
    def horizon(self) -> int:
        """Rows that one prediction is about; 0 where one row has one prediction."""
        return self.task.horizon

    @final
    def scores(self, rows: pa.Table, starts: np.ndarray | None = None) -> np.ndarray:
        """Return scores (examples, *outputs) float64.

        Args:
            rows: raw columns; further columns do no harm.
            starts: first rows of the windows to predict for, int64; all windows that fit without it. Only where
                `lookback` is not 0.

        Raises:
            DataError: a column is missing, of another type, or holds what cannot be encoded; too few rows for a window.
        """
        columns = cast_table(rows, self.schema)
        if not self.lookback:
            if starts is not None:
                msg = "windows were requested, but this model predicts row by row"
                raise DataError(msg)
            return self._row_scores(columns)
        if rows.num_rows < self.lookback:
            msg = f"{rows.num_rows} rows came, but a forecast needs the last {self.lookback}"
            raise DataError(msg)
        last = rows.num_rows - self.lookback
        if starts is None:
            starts = np.arange(last + 1)
        elif len(starts) and not 0 <= starts.min() <= starts.max() <= last:
            msg = f"windows of {self.lookback} rows start at 0 to {last} here, not at {starts.min()} to {starts.max()}"
            raise DataError(msg)
        return self._window_scores(columns, starts)

    @final
    def predict(self, rows: pa.Table) -> pa.Table:
        """Return the columns that a user reads: one row a row, or the steps after the last row.

        Raises:
            DataError: as `scores` does.
        """
        if self.lookback:
            return self.task.decode(self.scores(rows.slice(max(0, rows.num_rows - self.lookback))))
        return self.task.decode(self.scores(rows))

    @abstractmethod
    def _row_scores(self, rows: pa.Table) -> np.ndarray: ...

    @abstractmethod
    def _window_scores(self, rows: pa.Table, starts: np.ndarray) -> np.ndarray: ...


class SinglePredictor(Predictor):
    """One encoder and one model.

    Args:
        schema: the raw columns that rows come with.
        task: fitted.
        encoder: fitted.
        model: computes outputs of encoded examples.
        batch_size: examples in one forward pass.
    """

    def __init__(
        self, schema: pa.Schema, task: Task, encoder: Encoder, model: Outputs, *, batch_size: int = BATCH
    ) -> None:
        super().__init__(pa.schema([schema.field(name) for name in encoder.columns]), task, encoder.lookback)
        self.encoder = encoder
        self.model = model
        self.batch_size = batch_size

    @override
    def _row_scores(self, rows: pa.Table) -> np.ndarray:
        found = np.empty((rows.num_rows, *self.task.outputs))
        for start in range(0, rows.num_rows, self.batch_size):
            inputs = self.encoder.encode(rows.slice(start, self.batch_size))
            found[start : start + self.batch_size] = self._batch_scores(inputs, start)
        return found

    @override
    def _window_scores(self, rows: pa.Table, starts: np.ndarray) -> np.ndarray:
        encoded = self.encoder.encode(rows)
        within = np.arange(self.lookback)
        found = np.empty((len(starts), *self.task.outputs))
        for start in range(0, len(starts), self.batch_size):
            chosen = starts[start : start + self.batch_size]
            found[start : start + len(chosen)] = self._batch_scores(encoded[chosen[:, np.newaxis] + within], start)
        return found

    def _batch_scores(self, inputs: Encoded, start: int) -> np.ndarray:
        if not finite(inputs):
            msg = f"the features of rows {start} to {start + inputs.shape[0] - 1} hold NaN or infinity"
            raise DataError(msg)
        scores = self.task.scores(self.model(inputs))
        if not np.isfinite(scores).all():
            msg = (
                f"the model predicts NaN or infinity for rows {start} to {start + inputs.shape[0] - 1}; if they hold "
                "no numbers far from all that it was trained on, train it again"
            )
            raise DataError(msg)
        return scores


class EnsemblePredictor(Predictor):
    """Several predictors whose scores are combined.

    Members may look back differently far: all predict for the same rows.

    Args:
        task: fitted.
        members: by name, in the order that the combiner knows.
        combiner: fitted.
    """

    def __init__(self, task: Task, members: Mapping[str, Predictor], combiner: _Combiner) -> None:
        fields = {field.name: field for member in members.values() for field in member.schema}
        super().__init__(pa.schema(list(fields.values())), task, max(member.lookback for member in members.values()))
        self.members = dict(members)
        self.combiner = combiner

    @override
    def _row_scores(self, rows: pa.Table) -> np.ndarray:
        return self.combiner.combine(np.stack([member.scores(rows) for member in self.members.values()]))

    @override
    def _window_scores(self, rows: pa.Table, starts: np.ndarray) -> np.ndarray:
        return self.combiner.combine(
            np.stack(
                [member.scores(rows, starts + self.lookback - member.lookback) for member in self.members.values()]
            )
        )


def make_predictor(
    schema: pa.Schema, task: Task, encoder: Encoder, model: Any, *, batch_size: int = BATCH, device: str = "cpu"
) -> SinglePredictor:
    """Return the predictor of a model in memory: a network, or an `EstimatorModel`."""
    outputs = NetworkModel(model, device) if isinstance(model, nn.Module) else model
    return SinglePredictor(schema, task, encoder, outputs, batch_size=batch_size)
