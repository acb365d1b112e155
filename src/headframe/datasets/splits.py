"""Which rows train, which validate, which test: decided before anything looks at them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from headframe.config.build import build
from headframe.config.plan.data import TrainingDataConfig
from headframe.config.ranges import Count, Share
from headframe.datasets import cells
from headframe.datasets.table import Table, open_record
from headframe.errors import ConfigurationError, DataError
from headframe.places import Places
from headframe.records import SplitRecord, TableRecord

PARTS = ("train", "validation", "test", "unused")


class Splitter(ABC):
    """Divides the rows of a table.

    Attributes:
        columns: what it reads of the table beside `content`.
        apart: whether it promises that rows of equal content never lie in two of train, validation, test.
            Rows of a series are no examples by themselves, so there it is the time order that keeps
            the parts apart, and equal readings may occur in all of them.
    """

    apart: ClassVar[bool] = True
    columns: tuple[str, ...] = ()

    @abstractmethod
    def assign(self, rows: pa.Table, time: str | None) -> np.ndarray:
        """Give each row one of `PARTS`, in table order.

        Args:
            rows: `content` and `columns`, and the column of time where there is one.
            time: name of that column.
        """


@dataclass(frozen=True, kw_only=True)
class Hashed(Splitter):
    """Draws by the content of a row alone: its repetitions go with it, and appended rows move no other.

    Attributes:
        validation: share of the contents, from 0 to 1.
        test: share of the contents, from 0 to 1.
        salt: any text; another salt is another draw.
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
        draw = lot(cells.numbers(rows.column("content")), self.salt)
        return np.select([draw < self.test, draw < self.test + self.validation], ["test", "validation"], "train")


@dataclass(frozen=True, kw_only=True)
class Given(Splitter):
    """Keeps the split that the source has, so that results compare with published ones.

    The published test rows stay whole. Training and validation rows that repeat a test row, and training
    rows that repeat a validation row, are left unused.

    Attributes:
        column: holds the source's split.
        names: by value of `column`, which of train, validation, test it means; other values are not allowed.
        validation: share of the training contents that validates, where the source has no validation rows.
        salt: any text; another salt is another draw.
    """

    column: str = "part"
    names: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )
    validation: Share = 0.0
    salt: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            msg = f"validation={self.validation} must be at least 0 and below 1"
            raise ValueError(msg)
        foreign = {*self.names.values()} - {*PARTS}
        if foreign:
            msg = f"names leads to {', '.join(sorted(foreign))}; only {', '.join(PARTS)} are possible"
            raise ValueError(msg)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """The source's split."""
        return (self.column,)

    def assign(self, rows: pa.Table, time: str | None) -> np.ndarray:  # noqa: ARG002 - as the base class has it
        """See `Splitter.assign`."""
        came = cells.whole(rows.column(self.column)).dictionary_encode()
        unknown = sorted({str(value) for value in came.dictionary.to_pylist()} - {*self.names})
        if unknown or came.null_count:
            msg = f"column {self.column!r} holds {(unknown or ['nothing'])[0]!r}; expected: {', '.join(self.names)}"
            raise DataError(msg)
        meanings = np.array([self.names[value] for value in came.dictionary.to_pylist()], dtype="<U10")
        parts = meanings[np.asarray(came.indices)]
        content = cells.numbers(rows.column("content"))
        if self.validation:
            parts[(parts == "train") & (lot(content, self.salt) < self.validation)] = "validation"
        learned = np.isin(parts, ["train", "validation"])
        parts[learned & np.isin(content, content[parts == "test"])] = "unused"
        parts[(parts == "train") & np.isin(content, content[parts == "validation"])] = "unused"
        return parts


