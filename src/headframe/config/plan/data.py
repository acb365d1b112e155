"""The part of a plan that says what a data set is: sources, reader, columns, contract, split."""

import re
from math import prod
from typing import Annotated, Any, ClassVar, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from headframe.config.plan.component import COLUMN_TYPES, DECLARED, Component, Distinct, Name, narrow
from headframe.config.targets.find_definition import submodules
from headframe.config.targets.nearest import nearest
from headframe.config.targets.value_types import quotes_advice
from headframe.digests import Record
from headframe.errors import some

ROW_ID, CONTENT = "__row_id__", "__content__"
"""The columns that every table has besides those of its contract, which therefore may not have these names."""


def _exact(bound: float) -> float:
    """Return a bound as a float, as plans have always stored it, where a float can hold it; else as the int it is."""
    return bound if abs(bound) > EXACT_FLOAT else float(bound)


LARGEST_TENSOR = 2**31 - 1
"""Numbers of one cell, as Arrow counts them."""

EXACT_FLOAT = 2**53
"""Whole numbers beyond it are not all floats of their own."""

Bound = Annotated[int | float, AfterValidator(_exact)]
"""A bound of numbers; whole numbers are kept exactly."""


def _check_frequency(name: str) -> str:
    """Accept a number above 0 for counts, or an offset of pandas that goes forward."""
    from pandas.tseries.frequencies import to_offset  # noqa: PLC0415 - a second, which most plans need not wait for

    try:
        forward = float(name) > 0 if name.replace(".", "", 1).isdigit() else to_offset(name).n > 0
    except ValueError:
        forward = False
    if not forward:
        msg = f"{name!r} is no frequency; give an offset of pandas (15min, 1h, D, B, W-SUN, MS), or for counts a number"
        raise ValueError(msg)
    return name


Frequency = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_check_frequency)]
"""How far apart the rows of a series are: an offset of pandas, or a number where time is counted."""


def _check_zone(name: str) -> str:
    """Accept a time zone that the IANA database has."""
    if name not in (known := available_timezones()):
        raise ValueError(f"there is no time zone {name!r}; {nearest(name, known)}")
    return name


Zone = Annotated[str, AfterValidator(_check_zone)]
"""A time zone by its name in the IANA database."""


def _listed(names: Any) -> Any:
    """Return a single name as a list of it."""
    return (names,) if isinstance(names, str) else names


class SourceConfig(Record):
    """Where one raw file comes from."""

    uri: str = Field(pattern=r"^[a-z][a-z0-9]*:.+")  # `file:FOLDER/NAME`, `package:MODULE/PATH`, ...
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # of the file's bytes


def _require_order(lower: str, low: float | None, upper: str, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"{lower} {low:g} is greater than {upper} {high:g}, so nothing would do; correct one of them")


