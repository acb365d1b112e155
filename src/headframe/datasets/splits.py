"""Splits of a table into training, validation and test rows."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import ClassVar

import numpy as np
import pyarrow as pa

from headframe.config.build import build
from headframe.config.plan.data import CONTENT, TrainingDataConfig
from headframe.config.ranges import Column, Count, Share
from headframe.config.targets.value_types import quotes_advice
from headframe.datasets import hashing
from headframe.datasets.groups import first_shared, group_numbers
from headframe.datasets.table import Table, open_record
from headframe.errors import ConfigurationError, DataError, shown, some
from headframe.places import Places
from headframe.records import SplitRecord, TableRecord

SPLITS = ("train", "validation", "test", "unused")


class Splitter(ABC):
    """Splits the rows of a table.

    Attributes:
        columns: what it reads of the table besides the rows' contents; the contents do not count it. Where the data
            set has groups, rows of one group come with one content.
        by_time: whether it needs the column that orders the rows.
        disjoint: whether rows of equal content never lie in two of train, validation, test.
            Rows of a series are no examples by themselves, so there it is the time order that
            separates the splits, and equal readings may occur in all of them.
    """

    by_time: ClassVar[bool] = False
    disjoint: ClassVar[bool] = True
    columns: tuple[str, ...] = ()

    @abstractmethod
    def assign(self, rows: pa.Table, time: str | None) -> np.ndarray:
        """Assign each row one of `SPLITS`, in table order.

        Args:
            rows: contents and `columns`, and the column of time where there is one.
            time: name of that column.
        """


@dataclass(frozen=True, kw_only=True)
class HashSplitter(Splitter):
    """Assigns by a hash of the content of a row: equal rows stay together, and appended rows move no other.

    Attributes:
        validation: share of the contents, from 0 to 1.
        test: share of the contents, from 0 to 1.
        salt: any text; another salt gives another split.
    """

    validation: Share
    test: Share
    salt: str = ""

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            msg = f"validation={self.validation} and test={self.test} must be at least 0 and leave rows to train on"
            raise ValueError(msg)

    def assign(self, rows: pa.Table, time: str | None) -> np.ndarray:  # noqa: ARG002 - as the base class has it
        """See `Splitter.assign`."""
        draw = uniform_hash(hashing.content_numbers(rows.column(CONTENT)), self.salt)
        return np.select([draw < self.test, draw < self.test + self.validation], ["test", "validation"], "train")


@dataclass(frozen=True, kw_only=True)
class PredefinedSplitter(Splitter):
    """Takes the split that the source has, so that results compare with published ones.

    The published test rows stay whole. Training and validation rows that repeat a test row, and training
    rows that repeat a validation row, are left unused.

    Attributes:
        column: holds the source's split.
        names: by value of `column`, which of train, validation, test it means; other values are not allowed.
        validation: share of the training contents that validates, where the source has no validation rows.
        salt: any text; another salt gives another split.
    """

    column: Column = "part"
    names: Mapping[str | int | bool, str] = field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )
    validation: Share = 0.0
    salt: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation={self.validation} must be at least 0 and below 1")
        foreign = {*self.names.values()} - {*SPLITS}
        if foreign:
            raise ValueError(f"names leads to {some(sorted(foreign))}; only {', '.join(SPLITS)} are possible")

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """The source's split."""
        return (self.column,)

    def assign(self, rows: pa.Table, time: str | None) -> np.ndarray:  # noqa: ARG002 - as the base class has it
        """See `Splitter.assign`."""
        came = hashing.one_chunk(rows.column(self.column)).dictionary_encode()
        # Names as text on both sides: a column of numbers may hold the split, and YAML reads 1 and true as no text.
        names = {str(value): split for value, split in self.names.items()}
        values = list(map(str, came.dictionary.to_pylist()))
        unknown = sorted({*values} - {*names})
        if unknown or came.null_count:
            hint = quotes_advice([*self.names], lambda _: pa.types.is_string(came.dictionary.type))
            msg = f"column {self.column!r} holds {(unknown or ['nothing'])[0]!r}; expected: {some(names)}{hint}"
            raise DataError(msg)
        meanings = np.array([names[value] for value in values], dtype="<U10")
        splits = meanings[np.asarray(came.indices)]
        content = hashing.content_numbers(rows.column(CONTENT))
        if self.validation:
            splits[(splits == "train") & (uniform_hash(content, self.salt) < self.validation)] = "validation"
        learned = np.isin(splits, ["train", "validation"])
        splits[learned & np.isin(content, content[splits == "test"])] = "unused"
        splits[(splits == "train") & np.isin(content, content[splits == "validation"])] = "unused"
        return splits


