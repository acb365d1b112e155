"""From a contract to a Great Expectations suite, and to the few expectations that pandas cannot check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headframe.cells.constraints import CellConstraint, range_text, whole_pattern
from headframe.config.plan.data import EXACT_FLOAT, ColumnContract, TableContract
from headframe.datasets.column_types.base import column_type
from headframe.datasets.schema import OWN
from headframe.errors import some

if TYPE_CHECKING:
    import great_expectations as gx


@dataclass(frozen=True)
class Expectation:
    """One constraint of a contract.

    Attributes:
        scope: what it is checked on: `table` (names and number of rows), `rows` (any chunk of the rows), `column`
            (all values of one column at once), or `arrow` (types and nested values, which pandas does not have).
        constraint: for people, to follow "column x".
        column: name of the column; None where the table as a whole is meant.
        name: Great Expectations' name of it; where `scope` is `arrow`, ours.
        settings: its arguments.
        cells: how ours is checked, where it is about cells that are not missing.
    """

    scope: str
    constraint: str
    column: str | None
    name: str
    settings: dict[str, Any]
    cells: CellConstraint | None = None


def expectations(contract: TableContract) -> list[Expectation]:
    """Return what a contract expects: the exact columns, the number of rows, then each column's own constraints."""
    names = [*OWN, *contract.columns]
    most = "" if contract.max_rows is None else f" and at most {contract.max_rows}"
    return [
        Expectation(
            "table",
            f"must have exactly the columns {', '.join(names)}",
            None,
            "expect_table_columns_to_match_set",
            {"column_set": names, "exact_match": True},
        ),
        Expectation(
            "table",
            f"must have at least {contract.min_rows}{most} rows",
            None,
            "expect_table_row_count_to_be_between",
            {"min_value": contract.min_rows, "max_value": contract.max_rows},
        ),
        *(each for name, column in contract.columns.items() for each in _column_expectations(name, column)),
    ]


def _column_expectations(column: str, contract: ColumnContract) -> Iterator[Expectation]:
    of_type = column_type(contract)
    arrow = str(of_type.arrow(column, contract))
    # pandas cannot tell an int with missing values from a float, so types are read off the Arrow schema.
    yield Expectation("arrow", f"must be of type {arrow}", column, "arrow_type", {"type": arrow})
    if not contract.nullable:
        scope, name = (
            ("rows", "expect_column_values_to_not_be_null") if of_type.in_pandas else ("arrow", "arrow_not_null")
        )
        yield Expectation(scope, "must not be missing", column, name, {})
    if not of_type.in_pandas:
        for each in of_type.checks(contract):
            yield Expectation("arrow", each.text, column, f"arrow_{each.name}", dict(each.settings), each)
        return
    low, high = of_type.bounds(contract)
    if low is not None or high is not None:
        settings = {"min_value": low, "max_value": high}
        # Great Expectations takes bounds as floats, which cannot tell large whole numbers apart.
        ours = any(isinstance(each, int) and abs(each) >= EXACT_FLOAT for each in (low, high))
        scope, name = ("arrow", "arrow_between") if ours else ("rows", "expect_column_values_to_be_between")
        cells = next(of_type.checks(contract)) if ours else None
        yield Expectation(scope, f"must be {range_text(low, high)}", column, name, settings, cells)
    if contract.one_of is not None:
        allowed = list(contract.one_of)
        text = f"must be one of {some(allowed)}"
        yield Expectation("rows", text, column, "expect_column_values_to_be_in_set", {"value_set": allowed})
    if contract.min_length is not None or contract.max_length is not None:
        lengths = {"min_value": contract.min_length, "max_value": contract.max_length}
        text = f"must have a length of {range_text(contract.min_length, contract.max_length)}"
        yield Expectation("rows", text, column, "expect_column_value_lengths_to_be_between", lengths)
    if contract.matches is not None:
        # Great Expectations searches; the whole string is meant.
        regex = {"regex": whole_pattern(contract.matches)}
        text = f"must match {contract.matches}"
        yield Expectation("rows", text, column, "expect_column_values_to_match_regex", regex)
    if contract.unique:
        yield Expectation("column", "must not repeat", column, "expect_column_values_to_be_unique", {})


def suite(name: str, expected: list[Expectation]) -> gx.ExpectationSuite:
    """Build the Great Expectations suite of those expectations that are not ours to check.

    The list goes to the constructor, since adding to a suite needs a live data context. Each carries its position,
    because results come back in another order.
    """
    gx = great_expectations()
    built = []
    for position, expectation in enumerate(expected):
        if expectation.scope != "arrow":
            gx_class = getattr(gx.expectations, _class_name(expectation.name))
            column = {} if expectation.column is None else {"column": expectation.column}
            built.append(gx_class(**column, **expectation.settings, meta={"position": position}))
    return gx.ExpectationSuite(name=name, expectations=built)


def great_expectations() -> Any:
    """Import Great Expectations, which takes seconds, with its telemetry off, which it reads while it is imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # noqa: PLC0415 - seconds
    import great_expectations.expectations  # noqa: PLC0415 - seconds

    return gx


def _class_name(expectation: str) -> str:
    return "".join(part.capitalize() for part in expectation.split("_"))