class ColumnContract(Record):
    """What a contract says of one column, or of a field of its structs; every key becomes an expectation."""

    dtype: Name  # type of column: a module of `headframe.datasets.column_types`
    nullable: bool = False
    unique: bool = False
    min: Bound | None = None  # smallest value, inclusive
    max: Bound | None = None  # largest value, inclusive
    one_of: Distinct[str | int | bool] | None = None  # the only values allowed
    min_length: int | None = Field(default=None, ge=0)  # characters of a string, or entries of a list
    max_length: int | None = Field(default=None, ge=0)  # characters of a string, or entries of a list
    matches: str | None = None  # regular expression that a string must match
    max_pixels: int | None = Field(default=None, ge=1)  # of an encoded image, height times width
    fields: "dict[str, ColumnContract] | None" = None  # of structs, each with a contract as a column has one
    values: str | None = None  # Arrow type of the numbers of a tensor, such as float32; else uint8
    shape: tuple[Annotated[int, Field(ge=1)], ...] | None = None  # of a tensor, e.g. (height, width, channels)
    zone: Zone | None = None  # time zone of times that say none, such as `Europe/Berlin`

    @field_validator("one_of", mode="before")
    @classmethod
    def _values_are_labels(cls, values: Any) -> Any:
        for value in values if isinstance(values, list | tuple) else ():
            if not isinstance(value, str | int) and not (isinstance(value, float) and value.is_integer()):
                msg = f"it holds {value!r}; expected texts, whole numbers or truth values{quotes_advice(value)}"
                raise ValueError(msg)
        if isinstance(values, list | tuple) and not values:
            raise ValueError("it lists no value, so no cell would do; list those allowed, or leave it out")
        return values

    @field_validator("matches")
    @classmethod
    def _is_an_expression(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from None
        return text

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        _require_order("min", self.min, "max", self.max)
        _require_order("min_length", self.min_length, "max_length", self.max_length)
        if self.shape is not None and prod(self.shape) > LARGEST_TENSOR:
            raise ValueError(
                f"shape {self.shape} is {prod(self.shape):,} numbers a row; Arrow takes {LARGEST_TENSOR:,}"
            )
        return self

    @field_validator("dtype")
    @classmethod
    def _type_exists(cls, name: str) -> str:
        if name not in (known := submodules(COLUMN_TYPES)):
            raise ValueError(f"there is no type of column {name!r}; {nearest(name, known)}")
        return name


class TableContract(Record):
    """What a table must fulfil before anything is trained on it."""

    min_rows: int = Field(default=1, ge=1)
    max_rows: int | None = Field(default=None, ge=1)
    columns: dict[str, ColumnContract] = Field(min_length=1)  # all columns of the table but our own

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        _require_order("min_rows", self.min_rows, "max_rows", self.max_rows)
        return self

    @field_validator("columns")
    @classmethod
    def _names_are_free(cls, columns: dict[str, ColumnContract]) -> dict[str, ColumnContract]:
        for name in (ROW_ID, CONTENT):
            if name in columns:
                msg = f"a column may not be called {name!r}, which Headframe adds to every table; rename it"
                raise ValueError(msg)
        return columns


class ReaderConfig(Component):
    """How raw files are read."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.datasets.readers.base.Reader",)


class GapsConfig(Component):
    """How rows that a series lacks are filled."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.series.gaps.Gaps",)


class SplitConfig(Component):
    """Which rows are trained on, validated on and tested on."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.datasets.splits.Splitter",)


class TrainingDataConfig(Record):
    """What of a data set decides a training, besides the table itself."""

    name: Name
    inputs: Distinct[str] = Field(min_length=1)  # columns a model may see
    target: str | None = None  # column to predict; a forecast predicts its inputs
    time: str | None = None  # column that orders the rows
    reader: ReaderConfig  # a model reads rows to predict for as it does
    every: Frequency | None = None  # how far apart the rows of a series are: `15min`, `1h`, `D`, `B`, `MS`; else found
    gaps: GapsConfig | None = None  # how rows that a series lacks are filled; else no window spans a gap
    split: SplitConfig
    group: Annotated[Distinct[str], BeforeValidator(_listed)] = ()  # columns whose equal values stay in one split
    repeats: bool = False  # whether rows with equal inputs are cases of their own, rather than copies of one
    contract: TableContract  # rows to predict for keep it as well

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The columns that are predicted: the target, or without one, as in a forecast, the inputs themselves."""
        return (self.target,) if self.target else self.inputs

    @property
    def repeated_columns(self) -> tuple[str, ...]:
        """The columns by whose equal values rows are repetitions of each other."""
        return () if self.repeats else self.inputs

    @property
    def example_columns(self) -> tuple[str, ...]:
        """The inputs and what is predicted, each once."""
        return tuple(dict.fromkeys((*self.inputs, *self.target_columns)))


class DatasetConfig(TrainingDataConfig):
    """One data set: where it comes from, how it is read, what its contract says."""

    title: str
    licence: str
    citation: str
    homepage: str = ""
    sources: dict[str, SourceConfig] = Field(min_length=1)
    key: str | None = None  # column that identifies a row at its source; without one the other columns do
    tasks: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # kinds of task that the data are for
    max_rejected: int = Field(default=0, ge=0)  # rows that may be unreadable before the run stops

    @property
    def training_data(self) -> TrainingDataConfig:
        """The part that decides a training; not title, licence and the like."""
        return narrow(self, TrainingDataConfig)

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        known = self.contract.columns
        wanted = [*self.inputs, *(name for name in (self.key, self.target, self.time) if name), *self.group]
        for name in wanted:
            if name not in known:
                raise ValueError(f"column {name!r} is not in contract.columns, which has {some(known)}")
        for name, given in (("every", self.every), ("gaps", self.gaps)):
            if given is not None and self.time is None:
                raise ValueError(f"{name} is about rows in order of time, but `time` names no column")
        if self.target in self.inputs:
            msg = f"target {self.target!r} is also among the inputs, so a model would be given what it has to predict"
            raise ValueError(msg)
        return self
