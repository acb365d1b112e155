"""Tables of numbers and categories as vectors."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.config.ranges import Count, InputColumn
from headframe.digests import Record
from headframe.errors import DataError, RowError, some
from headframe.features.base import Encoder
from headframe.features.columns import is_text, mean_and_std, number_column
from headframe.features.spec import InputSpec


class Number(Record):
    """Statistics of a numeric column in training rows."""

    column: str
    missing: bool  # whether a training row had no number here
    median: float  # of the numbers, before the logarithm
    mean: float
    deviation: float


class Category(Record):
    """Categories of a column in training rows."""

    column: str
    missing: bool  # whether a training row had no value here
    values: tuple[str, ...]  # those with a feature of their own, sorted


class Tabular(Encoder):
    """Mixed columns as float32 (features,): standardised numbers, then one-hot categories.

    A missing number is replaced by the training median and, with `indicator`, marked in a feature of its own behind all
    numbers. A column of categories has a first feature for unknown or rare values, then one for missing values if
    training rows have any, then one for each value. A number missing where no training row lacks one is an error; an
    unknown category is not.

    Args:
        columns: the columns to read, in this order; default: the data set's inputs.
        categorical: numeric columns whose numbers are categories, such as codes.
        log: numeric columns with long tails, replaced by sign(x) * log(1 + abs(x)) before they are standardised.
        indicator: whether a missing number is marked.
        min_count: training rows that a category needs for a feature of its own.
        max_values: largest number of categories of one column, the most frequent ones.
    """

    gives: ClassVar[str] = "tabular"

    def __init__(
        self,
        *,
        columns: Sequence[InputColumn] = (),
        categorical: Sequence[InputColumn] = (),
        log: Sequence[InputColumn] = (),
        indicator: bool = True,
        min_count: Count = 1,
        max_values: Count = 256,
    ) -> None:
        if min_count < 1 or max_values < 1:
            raise ValueError(f"min_count and max_values are at least 1, not {min_count} and {max_values}")
        self.columns = tuple(columns)
        self.categorical = frozenset(categorical)
        self.log = frozenset(log)
        self.indicator = indicator
        self.min_count = min_count
        self.max_values = max_values
        self.numbers_: list[Number] = []
        self.categories_: list[Category] = []

    def _fit(self, rows: pa.Table) -> None:
        for setting, names in (("categorical", self.categorical), ("log", self.log)):
            if unknown := sorted(names - set(self.columns)):
                raise DataError(f"{setting} names column {unknown[0]!r}, which is not among {some(self.columns)}")
        self.numbers_, self.categories_ = [], []
        for name in self.columns:
            if name in self.categorical or is_text(rows.schema.field(name).type):
                self.categories_.append(self._fit_category(rows, name))
            else:
                self.numbers_.append(self._fit_number(rows, name))

    def _fit_number(self, rows: pa.Table, name: str) -> Number:
        values = number_column(rows, name)
        filled = values[~np.isnan(values)]
        if not len(filled):
            msg = f"column {name!r} is empty in every training row, so nothing can be fitted to it; leave it out"
            raise DataError(msg)
        median = float(np.median(filled))
        values = self._in_log(name, np.where(np.isnan(values), median, values))
        (mean,), (deviation,) = mean_and_std(values[:, np.newaxis])
        missing = len(filled) < len(values)
        return Number(column=name, missing=missing, median=median, mean=float(mean), deviation=float(deviation))

    def _fit_category(self, rows: pa.Table, name: str) -> Category:
        column = _category_column(rows, name)
        counted = [(pair["values"], pair["counts"]) for pair in pc.value_counts(column).to_pylist()]
        known = sorted((-count, value) for value, count in counted if value is not None and count >= self.min_count)
        values = sorted(value for _, value in known[: self.max_values])
        return Category(column=name, missing=column.null_count > 0, values=tuple(values))

    def _in_log(self, name: str, values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.log1p(np.abs(values)) if name in self.log else values

    def _encode(self, rows: pa.Table) -> np.ndarray:
        encoded = np.zeros((rows.num_rows, *self.spec().shape), dtype=np.float32)
        place = len(self.numbers_)
        for position, number in enumerate(self.numbers_):
            values = number_column(rows, number.column)
            missing = np.isnan(values)
            if missing.any() and not number.missing:
                row = int(np.flatnonzero(missing)[0]) + 1
                advice = ", which no training row was; fill it or leave the row out"
                raise RowError(f"column {number.column!r} is empty or NaN", row, advice)
            values = self._in_log(number.column, np.where(missing, number.median, values))
            encoded[:, position] = (values - number.mean) / number.deviation
            if self.indicator and number.missing:
                encoded[:, place] = missing
                place += 1
        every = np.arange(rows.num_rows)
        for category in self.categories_:
            column = _category_column(rows, category.column)
            code = pc.index_in(column, value_set=pa.array(category.values, pa.string()), skip_nulls=True)
            code = pc.fill_null(code, -1).to_numpy().astype(np.int64)
            first = 1 + category.missing
            code = np.where(code >= 0, code + first, 0)
            if category.missing:
                code[column.is_null().to_numpy()] = 1
            encoded[every, place + code] = 1.0
            place += first + len(category.values)
        return encoded

    @override
    def spec(self) -> InputSpec:
        marks = sum(number.missing for number in self.numbers_) if self.indicator else 0
        places = sum(1 + category.missing + len(category.values) for category in self.categories_)
        return InputSpec(self.gives, {"feature": len(self.numbers_) + marks + places})

    @override
    def state(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "numbers": [number.model_dump(mode="json") for number in self.numbers_],
            "categories": [category.model_dump(mode="json") for category in self.categories_],
        }

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.columns = tuple(state["columns"])
        self.numbers_ = [Number.model_validate(number) for number in state["numbers"]]
        self.categories_ = [Category.model_validate(category) for category in state["categories"]]


def _category_column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    column = rows.column(name)
    kind = column.type
    categorical = is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    if not categorical:
        raise DataError(f"column {name!r} holds {kind}, but text or whole numbers were expected as categories")
    return pc.cast(column, pa.string())
