"""Raw rows in, predictions out: the one way to use a model, in training, evaluation and serving alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pyarrow as pa
import torch
from typing_extensions import override

from headframe.config.plan.data import ColumnContract
from headframe.datasets.constraints import RowConstraints
from headframe.datasets.readers.base import Reader
from headframe.errors import DataError, HeadframeError, RowError
from headframe.examples.batches import as_tensors, each_tensor
from headframe.examples.prepare import gather
from headframe.features.base import Encoded, Encoder, count_rows, finite
from headframe.methods.base import Method
from headframe.miners.base import EstimatorModel
from headframe.prediction.schema import cast_table, type_name
from headframe.series.series import Series
from headframe.tasks.base import Task

if TYPE_CHECKING:
    from headframe.models.ensembles import Combiner

BATCH = 1024
"""Examples in one forward pass; bounds memory and does not change what a row means."""

EncodedModel = Callable[[Encoded], pa.Table]
"""Returns the prediction columns of encoded examples, one row each."""


class NetworkModel:
    """A method's network as a function from encoded examples to prediction columns, in evaluation mode.

    The same batch gives the same bits. The same example in a batch of another size, or with another number of
    threads, may differ in the last bits, since sums are taken in an order that depends on both: up to 1e-6 was seen
    between batches of 1 to 512 examples for outputs of about 1.

    Args:
        method: with its network; computes in single precision.
        device: where it computes.
    """

    def __init__(self, method: Method[Any], device: str | torch.device) -> None:
        self.method = method
        method.network.to(device)
        self.device = torch.device(device)

    def __call__(self, inputs: Encoded) -> pa.Table:
        """Return the prediction columns of encoded examples."""
        if self.method.network.training:  # else each layer would be set again, which takes as long as one row
            self.method.network.eval()
        with torch.inference_mode():
            return self.method.predict(each_tensor(lambda x: x.to(self.device), as_tensors(inputs)))


class Predictor(ABC):
    """Predictions for raw rows.

    Where `lookback` is 0, one row is one example. Otherwise an example is `lookback` rows that follow each other
    and its prediction is about the rows behind them.

    Attributes:
        schema: the raw columns it takes, as an Arrow schema.
        reader: reads files as those of the data set were read; its rules for cells apply to all text that comes.
        constraints: on the columns it takes, which each row keeps.
        task: what is predicted; fitted.
        prediction_schema: the prediction columns of the task.
        lookback: rows that one example needs; 0 where one row is one example.
        batch_size: examples that are predicted at once.
        series: how rows follow each other, where an example is a window of them.
    """

    batch_size: int = BATCH

    def __init__(
        self,
        schema: pa.Schema,
        reader: Reader,
        task: Task,
        lookback: int,
        *,
        contract: Mapping[str, ColumnContract],
        series: Series | None,
    ) -> None:
        self.schema = schema
        self.reader = reader
        self.constraints = RowConstraints({name: contract[name] for name in schema.names})
        self.task = task
        self.prediction_schema = task.prediction_schema
        self.lookback = lookback
        self.series = series

    @property
    def horizon(self) -> int:
        """Rows that one prediction is about; 0 where one row has one prediction."""
        return self.task.horizon

    @final
    def checked(self, rows: pa.Table) -> pa.Table:
        """Return the model's columns of raw rows in its types, as the data set's contract has them.

        Raises:
            DataError: a column is missing or of another type.
            RowError: a cell holds no value, or one that the contract forbids.
        """
        columns = cast_table(rows, self.schema, self.reader.cells)
        self.constraints.require(columns)
        return columns

    @final
    def predictions(self, rows: pa.Table, starts: np.ndarray | None = None) -> pa.Table:
        """Return the prediction columns of the task, one row an example; see `batches`."""
        return pa.concat_tables([*self.batches(rows, starts)] or [self.prediction_schema.empty_table()])

    @final
    def batches(self, rows: pa.Table, starts: np.ndarray | None = None) -> Iterator[pa.Table]:
        """Yield the prediction columns of the task, one row an example, for some examples after others.

        Args:
            rows: raw columns; further columns do no harm. A history may come in any order.
            starts: first rows of the windows to predict for, int64, of rows in order of time; all windows that fit
                without it. Only where `lookback` is not 0. Where gaps are filled, windows end where they would without.

        Raises:
            DataError: as `checked` raises; or a column holds what cannot be encoded; too few rows for a window; rows of
                one time, of another frequency than in training, or a gap in a window.
        """
        columns = self.checked(rows)
        if self.lookback:
            return self._batches(*self._windows(columns, starts))
        if starts is not None:
            raise DataError("windows were requested, but this model predicts row by row")
        return self._batches(columns, None)

    @final
    def predict(self, rows: pa.Table, numbers: np.ndarray | None = None) -> pa.Table:
        """Return the columns that a user reads: one row a row, or the steps after the last row.

        Args:
            rows: as `batches` takes them.
            numbers: of the rows of a history, for messages; from 1 without them.

        Raises:
            DataError: as `batches` does.
        """
        if not self.lookback:
            return self.task.answer(self.predictions(rows))
        history, starts = self._windows(self.checked(rows), None, numbers, last=True)
        return self.task.answer(pa.concat_tables(self._batches(history, starts)))

    def _windows(
        self, rows: pa.Table, starts: np.ndarray | None, numbers: np.ndarray | None = None, *, last: bool = False
    ) -> tuple[pa.Table, np.ndarray]:
        """Return rows in order of time with their gaps filled, and where the windows among them begin.

        Args:
            rows: the model's columns.
            starts: see `batches`.
            numbers: see `predict`.
            last: whether only the window that ends with the newest row is wanted.
        """
        length, given = self.lookback, rows.num_rows
        if given == 0:
            raise DataError(f"0 rows came, but a forecast needs the last {length}")
        before = np.arange(given)
        runs = np.zeros(given, dtype=np.int64)
        if self.series is not None:
            if starts is None:
                rows = self.series.in_order(rows, numbers)
            if last:
                rows = rows.slice(max(0, given - length))
            laid_out = self.series.lay_out(rows)
            rows, before, runs = laid_out.rows, laid_out.before, laid_out.runs
        ends = np.flatnonzero(
            np.diff(before, append=before[-1] + 1)
        )  # of rows that came, not of those that were filled
        if starts is not None:
            if len(starts) and not 0 <= starts.min() <= starts.max() <= given - length:
                came = f"{starts.min()} to {starts.max()}"
                raise DataError(f"windows of {length} rows start at 0 to {given - length} here, not at {came}")
            ends = ends[starts + length - 1]
        elif len(rows) < length:
            raise DataError(f"{given} rows came, but a forecast needs the last {length}")
        else:
            ends = ends[-1:] if last else ends[ends >= length - 1]
        firsts = ends - length + 1
        broken = np.flatnonzero(runs[firsts] != runs[ends])
        if len(broken) and self.series is not None:
            first = int(firsts[broken[0]])
            raise DataError(
                f"the history has a gap of {self.series.name_gap(laid_out, first, first + length - 1)}, but a forecast "
                f"needs {length} rows every {self.series.every}; add them, or shorten it to what follows the gap"
            )
        return rows, firsts

    @abstractmethod
    def _batches(self, rows: pa.Table, starts: np.ndarray | None) -> Iterator[pa.Table]:
        """Yield the prediction columns of each row, or of the windows that begin at `starts`."""


class SinglePredictor(Predictor):
    """One fitted encoder and one model; `schema` holds the raw columns that rows come with."""

    def __init__(
        self,
        schema: pa.Schema,
        reader: Reader,
        task: Task,
        encoder: Encoder,
        model: EncodedModel,
        *,
        contract: Mapping[str, ColumnContract],
        batch_size: int = BATCH,
        series: Series | None = None,
    ) -> None:
        names = dict.fromkeys((*encoder.columns, *([series.time] if series else [])))
        own = pa.schema([schema.field(name) for name in names])
        super().__init__(own, reader, task, encoder.lookback, contract=contract, series=series)
        self.encoder = encoder
        self.model = model
        self.batch_size = batch_size

    @override
    def _batches(self, rows: pa.Table, starts: np.ndarray | None) -> Iterator[pa.Table]:
        encoded = None if starts is None else self.encoder.encode(rows)
        for start in range(0, rows.num_rows if starts is None else len(starts), self.batch_size):
            if starts is None or encoded is None:
                try:
                    inputs = self.encoder.encode(rows.slice(start, self.batch_size))
                except RowError as error:
                    raise error.behind(start) from error
            else:
                inputs = gather(encoded, starts[start : start + self.batch_size], 0, self.lookback)
            yield self._predicted(inputs, start)

    def _predicted(self, inputs: Encoded, start: int) -> pa.Table:
        rows = f"rows {start + 1} to {start + count_rows(inputs)}"
        if not finite(inputs):
            raise DataError(f"the features of {rows} hold NaN or infinity")
        found, expected = self.model(inputs), self.prediction_schema
        if found.schema != expected or found.num_rows != count_rows(inputs):
            raise HeadframeError(
                f"the model predicts {found.num_rows} rows of {_described(found.schema)} for {rows}, but task "
                f"{self.task.kind} has {_described(expected)}; correct the task or what decodes the model's outputs"
            )
        if not all(_all_finite(chunk) for column in found.columns for chunk in column.chunks):
            raise DataError(
                f"the model predicts NaN or infinity for {rows}; if they hold "
                "no numbers far from all that it was trained on, train it again"
            )
        return found


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name!r} ({type_name(field.type)})" for field in schema) or "no column"


def _all_finite(column: pa.Array) -> bool:
    """Return whether all floating point numbers of a column are finite, wherever in it they are."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _all_finite(column.storage)
    if pa.types.is_floating(kind):
        return bool(np.isfinite((column.drop_null() if column.null_count else column).to_numpy()).all())
    if not pa.types.is_nested(kind):
        return True
    inner = column.flatten()  # of a list its elements, of a struct its fields
    return all(map(_all_finite, inner if isinstance(inner, list) else [inner]))


