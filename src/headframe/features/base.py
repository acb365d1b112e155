"""The interface of encoders."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
import pyarrow as pa
from scipy import sparse

from headframe.errors import ConfigurationError, DataError, some
from headframe.features.spec import InputSpec

EncodedArray: TypeAlias = np.ndarray | sparse.csr_matrix
"""One entry a row: float32, int64 or of pixels uint8 array (rows, ...), or a CSR matrix (rows, features)."""

Encoded: TypeAlias = EncodedArray | dict[str, np.ndarray]
"""What encoders give: one input of each row, or several arrays by name."""


BLOCK = 2**22
"""Numbers that are looked at together, as each takes memory once more."""


def finite(encoded: Encoded) -> bool:
    """Return whether encoded rows hold finite numbers only."""
    if isinstance(encoded, dict):
        return all(map(finite, encoded.values()))
    values: Any = encoded.data if sparse.issparse(encoded) else encoded
    step = max(1, BLOCK * len(values) // max(1, values.size))
    blocks = range(0, len(values), step)
    return values.dtype.kind != "f" or all(np.isfinite(values[start : start + step]).all() for start in blocks)


def count_rows(encoded: Encoded) -> int:
    """Return how many rows are encoded."""
    one: Any = next(iter(encoded.values())) if isinstance(encoded, dict) else encoded
    return int(one.shape[0])


class Encoder(ABC):
    """Encodes raw rows as the array a model takes.

    `fit` and `encode` are final; subclasses implement `_fit`, `_encode` and `spec`. Constructor arguments are settings
    of the plan; fitted values are attributes with a trailing underscore. Where these are no JSON, a subclass overrides
    `state` and `restore`.

    Attributes:
        gives: the kind of input that it encodes to.
        columns: the raw columns it reads; empty until `fit` where the plan names none.
        lookback: 0 where one row is one example; otherwise the number of consecutive rows in one.
        padding: of arrays that are as large as the largest of the given rows, what fills up others; by the array's
            name, which is empty where there is one.
    """

    gives: ClassVar[str]
    columns: tuple[str, ...] = ()
    lookback: int = 0
    padding: Mapping[str, float] = MappingProxyType({})

    @final
    def fit(self, rows: pa.Table, inputs: tuple[str, ...]) -> None:
        """Fit to raw training rows in table order; `inputs` are read where the plan names no columns.

        Raises:
            DataError: the rows hold nothing to fit to.
        """
        self.columns = self.columns or inputs
        self._check(rows)
        if rows.num_rows == 0:
            raise DataError("there are no training rows to fit the features to; check the split's sizes")
        self._fit(rows)

    @final
    def encode(self, rows: pa.Table) -> Encoded:
        """Encode raw rows, one entry a row, in order.

        Raises:
            DataError: a column is missing, of another type, or holds NaN or infinity that training rows did not have.
        """
        self._check(rows)
        return self._encode(rows)

    @abstractmethod
    def spec(self) -> InputSpec:
        """Return the layout of one example; known after `fit`."""

    @property
    def feature_names(self) -> list[str]:
        """Names of the features of one example, for encoders that know them; known after `fit`."""
        return []

    def state(self) -> dict[str, Any]:
        """Return what was fitted, as JSON values from which `restore` makes an equal encoder."""
        fitted = {name[:-1]: value for name, value in vars(self).items() if name.endswith("_")}
        return {"columns": list(self.columns), **fitted}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            KeyError: the state lacks something that was fitted.
        """
        self.columns = tuple(state["columns"])
        for name in [name for name in vars(self) if name.endswith("_")]:
            setattr(self, name, state[name[:-1]])

    @abstractmethod
    def _fit(self, rows: pa.Table) -> None: ...

    @abstractmethod
    def _encode(self, rows: pa.Table) -> Encoded: ...

    @property
    def column(self) -> str:
        """The column that is read, for encoders of a single one; known after `fit`.

        Raises:
            ConfigurationError: there are several to choose from.
        """
        if len(self.columns) != 1:
            name = type(self).__name__
            msg = f"{name} reads one column, but there are {len(self.columns)}: {some(self.columns)}; "
            raise ConfigurationError(msg + "name one in features.encoder.column")
        return self.columns[0]

    def _check(self, rows: pa.Table) -> None:
        missing = [name for name in self.columns if name not in rows.column_names]
        if missing:
            came, expected = some(rows.column_names) or "none", some(self.columns)
            raise DataError(f"column {missing[0]!r} is missing; came: {came}; expected: {expected}")
