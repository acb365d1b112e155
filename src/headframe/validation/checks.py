"""How each expectation of a contract is checked, in bounded memory."""

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
from headframe.validation.expectations import Expectation, expectations, great_expectations, suite

REPORT = "validation.json"
CHUNK_ROWS, CHUNK_BYTES = 2**20, 128 * 2**20  # rows that are checked at once


class ExpectationResult(Record):
    """Whether a table met one expectation."""

    column: str | None
    constraint: str
    expectation: str
    settings: dict[str, Any]
    passed: bool
    unexpected: int  # values that do not meet it; for the table as a whole, 1
    example: str | None = None  # one of them
    error: str | None = None  # why it could not be checked; it then counts as not met


class ValidationReport(Record):
    """What was expected of a table, and what came out."""

    dataset: str
    digest: str
    rows: int
    results: tuple[ExpectationResult, ...]
    series: str = ""  # frequency and gaps of rows that have a time, or why they have none


def check(table: Table, contract: TableContract) -> list[ExpectationResult]:
    """Check a table against a contract: names and types first, then rows in chunks, then whole columns.

    Raises:
        DataError: the contract expects nothing.
    """
    expected = expectations(contract)
    if not expected:
        raise DataError("the contract has no constraints, so nothing can be validated; set dataset.contract.columns")
    counts = [_RunningCount(expectation) for expectation in expected]
    present = {field.name: str(field.type) for field in table.schema}
    _check_types(counts, present)
    validator = _GreatExpectationsValidator(counts)
    validator.validate("table", _empty(table.schema.names), only="expect_table_columns_to_match_set")
    validator.validate("table", pd.DataFrame(index=range(table.num_rows)), only="expect_table_row_count_to_be_between")
    for count in counts:
        if count.of.column is not None and count.of.column not in present:
            count.error = "the column is missing"
    columns = _columns(counts, present, "rows")
    valued = {count.of.column for count in counts if count.of.scope == "rows" and count.of.settings}
    ours = [each for each in counts if each.of.scope == "arrow" and each.of.name != "arrow_type" and each.error is None]
    nested = list(dict.fromkeys(str(count.of.column) for count in ours))
    if columns or nested:
        for chunk in _chunks(table, [*dict.fromkeys([*columns, *nested])]):
            if columns:
                series = {name: _series(chunk.column(name), name in valued) for name in columns}
                validator.validate("rows", pd.DataFrame(series, copy=False))
            for count in ours:
                _check_exactly(count, chunk.column(count.of.column))
    for count in counts:
        if count.of.scope == "column" and count.error is None:
            _check_unique(validator, count, table)
    return [count.result() for count in counts]


@dataclass
class _RunningCount:
    """What has been found of one expectation so far."""

    of: Expectation
    checked: bool = False
    unexpected: int = 0
    example: str | None = None
    error: str | None = None

    def add(self, unexpected: int, example: Any = None) -> None:
        self.checked = True
        self.unexpected += unexpected
        if unexpected and self.example is None and example is not None:
            self.example = str(example)[:200]

    def result(self) -> ExpectationResult:
        # What was not checked was not met.
        error = self.error or (None if self.checked else "it was not checked")
        return ExpectationResult(
            column=self.of.column,
            constraint=self.of.constraint,
            expectation=self.of.name,
            settings=self.of.settings,
            passed=error is None and not self.unexpected,
            unexpected=self.unexpected,
            example=self.example,
            error=error,
        )


class _GreatExpectationsValidator:
    """Validates frames by Great Expectations and adds up its results."""

    def __init__(self, counts: list[_RunningCount]) -> None:
        self._counts = counts
        gx = great_expectations()
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._gx = gx
        self._context = context
        self._suite = suite("contract", [count.of for count in counts])
        self._frames = (
            context.data_sources.add_pandas("table")
            .add_dataframe_asset("part")
            .add_batch_definition_whole_dataframe("all")
        )

    def validate(self, scope: str, frame: pd.DataFrame, only: str | None = None, column: str | None = None) -> None:
        """Check a frame against the expectations of one scope, or some of them."""
        wanted = [
            each
            for each in self._suite.expectations
            if (count := self._counts[each.meta["position"]]).of.scope == scope
            and count.error is None
            and only in {None, count.of.name}
            and column in {None, count.of.column}
        ]
        if not wanted:
            return
        part = self._gx.ExpectationSuite(name=scope, expectations=wanted)
        batch = self._frames.get_batch(batch_parameters={"dataframe": frame})
        found = batch.validate(part, result_format={"result_format": "BASIC", "partial_unexpected_count": 1})
        for result in found.results:
            self._add(result)

    def _add(self, result: Any) -> None:
        count = self._counts[result.expectation_config.meta["position"]]
        raised = _raised(result.exception_info)
        if raised is not None:
            count.error = raised
        elif "unexpected_count" in result.result:
            examples = result.result.get("partial_unexpected_list") or [None]
            count.add(int(result.result["unexpected_count"]), examples[0])
            if not result.success and not result.result["unexpected_count"]:
                count.error = "Great Expectations reports a failure without any row"
        else:
            count.add(0 if result.success else 1, result.result.get("observed_value"))


