"""How each promise of a contract is checked, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from headframe.config.plan.data import TableContract
from headframe.datasets.table import Table
from headframe.digests import Record
from headframe.errors import DataError
from headframe.validation.contracts import Term, great_expectations, suite, terms

REPORT = "validation.json"
CHUNK_ROWS, CHUNK_BYTES = 2**20, 128 * 2**20  # rows that are checked at once


class Finding(Record):
    """How one promise was kept."""

    column: str | None
    promise: str
    expectation: str
    settings: dict[str, Any]
    kept: bool
    broken: int  # values that break it; for the table as a whole, 1
    example: str | None = None  # one of them
    error: str | None = None  # why it could not be checked; such a promise counts as broken


class Report(Record):
    """What a table was held to, and how it stood."""

    dataset: str
    digest: str
    rows: int
    findings: tuple[Finding, ...]


def check(table: Table, contract: TableContract) -> list[Finding]:
    """Check a table against a contract: names and types first, then rows in parts, then whole columns.

    Raises:
        DataError: the contract holds no promise.
    """
    promised = terms(contract)
    if not promised:
        msg = "the contract promises nothing, so it cannot be kept; give dataset.contract.columns"
        raise DataError(msg)
    tallies = [_Tally(term) for term in promised]
    present = {field.name: str(field.type) for field in table.schema}
    _check_types(tallies, present)
    judge = _Judge(tallies)
    judge.hear("table", _empty(table.schema.names), only="expect_table_columns_to_match_set")
    judge.hear("table", pd.DataFrame(index=range(table.num_rows)), only="expect_table_row_count_to_be_between")
    for tally in tallies:
        if tally.term.column is not None and tally.term.column not in present:
            tally.error = "the column is missing"
    columns = _columns(tallies, present, "rows")
    valued = {tally.term.column for tally in tallies if tally.term.place == "rows" and tally.term.settings}
    tensors = _columns(tallies, present, "arrow", ("arrow_not_null", "arrow_between"))
    if columns or tensors:
        for chunk in _chunks(table, [*columns, *tensors]):
            if columns:
                series = {name: _series(chunk.column(name), name in valued) for name in columns}
                judge.hear("rows", pd.DataFrame(series, copy=False))
            for tally in tallies:
                if tally.term.column in tensors and tally.term.place == "arrow":
                    _check_tensor(tally, chunk.column(tally.term.column))
    for tally in tallies:
        if tally.term.place == "column" and tally.error is None:
            _check_unique(judge, tally, table)
    return [tally.finding() for tally in tallies]


@dataclass
class _Tally:
    """What was seen of one term so far."""

    term: Term
    heard: bool = False
    broken: int = 0
    example: str | None = None
    error: str | None = None

    def add(self, broken: int, example: Any = None) -> None:
        self.heard = True
        self.broken += broken
        if broken and self.example is None and example is not None:
            self.example = str(example)[:200]

    def finding(self) -> Finding:
        # What nobody checked was not kept.
        error = self.error or (None if self.heard else "it was not checked")
        return Finding(
            column=self.term.column,
            promise=self.term.words,
            expectation=self.term.expectation,
            settings=self.term.settings,
            kept=error is None and not self.broken,
            broken=self.broken,
            example=self.example,
            error=error,
        )


class _Judge:
    """Shows frames to Great Expectations and adds up what it says."""

    def __init__(self, tallies: list[_Tally]) -> None:
        self._tallies = tallies
        gx = great_expectations()
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._gx = gx
        self._context = context
        self._suite = suite("contract", [tally.term for tally in tallies])
        self._frames = (
            context.data_sources.add_pandas("table")
            .add_dataframe_asset("part")
            .add_batch_definition_whole_dataframe("all")
        )

    def hear(self, place: str, frame: pd.DataFrame, only: str | None = None, column: str | None = None) -> None:
        """Hold a frame to the terms of one place, or to some of them."""
        asked = [
            expectation
            for expectation in self._suite.expectations
            if (term := self._tallies[expectation.meta["term"]].term).place == place
            and self._tallies[expectation.meta["term"]].error is None
            and only in {None, term.expectation}
            and column in {None, term.column}
        ]
        if not asked:
            return
        part = self._gx.ExpectationSuite(name=place, expectations=asked)
        batch = self._frames.get_batch(batch_parameters={"dataframe": frame})
        answer = batch.validate(part, result_format={"result_format": "BASIC", "partial_unexpected_count": 1})
        for result in answer.results:
            self._take(result)

    def _take(self, result: Any) -> None:
        tally = self._tallies[result.expectation_config.meta["term"]]
        raised = _raised(result.exception_info)
        if raised is not None:
            tally.error = raised
        elif "unexpected_count" in result.result:
            examples = result.result.get("partial_unexpected_list") or [None]
            tally.add(int(result.result["unexpected_count"]), examples[0])
            if not result.success and not result.result["unexpected_count"]:
                tally.error = "Great Expectations calls it broken without naming a row"
        else:
            tally.add(0 if result.success else 1, result.result.get("observed_value"))


def _raised(information: dict[str, Any]) -> str | None:
    """Find an exception in what Great Expectations kept of it: one, or one for each metric."""
    for one in (information, *(inner for inner in information.values() if isinstance(inner, dict))):
        if one.get("raised_exception"):
            return str(one.get("exception_message")).splitlines()[0]
    return None


def _check_types(tallies: Sequence[_Tally], present: dict[str, str]) -> None:
    for tally in tallies:
        if tally.term.expectation == "arrow_type" and tally.term.column in present:
            came = present[tally.term.column]
            tally.add(0 if came == tally.term.settings["type"] else 1, came)
    strange = {tally.term.column for tally in tallies if tally.term.expectation == "arrow_type" and tally.broken}
    for tally in tallies:
        if tally.term.column in strange and tally.term.expectation != "arrow_type":
            tally.error = "the column is of another type"


def _columns(tallies: Sequence[_Tally], present: dict[str, str], place: str, only: tuple[str, ...] = ()) -> list[str]:
    wanted = {
        tally.term.column
        for tally in tallies
        if tally.term.place == place and tally.error is None and (not only or tally.term.expectation in only)
    }
    return [name for name in present if name in wanted]


def _chunks(table: Table, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows in parts that are large enough to be checked fast and small enough to be held."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in table.batches(columns):
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _series(column: pa.ChunkedArray, valued: bool) -> Any:
    """Give a column to pandas without changing what is missing or of which type it is.

    Where only missing values are asked about, zeros stand for the others: pandas takes long over text.
    """
    if not valued:
        return np.where(_missing(column), np.nan, 0.0)
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()} if column.null_count else {}
    return column.to_pandas(types_mapper=nullable.get)


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_null(nan_is_null=pa.types.is_floating(column.type)))


def _empty(names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in names})


def _check_tensor(tally: _Tally, column: pa.ChunkedArray) -> None:
    if tally.term.expectation == "arrow_not_null":
        tally.add(column.null_count)
    elif tally.term.expectation == "arrow_between":
        for part in column.chunks:
            values = part.drop_null().to_numpy_ndarray().reshape(len(part) - part.null_count, -1)
            low, high = tally.term.settings["min_value"], tally.term.settings["max_value"]
            fine = np.isfinite(values) if values.dtype.kind == "f" else np.ones_like(values, dtype=bool)
            if low is not None:
                fine &= values >= low
            if high is not None:
                fine &= values <= high
            wrong = ~fine.all(axis=1)
            tally.add(int(wrong.sum()), values[~fine][0] if wrong.any() else None)


def _check_unique(judge: _Judge, tally: _Tally, table: Table) -> None:
    """Look for repetitions among 8-byte stand-ins of all values; where some are found, among the values themselves."""
    name = str(tally.term.column)
    parts = [_stand_ins(batch.column(0)) for batch in table.batches([name])]
    stand_ins = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    judge.hear("column", pd.DataFrame({name: stand_ins}), tally.term.expectation, name)
    if not tally.broken:
        return
    twice = np.sort(stand_ins)
    twice = np.unique(twice[1:][twice[1:] == twice[:-1]])
    suspects = []
    for batch in table.batches([name]):
        present = batch.column(0).drop_null()
        suspects += present.filter(pa.array(np.isin(_stand_ins(present), twice))).to_pylist()
    values = pd.Series(suspects, dtype=object)
    repeated = values[values.duplicated(keep=False)]
    tally.broken = len(repeated)
    tally.example = str(repeated.iloc[0])[:200] if len(repeated) else None


def _stand_ins(column: pa.Array) -> np.ndarray:
    """Give each value that is there a number, equal for equal values; uint64 (values,)."""
    present = column.drop_null()
    if pa.types.is_string(present.type):
        values: Any = present.to_pandas()
    else:
        values = present.to_numpy(zero_copy_only=False)
        values = values + 0.0 if values.dtype.kind == "f" else values  # minus zero is zero
    return pd.util.hash_pandas_object(pd.Series(values), index=False, categorize=False).to_numpy()


def sentence(finding: Finding, rows: int) -> str:
    """Say how a promise was broken, of a table of `rows` rows."""
    where = "the table" if finding.column is None else f"column {finding.column!r}"
    if finding.error is not None:
        return f"{where} promises that it {finding.promise}, which cannot be checked: {finding.error}"
    if finding.expectation.startswith("expect_table") or finding.expectation == "arrow_type":
        return f"{where} promises that it {finding.promise}, but it has {finding.example}"
    example = "" if finding.example is None else f", for example {finding.example!r}"
    return f"{where} promises that it {finding.promise}, but {finding.broken} of {rows} rows break it{example}"
