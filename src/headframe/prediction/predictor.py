"""Raw rows in, answers out: the one way in which a model is asked, in training, evaluation and service alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from typing_extensions import override

from headframe.errors import DataError
from headframe.features.base import Encoded, Encoder, finite
from headframe.prediction.schema import conform
from headframe.tasks.base import Task

BATCH = 1024
"""Examples in one forward pass; bounds memory and does not change what a row means."""


class Outputs(Protocol):
    """Whatever gives outputs (examples, *outputs) for encoded examples."""

    def __call__(self, inputs: Encoded) -> np.ndarray:
        """Give outputs of one batch."""


class Combiner(Protocol):
    """Whatever makes one answer of several."""

    def combine(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores (members, examples, ...) into scores (examples, ...)."""


class NetworkModel:
    """A network as a function from arrays to arrays, in single precision; it is put and kept in evaluation mode.

    The same batch gives the same bits. The same example in a batch of another size, or with another number of
    threads, may differ in the last bits, since sums are taken in an order that depends on both: up to 1e-6 was seen
    between batches of 1 to 512 examples for outputs of about 1.

    Args:
        network: takes (batch, ...) and gives (batch, *outputs).
        device: where it computes.
    """

    def __init__(self, network: nn.Module, device: str | torch.device = "cpu") -> None:
        self.network = network.to(device).eval()
        self.device = torch.device(device)

    def __call__(self, inputs: Encoded) -> np.ndarray:
        """Give outputs (examples, *outputs) float32."""
        self.network.eval()
        with torch.inference_mode():
            outputs = self.network(torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device))
        return outputs.float().cpu().numpy()


class Predictor(ABC):
    """Answers for raw rows.

    Where `lookback` is 0, one row is one example. Otherwise an example is `lookback` rows that follow each other
    and its answer is about the rows behind them.

    Attributes:
        schema: the raw columns it takes, as an Arrow schema.
        task: what is predicted.
        lookback: rows that one example needs; 0 where one row is one example.
    """

    def __init__(self, schema: pa.Schema, task: Task, lookback: int) -> None:
        self.schema = schema
        self.task = task
        self.lookback = lookback

    @staticmethod
    def load(folder: Path, *, device: str = "cpu", batch_size: int = BATCH, trusted: tuple[str, ...] = ()) -> Predictor:
        """Load a bundle, checking every file against the checksum in `bundle.json`.

        Args:
            folder: the bundle.
            device: where networks compute.
            batch_size: examples in one forward pass.
            trusted: import prefixes of the project's own code, such as `("mine.",)`.

        Raises:
            DataError: a file is missing, was changed, or names code outside the trusted packages.
        """
        from headframe.prediction.bundle import load  # noqa: PLC0415 - a bundle makes predictors

        return load(folder, device=device, batch_size=batch_size, trusted=trusted)

    @property
    def horizon(self) -> int:
        """Rows that one answer is about; 0 where one row is one answer."""
        return self.task.horizon

    @final
    def scores(self, rows: pa.Table, starts: np.ndarray | None = None) -> np.ndarray:
        """Give scores (examples, *outputs) float64.

        Args:
            rows: raw columns; further columns do no harm.
            starts: first rows of the windows to answer for, int64; all windows that fit without it. Only where
                `lookback` is not 0.

        Raises:
            DataError: a column is missing, of another type, or holds what cannot be encoded; too few rows for a window.
        """
        given = conform(rows, self.schema)
        if not self.lookback:
            if starts is not None:
                msg = "windows were asked for, but this model answers row by row"
                raise DataError(msg)
            return self._row_scores(given)
        if rows.num_rows < self.lookback:
            msg = f"{rows.num_rows} rows came, but a forecast needs the last {self.lookback}"
            raise DataError(msg)
        last = rows.num_rows - self.lookback
        if starts is None:
            starts = np.arange(last + 1)
        elif len(starts) and not 0 <= starts.min() <= starts.max() <= last:
            msg = f"windows of {self.lookback} rows start at 0 to {last} here, not at {starts.min()} to {starts.max()}"
            raise DataError(msg)
        return self._window_scores(given, starts)

    @final
    def predict(self, rows: pa.Table) -> pa.Table:
        """Give the columns that a user reads: one row a row, or the steps after the last row given.

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
        model: gives outputs of encoded examples.
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
            found[start : start + self.batch_size] = self._answer(inputs, start)
        return found

    @override
    def _window_scores(self, rows: pa.Table, starts: np.ndarray) -> np.ndarray:
        encoded = self.encoder.encode(rows)
        within = np.arange(self.lookback)
        found = np.empty((len(starts), *self.task.outputs))
        for start in range(0, len(starts), self.batch_size):
            chosen = starts[start : start + self.batch_size]
            found[start : start + len(chosen)] = self._answer(encoded[chosen[:, np.newaxis] + within], start)
        return found

    def _answer(self, inputs: Encoded, start: int) -> np.ndarray:
        if not finite(inputs):
            msg = f"the features of rows {start} to {start + inputs.shape[0] - 1} hold NaN or infinity"
            raise DataError(msg)
        scores = self.task.scores(self.model(inputs))
        if not np.isfinite(scores).all():
            msg = (
                f"the model answers NaN or infinity for rows {start} to {start + inputs.shape[0] - 1}; if they hold no "
                "numbers far from all that it was trained on, train it anew"
            )
            raise DataError(msg)
        return scores


class EnsemblePredictor(Predictor):
    """Several predictors whose scores become one.

    Members may look back differently far: all answer about the same rows.

    Args:
        task: fitted.
        members: by name, in the order that the combiner knows.
        combiner: fitted.
    """

    def __init__(self, task: Task, members: Mapping[str, Predictor], combiner: Combiner) -> None:
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


def predictor_of(
    schema: pa.Schema, task: Task, encoder: Encoder, model: Any, *, batch_size: int = BATCH, device: str = "cpu"
) -> SinglePredictor:
    """Give the predictor of a model in memory: a network, or an `EstimatorModel`."""
    outputs = NetworkModel(model, device) if isinstance(model, nn.Module) else model
    return SinglePredictor(schema, task, encoder, outputs, batch_size=batch_size)