@dataclass(frozen=True, kw_only=True)
class Ordered(Splitter):
    """Cuts a series in the order of time: the oldest rows train, the rows after them validate, then test.

    Attributes:
        train: number of rows.
        validation: number of rows.
        test: number of rows; what comes after them is left unused.
    """

    apart: ClassVar[bool] = False

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
            DataError: time does not ascend, or the rows are too few.
        """
        if time is None:
            msg = "the split is by time, but dataset.time names no column"
            raise ConfigurationError(msg)
        wanted = self.train + self.validation + self.test
        if rows.num_rows < wanted:
            msg = f"the split asks for {wanted} rows, but the table has {rows.num_rows}"
            raise DataError(msg)
        moments = np.asarray(cells.whole(rows.column(time)))
        back = np.flatnonzero(~(moments[1:] > moments[:-1]))
        if len(back):
            at = int(back[0]) + 1
            msg = (
                f"column {time!r} does not ascend: row {at + 1} has {moments[at]} after {moments[at - 1]}; "
                "sort the source by time and remove repeated moments"
            )
            raise DataError(msg)
        counts = (self.train, self.validation, self.test, rows.num_rows - wanted)
        return np.repeat(np.array(PARTS), counts)


def assign(dataset: TrainingDataConfig, table: Table) -> np.ndarray:
    """Give each row of a table one of train, validation, test, unused; `<U10` (rows,), in table order.

    Raises:
        DataError: the table cannot be split as the data set says.
    """
    splitter: Splitter = build(dataset.split)
    wanted = dict.fromkeys(("content", *splitter.columns, *((dataset.time,) if dataset.time else ())))
    lacking = [name for name in wanted if name not in table.schema.names]
    if lacking:
        msg = f"the split of {dataset.name} needs column {lacking[0]!r}; came: {', '.join(table.schema.names)}"
        raise DataError(msg)
    return splitter.assign(table.read(list(wanted)), dataset.time).astype("<U10")


def split(dataset: TrainingDataConfig, table: TableRecord, places: Places) -> SplitRecord:
    """Split a table and, where its splitter promises it, prove that no content lies in two parts.

    Raises:
        DataError: a part is empty, or rows of equal content lie in two parts.
    """
    opened = open_record(table, places.root)
    parts = assign(dataset, opened)
    counts = {part: int((parts == part).sum()) for part in PARTS}
    empty = [part for part in ("train", "validation", "test") if not counts[part]]
    if empty:
        msg = f"the split of {dataset.name} leaves no {empty[0]} rows among {table.rows}; change its shares"
        raise DataError(msg)
    if build(dataset.split).apart:
        _prove_apart(dataset.name, cells.numbers(opened.read(["content"]).column("content")), parts)
    codes = np.searchsorted(sorted(PARTS), parts).astype(np.uint8)
    return SplitRecord(table=table, digest=hashlib.sha256(codes.tobytes()).hexdigest(), **counts)


def lot(content: np.ndarray, salt: str) -> np.ndarray:
    """Draw a number in [0, 1) for each content, the same ever after; float64 (rows,).

    Source: the finaliser of splitmix64, G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014,
    doi:10.1145/2660193.2660195, over the content and 64 bits of the salt's sha256.
    """
    key = np.frombuffer(hashlib.sha256(salt.encode()).digest()[:8], dtype="<u8")[0]
    mixed = content.astype(np.uint64) ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53  # 53 bits are what a double holds exactly


def _prove_apart(name: str, content: np.ndarray, parts: np.ndarray) -> None:
    """Look for a content in two parts, without trusting how the parts were made."""
    used = parts != "unused"
    content, parts = content[used], parts[used]
    order = np.lexsort([parts, content])
    content, parts = content[order], parts[order]
    crossing = np.flatnonzero((content[1:] == content[:-1]) & (parts[1:] != parts[:-1]))
    if len(crossing):
        at = int(crossing[0])
        msg = (
            f"the split of {name} leaks: equal inputs lie in two parts, first the content "
            f"{int(content[at]):016x} in both {parts[at]} and {parts[at + 1]}"
        )
        raise DataError(msg)
