"""From a contract to a Great Expectations suite, and to the few promises that pandas cannot hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headframe.config.plan.data import ColumnContract, TableContract
from headframe.datasets.schema import OWN, arrow_type

if TYPE_CHECKING:
    import great_expectations as gx

LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Term:
    """One promise of a contract in the words of whoever checks it.

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
    kind = str(arrow_type(column, promise))
    # pandas cannot tell an int with missing values from a float, so types are read off the Arrow schema.
    yield Term("arrow", f"is of type {kind}", column, "arrow_type", {"type": kind})
    plain = promise.dtype not in {"tensor", "list"}
    if not promise.nullable:
        expectation = "expect_column_values_to_not_be_null" if plain else "arrow_not_null"
        yield Term("rows" if plain else "arrow", "is never missing", column, expectation, {})
    if promise.dtype == "float":
        # Great Expectations passes infinity where no bound is given.
        low, high = _or(promise.min, -LARGEST), _or(promise.max, LARGEST)
        yield _between(column, low, high, "is finite" if (low, high) == (-LARGEST, LARGEST) else None)
    elif promise.min is not None or promise.max is not None:
        if promise.dtype == "tensor":
            settings = {"min_value": promise.min, "max_value": promise.max}
            yield Term("arrow", _range_words(promise.min, promise.max), column, "arrow_between", settings)
        else:
            yield _between(column, promise.min, promise.max)
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


def _between(column: str, low: float | None, high: float | None, words: str | None = None) -> Term:
    settings = {"min_value": low, "max_value": high}
    name = "expect_column_values_to_be_between"
    return Term("rows", words or _range_words(low, high), column, name, settings)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _range_words(low: float | None, high: float | None) -> str:
    bounds = []
    if low not in {None, -LARGEST}:
        bounds.append(f"at least {low:g}")
    if high not in {None, LARGEST}:
        bounds.append(f"at most {high:g}")
    return "is " + " and ".join(bounds)


def _class_name(expectation: str) -> str:
    return "".join(part.capitalize() for part in expectation.split("_"))
