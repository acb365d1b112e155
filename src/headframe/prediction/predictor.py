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
from headframe.examples.framing import Framing, RowFraming, gather
from headframe.features.base import Encoded, Encoder, count_rows, finite
from headframe.methods.base import Method
from headframe.miners.base import EstimatorModel
from headframe.prediction.schema import cast_table, type_name
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

    Attributes:
        schema: the raw columns it takes, as an Arrow schema.
        reader: reads files as those of the data set were read; its rules for cells apply to all text that comes.
        constraints: on the columns it takes, which each row keeps.
        task: what is predicted; fitted.
        prediction_schema: the prediction columns of the task.
        framing: which rows an example is read from.
        batch_size: examples that are predicted at once.
    """

    batch_size: int = BATCH

    def __init__(
        self,
        schema: pa.Schema,
        reader: Reader,
        task: Task,
        framing: Framing,
        *,
        contract: Mapping[str, ColumnContract],
    ) -> None:
        self.schema = schema
        self.reader = reader
        self.constraints = RowConstraints({name: contract[name] for name in schema.names})
        self.task = task
        self.prediction_schema = task.prediction_schema
        self.framing = framing

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
    def predictions(self, rows: pa.Table, positions: np.ndarray | None = None) -> pa.Table:
        """Return the prediction columns of the task, one row an example; see `batches`."""
        return self._joined(self.batches(rows, positions))

    @final
    def batches(self, rows: pa.Table, positions: np.ndarray | None = None) -> Iterator[pa.Table]:
        """Yield the prediction columns of the task, one row an example, for some examples after others.

        Args:
            rows: raw columns; further columns do no harm. A history may come in any order.
            positions: of examples, int64, as `Framing` has them, of rows in order of time where these are a series; all
                examples that there are without it.

        Raises:
            DataError: as `checked` raises; or a column holds what cannot be encoded; or the rows are not what examples
                are read from, see `Framing.requested`.
        """
        return self._batches(*self.framing.requested(self.checked(rows), positions))

    @final
    def predict(self, rows: pa.Table, numbers: np.ndarray | None = None) -> pa.Table:
        """Return the columns that a user reads: one row a row, or the steps after the last row.

        Args:
            rows: as `batches` takes them.
            numbers: of the rows of a history, for messages; from 1 without them.

        Raises:
            DataError: as `batches` does.
        """
        asked = self.framing.requested(self.checked(rows), numbers=numbers, last=True)
        return self.task.answer(self._joined(self._batches(*asked)))

    def _joined(self, tables: Iterator[pa.Table]) -> pa.Table:
        return pa.concat_tables([*tables] or [self.prediction_schema.empty_table()])

    @abstractmethod
    def _batches(self, rows: pa.Table, positions: np.ndarray) -> Iterator[pa.Table]:
        """Yield the prediction columns of the examples at these positions, of rows as the framing returned them."""


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
        framing: Framing | None = None,
        batch_size: int = BATCH,
    ) -> None:
        framing = RowFraming() if framing is None else framing
        own = pa.schema([schema.field(name) for name in dict.fromkeys((*encoder.columns, *framing.columns))])
        super().__init__(own, reader, task, framing, contract=contract)
        self.encoder = encoder
        self.model = model
        self.batch_size = batch_size

    @override
    def _batches(self, rows: pa.Table, positions: np.ndarray) -> Iterator[pa.Table]:
        read = self._alone(rows) if self.framing.alone else self._together(rows, positions)
        for number, inputs in enumerate(read):
            yield self._predicted(inputs, number * self.batch_size)

    def _alone(self, rows: pa.Table) -> Iterator[Encoded]:
        for start in range(0, rows.num_rows, self.batch_size):
            try:
                yield self.encoder.encode(rows.slice(start, self.batch_size))
            except RowError as error:
                raise error.behind(start) from error

    def _together(self, rows: pa.Table, positions: np.ndarray) -> Iterator[Encoded]:
        encoded, reads = self.encoder.encode(rows), self.framing.reads(rows)
        for start in range(0, len(positions), self.batch_size):
            yield gather(encoded, reads(positions[start : start + self.batch_size]))

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

    Members may read examples from differently many rows: all predict for the same ones. Their order is that which the
    combiner was fitted with.
    """

    def __init__(self, task: Task, members: Mapping[str, Predictor], combiner: Combiner) -> None:
        fields = {field.name: field for member in members.values() for field in member.schema}
        first = next(iter(members.values()))  # all have the reader and the series of one data set
        widest = max((member.framing for member in members.values()), key=lambda framing: framing.reach)
        contract = {name: each for member in members.values() for name, each in member.constraints.contract.items()}
        super().__init__(pa.schema(list(fields.values())), first.reader, task, widest, contract=contract)
        self.members = dict(members)
        self.batch_size = first.batch_size
        self.combiner = combiner

    @override
    def _batches(self, rows: pa.Table, positions: np.ndarray) -> Iterator[pa.Table]:
        asked = None if self.framing.alone else positions
        members = [member.batches(rows, asked) for member in self.members.values()]
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
    framing: Framing | None = None,
    batch_size: int = BATCH,
    device: str = "cpu",
) -> SinglePredictor:
    """Return the predictor of a model in memory: a method with its network, or an estimator."""
    encoded = NetworkModel(model, device) if isinstance(model, Method) else model
    return SinglePredictor(
        schema, reader, task, encoder, encoded, contract=contract, framing=framing, batch_size=batch_size
    )