@dataclass(frozen=True, kw_only=True)
class TimeSplitter(Splitter):
    """Splits a series in the order of time: the oldest rows train, the rows after them validate, then test.

    Attributes:
        train: number of rows.
        validation: number of rows.
        test: number of rows; what comes after them is left unused.
    """

    disjoint: ClassVar[bool] = False
    by_time: ClassVar[bool] = True

    train: Count
    validation: Count
    test: Count

    def __post_init__(self) -> None:
        if min(self.train, self.validation, self.test) < 1:
            msg = f"train={self.train}, validation={self.validation}, test={self.test} must each be at least one row"
            raise ValueError(msg)

    def assign(self, rows: pa.Table, time: str | None) -> np.ndarray:
        """See `Splitter.assign`.

        Raises:
            DataError: time does not ascend or is repeated, or the rows are too few.
        """
        if time is None:
            raise ConfigurationError("the split is by time, but dataset.time names no column")
        wanted = self.train + self.validation + self.test
        if rows.num_rows < wanted:
            raise DataError(f"the split needs {wanted} rows, but the table has {rows.num_rows}")
        from headframe.series.findings import disorder  # noqa: PLC0415 - pandas, which a stored split does without
        from headframe.series.frequency import read_times  # noqa: PLC0415 - pandas, which a stored split does without

        if fault := disorder(read_times(rows, time), time):
            raise DataError(fault)
        counts = (self.train, self.validation, self.test, rows.num_rows - wanted)
        return np.repeat(np.array(SPLITS), counts)


def assign(dataset: TrainingDataConfig, table: Table) -> np.ndarray:
    """Assign each row of a table one of train, validation, test, unused; `<U10` (rows,), in table order.

    Raises:
        DataError: the table cannot be split as the data set says.
    """
    splitter: Splitter = build(dataset.split)
    wanted = dict.fromkeys((CONTENT, *splitter.columns, *((dataset.time,) if dataset.time else ()), *dataset.group))
    lacking = [name for name in wanted if name not in table.schema.names]
    if lacking:
        msg = f"the split of {dataset.name} needs column {lacking[0]!r}; came: {some(table.schema.names)}"
        raise DataError(msg)
    rows = table.read(list(wanted))
    if dataset.group:
        numbers = group_numbers(rows, dataset.group, hashing.content_numbers(rows.column(CONTENT)))
        rows = rows.set_column(0, CONTENT, pa.array(map("{:016x}".format, numbers.tolist()), pa.string()))
    return splitter.assign(rows, dataset.time).astype("<U10")


def split(dataset: TrainingDataConfig, table: TableRecord, places: Places) -> SplitRecord:
    """Split a table; where its splitter is disjoint, check that no content and no group lies in two splits.

    Raises:
        DataError: a split is empty, or rows of equal content or of one group lie in two splits.
    """
    opened = open_record(table, places.root)
    splits = assign(dataset, opened)
    counts = {part: int((splits == part).sum()) for part in SPLITS}
    require_rows(dataset.name, opened, splits)
    if build(dataset.split).disjoint:
        _check_disjoint(dataset.name, hashing.content_numbers(opened.read([CONTENT]).column(CONTENT)), splits)
        _check_groups(dataset.name, opened.read(list(dataset.group)), splits)
    codes = np.searchsorted(sorted(SPLITS), splits).astype(np.uint8)
    return SplitRecord(table=table, digest=hashlib.sha256(codes.tobytes()).hexdigest(), **counts)


def require_rows(name: str, table: Table, splits: np.ndarray) -> None:
    """Check that there are rows to train on, to validate with and to test on.

    Raises:
        DataError: a split is empty.
    """
    empty = [part for part in SPLITS[:3] if not (splits == part).any()]
    if not empty:
        return
    contents = len(np.unique(hashing.content_numbers(table.read([CONTENT]).column(CONTENT))))
    advice = "; change its shares, or add rows"
    if contents < table.num_rows:
        advice = (
            f", which have {contents:,} different contents: rows of equal content stay in one split, so add columns "
            "that tell the rows apart, or change its shares"
        )
    raise DataError(f"the split of {name} leaves no {empty[0]} rows among {table.num_rows:,}{advice}")


def uniform_hash(content: np.ndarray, salt: str) -> np.ndarray:
    """Hash each content to a number in [0, 1); float64 (rows,).

    Source: the finaliser of splitmix64, G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014,
    doi:10.1145/2660193.2660195, over the content and 64 bits of the salt's sha256.
    """
    key = np.frombuffer(hashlib.sha256(salt.encode()).digest()[:8], dtype="<u8")[0]
    mixed = content.astype(np.uint64) ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53  # 53 bits are what a double holds exactly


def _check_groups(name: str, groups: pa.Table, splits: np.ndarray) -> None:
    """Check that no value of a column lies in two splits, whatever assigned them."""
    for column, (one, other) in product(groups.column_names, combinations(SPLITS[:3], 2)):
        shared, value = first_shared(groups.column(column), splits == one, splits == other)
        if shared.any():
            raise DataError(
                f"the split of {name} leaks: rows of one group lie in two splits, first those whose {column} is "
                f"{shown(value)} in both {one} and {other}"
            )


def _check_disjoint(name: str, content: np.ndarray, splits: np.ndarray) -> None:
    """Check that no content lies in two splits, whatever assigned them."""
    used = splits != "unused"
    content, splits = content[used], splits[used]
    order = np.lexsort([splits, content])
    content, splits = content[order], splits[order]
    crossing = np.flatnonzero((content[1:] == content[:-1]) & (splits[1:] != splits[:-1]))
    if len(crossing):
        at = int(crossing[0])
        raise DataError(
            f"the split of {name} leaks: equal rows lie in two splits, first the content "
            f"{int(content[at]):016x} in both {splits[at]} and {splits[at + 1]}"
        )
