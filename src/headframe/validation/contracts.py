"""From a contract to a Great Expectations suite, and to the few promises that pandas cannot hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headframe.config.plan.data import ColumnContract, TableContract
from headframe.datasets.column_types.base import LARGEST, column_type
from headframe.datasets.schema import OWN

if TYPE_CHECKING:
    import great_expectations as gx


@dataclass(frozen=True)
class Term:
    """One promise of a contract in the terms of the library that checks it.

    Attributes:
        place: at what it is checked: `table` (names and number of rows), `rows` (any part of the rows tells),
            `column` (all values of one column at once), or `arrow` (types and tensors, which pandas has not).
        words: what is promised, to follow "column x".
        column: name of the column; None where the table as a whole is meant.
        expectation: Great Expectations' name of it; where `place` is `arrow`, ours.
        settings: its arguments.
    """

    place: str
    words: str
    column: str | None
    expectation: str
    settings: dict[str, Any]


def terms(contract: TableContract) -> list[Term]:
    """Spell a contract: the exact columns, the number of rows, then each column's own promises."""
    names = [*OWN, *contract.columns]
    most = "" if contract.max_rows is None else f" and at most {contract.max_rows}"
    return [
        Term(
            "table",
            f"has exactly the columns {', '.join(names)}",
            None,
            "expect_table_columns_to_match_set",
            {"column_set": names, "exact_match": True},
        ),
        Term(
            "table",
            f"has at least {contract.min_rows}{most} rows",
            None,
            "expect_table_row_count_to_be_between",
            {"min_value": contract.min_rows, "max_value": contract.max_rows},
        ),
        *(term for column, promise in contract.columns.items() for term in _terms(column, promise)),
    ]


def _terms(column: str, promise: ColumnContract) -> Iterator[Term]:
    of_type = column_type(promise)
    kind = str(of_type.arrow(column, promise))
    # pandas cannot tell an int with missing values from a float, so types are read off the Arrow schema.
    yield Term("arrow", f"is of type {kind}", column, "arrow_type", {"type": kind})
    if not promise.nullable:
        expectation = "expect_column_values_to_not_be_null" if of_type.in_pandas else "arrow_not_null"
        yield Term("rows" if of_type.in_pandas else "arrow", "is never missing", column, expectation, {})
    low, high = of_type.bounds(promise)
    if low is not None or high is not None:
        if of_type.arrays:
            yield Term("arrow", _range_words(low, high), column, "arrow_between", {"min_value": low, "max_value": high})
        else:
            yield _between(column, low, high)
    if promise.one_of is not None:
        allowed = list(promise.one_of)
        words = f"is one of {', '.join(map(str, allowed))}"
        yield Term("rows", words, column, "expect_column_values_to_be_in_set", {"value_set": allowed})
    if promise.min_length is not None or promise.max_length is not None:
        lengths = {"min_value": promise.min_length, "max_value": promise.max_length}
        words = f"has a length that {_range_words(promise.min_length, promise.max_length)}"
        yield Term("rows", words, column, "expect_column_value_lengths_to_be_between", lengths)
    if promise.matches is not None:
        # Great Expectations searches; the whole string is meant.
        regex = {"regex": rf"^(?:{promise.matches})\Z"}
        yield Term("rows", f"matches {promise.matches}", column, "expect_column_values_to_match_regex", regex)
    if promise.unique:
        yield Term("column", "never repeats", column, "expect_column_values_to_be_unique", {})


def suite(name: str, promised: list[Term]) -> gx.ExpectationSuite:
    """Make the Great Expectations suite of those terms that are not ours to check.

    The list goes to the constructor, since adding to a suite needs a live data context. Each expectation
    carries the position of its term, because results come back in another order.
    """
    gx = great_expectations()
    made = []
    for position, term in enumerate(promised):
        if term.place != "arrow":
            kind = getattr(gx.expectations, _class_name(term.expectation))
            column = {} if term.column is None else {"column": term.column}
            made.append(kind(**column, **term.settings, meta={"term": position}))
    return gx.ExpectationSuite(name=name, expectations=made)


def great_expectations() -> Any:
    """Import Great Expectations, which takes seconds, with its telemetry off, which it reads while it is imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # noqa: PLC0415
    import great_expectations.expectations  # noqa: PLC0415

    return gx


def _between(column: str, low: float | None, high: float | None) -> Term:
    settings = {"min_value": low, "max_value": high}
    return Term("rows", _range_words(low, high), column, "expect_column_values_to_be_between", settings)


def _range_words(low: float | None, high: float | None) -> str:
    bounds = []
    if low not in {None, -LARGEST}:
        bounds.append(f"at least {low:g}")
    if high not in {None, LARGEST}:
        bounds.append(f"at most {high:g}")
    return f"is {' and '.join(bounds) or 'finite'}"


def _class_name(expectation: str) -> str:
    return "".join(part.capitalize() for part in expectation.split("_"))
