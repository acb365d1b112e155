"""The part of a plan that says what a data set is: sources, reader, columns, contract, split."""

from __future__ import annotations

from typing import Any, Self

from pydantic import (
    Field,
    model_validator,
)

from headframe.config.plan.component import ColumnType, Component, Name, TaskKind
from headframe.digests import Record


class SourceConfig(Record):
    """Where one raw file comes from."""

    uri: str = Field(pattern=r"^[a-z][a-z0-9]*:.+")  # `file:FOLDER/NAME`, `package:MODULE/PATH`, ...
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # of the file's bytes


class ColumnContract(Record):
    """What a contract says of one column; every word becomes a Great Expectations expectation."""

    dtype: ColumnType
    nullable: bool = False
    unique: bool = False
    min: float | None = None  # smallest value, inclusive
    max: float | None = None  # largest value, inclusive
    one_of: tuple[str | int | bool, ...] | None = None  # the only values allowed
    min_length: int | None = Field(default=None, ge=0)  # characters of a string
    max_length: int | None = Field(default=None, ge=0)  # characters of a string
    matches: str | None = None  # regular expression that a string must match
    shape: tuple[int, ...] | None = None  # of a tensor, e.g. (height, width, channels)


class TableContract(Record):
    """What a table must keep before anything is trained on it."""

    min_rows: int = Field(default=1, ge=1)
    max_rows: int | None = Field(default=None, ge=1)
    columns: dict[str, ColumnContract] = Field(min_length=1)  # all columns of the table but `row_id`


class DatasetConfig(Record):
    """One data set: where it comes from, how it is read, what it promises."""

    name: Name
    title: str
    licence: str
    citation: str
    homepage: str = ""
    sources: dict[str, SourceConfig] = Field(min_length=1)
    reader: Component
    key: str | None = None  # column that identifies a row at its source; without one the content does
    inputs: tuple[str, ...] = Field(min_length=1)  # columns a model may see
    target: str | None = None  # column to predict; a forecast predicts its inputs
    time: str | None = None  # column that orders the rows
    tasks: tuple[TaskKind, ...] = Field(min_length=1)  # what can be asked of this data
    split: Component
    max_rejected: int = Field(default=0, ge=0)  # rows that may be unreadable before the run stops
    contract: TableContract

    @property
    def relevant_to_training(self) -> dict[str, Any]:
        """The keys that decide a training besides the table itself, as JSON; not title, licence and the like."""
        return self.model_dump(mode="json", include={"name", "inputs", "target", "time", "split"})

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        known = self.contract.columns
        wanted = [*self.inputs, *(name for name in (self.key, self.target, self.time) if name)]
        for name in wanted:
            if name not in known:
                msg = f"column {name!r} has no promise in contract.columns, which has {', '.join(known)}"
                raise ValueError(msg)
        if self.target in self.inputs:
            msg = f"target {self.target!r} is also among the inputs, so a model would be given the answer"
            raise ValueError(msg)
        return self