class EnsemblePredictor(Predictor):
    """Several predictors whose predictions are merged.

    Members may look back differently far: all predict for the same rows. Their order is that which the combiner was
    fitted with.
    """

    def __init__(self, task: Task, members: Mapping[str, Predictor], combiner: Combiner) -> None:
        fields = {field.name: field for member in members.values() for field in member.schema}
        first = next(iter(members.values()))  # all have the reader and the series of one data set
        lookback = max(member.lookback for member in members.values())
        contract = {name: each for member in members.values() for name, each in member.constraints.contract.items()}
        schema = pa.schema(list(fields.values()))
        super().__init__(schema, first.reader, task, lookback, contract=contract, series=first.series)
        self.members = dict(members)
        self.batch_size = first.batch_size
        self.combiner = combiner

    @override
    def _batches(self, rows: pa.Table, starts: np.ndarray | None) -> Iterator[pa.Table]:
        members = [
            member.batches(rows, None if starts is None else starts + self.lookback - member.lookback)
            for member in self.members.values()
        ]
        for parts in zip(*members, strict=True):  # all compute in batches of one size
            yield self.task.merge(parts, self.combiner)


def make_predictor(
    schema: pa.Schema,
    reader: Reader,
    task: Task,
    encoder: Encoder,
    model: Method[Any] | EstimatorModel[Any],
    *,
    contract: Mapping[str, ColumnContract],
    batch_size: int = BATCH,
    device: str = "cpu",
    series: Series | None = None,
) -> SinglePredictor:
    """Return the predictor of a model in memory: a method with its network, or an estimator."""
    encoded = NetworkModel(model, device) if isinstance(model, Method) else model
    return SinglePredictor(
        schema, reader, task, encoder, encoded, contract=contract, batch_size=batch_size, series=series
    )