def _raised(information: dict[str, Any]) -> str | None:
    """Return the first exception among those that Great Expectations recorded: one, or one for each metric."""
    for one in (information, *(inner for inner in information.values() if isinstance(inner, dict))):
        if one.get("raised_exception"):
            return str(one.get("exception_message")).splitlines()[0]
    return None


def _check_types(counts: Sequence[_RunningCount], present: dict[str, str]) -> None:
    for count in counts:
        if count.of.name == "arrow_type" and count.of.column in present:
            actual = present[count.of.column]
            count.add(0 if actual == count.of.settings["type"] else 1, actual)
    wrong = {count.of.column for count in counts if count.of.name == "arrow_type" and count.unexpected}
    for count in counts:
        if count.of.column in wrong and count.of.name != "arrow_type":
            count.error = "the column is of another type"


def _columns(counts: Sequence[_RunningCount], present: dict[str, str], scope: str) -> list[str]:
    wanted = {count.of.column for count in counts if count.of.scope == scope and count.error is None}
    return [name for name in present if name in wanted]


def _chunks(table: Table, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows in chunks that are large enough to be checked fast and small enough for memory."""
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
    """Convert a column to pandas without changing its type or what is missing.

    Where only missing values matter, zeros stand for the others: pandas is slow with text.
    """
    if not valued:
        return np.where(_missing(column), np.nan, 0.0)
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()} if column.null_count else {}
    return column.to_pandas(types_mapper=nullable.get)


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_null(nan_is_null=pa.types.is_floating(column.type)))


def _empty(names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in names})


def _check_exactly(count: _RunningCount, column: pa.ChunkedArray) -> None:
    if count.of.cells is None:
        count.add(column.null_count)
    else:
        for part in column.chunks:
            wrong, value = count.of.cells.wrong(part.drop_null())
            count.add(len(wrong), value)


def _check_unique(validator: _GreatExpectationsValidator, count: _RunningCount, table: Table) -> None:
    """Look for repetitions among 8-byte hashes of all values; where some are found, among the values themselves."""
    name = str(count.of.column)
    parts = [_hashes(batch.column(0)) for batch in table.batches([name])]
    hashes = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    validator.validate("column", pd.DataFrame({name: hashes}), count.of.name, name)
    if not count.unexpected:
        return
    twice = np.sort(hashes)
    twice = np.unique(twice[1:][twice[1:] == twice[:-1]])
    suspects = []
    for batch in table.batches([name]):
        present = batch.column(0).drop_null()
        suspects += present.filter(pa.array(np.isin(_hashes(present), twice))).to_pylist()
    values = pd.Series(suspects, dtype=object)
    repeated = values[values.duplicated(keep=False)]
    count.unexpected = len(repeated)
    count.example = str(repeated.iloc[0])[:200] if len(repeated) else None


def _hashes(column: pa.Array) -> np.ndarray:
    """Hash each value that is not missing, equal for equal values; uint64 (values,)."""
    present = column.drop_null()
    if pa.types.is_string(present.type):
        values: Any = present.to_pandas()
    else:
        values = present.to_numpy(zero_copy_only=False)
        values = values + 0.0 if values.dtype.kind == "f" else values  # minus zero is zero
    return pd.util.hash_pandas_object(pd.Series(values), index=False, categorize=False).to_numpy()


def failure_message(result: ExpectationResult, rows: int) -> str:
    """Describe a failed expectation on a table of `rows` rows."""
    constraint = f"{'the table' if result.column is None else f'column {result.column!r}'} {result.constraint}"
    if result.error is not None:
        return f"{constraint}, which cannot be checked: {result.error}"
    if result.expectation.startswith("expect_table") or result.expectation == "arrow_type":
        return f"{constraint}, but it has {result.example}"
    example = "" if result.example is None else f", for example {result.example!r}"
    return f"{constraint}, but {result.unexpected} of {rows} rows do not meet this{example}"
