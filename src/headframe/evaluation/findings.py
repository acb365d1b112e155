"""Findings confirmed on rows that they were not found in, as a table with one row a finding.

Validation rows decide which findings are worth a test: those that remain significant there after the correction of
Benjamini and Hochberg (1995), by which at most alpha of what passes is expected not to hold. Test rows confirm: of
these, those whose p-value there, adjusted by Holm's method for how many are tested (`significance.holm`), is at most
alpha. Neither were used to find them, so the chance that any confirmed finding does not hold is at most alpha (Webb
2007, doi:10.1007/s10994-007-5006-x).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import stats

from headframe.config.plan.data import TrainingDataConfig
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import DataError
from headframe.evaluation.significance import holm
from headframe.findings.base import FindingKind
from headframe.pages.numbers import number
from headframe.pages.parts import PageTable
from headframe.prediction.layout import FINDINGS

SPLITS = ("train", "validation", "test")

SHOWN = 3
"""Figures of a finding that a page has room for."""


def confirm_in_table(kind: FindingKind, bundle: Path, dataset: TrainingDataConfig, table: Table) -> pa.Table:
    """Return the findings table of a model, see `confirm`, for the rows of a table as a data set splits it.

    Raises:
        DataError: the model has findings of another kind, or none, or a column is missing.
    """
    found = pq.read_table(bundle / FINDINGS) if (bundle / FINDINGS).is_file() else None
    if found is None or found.schema.field("body").type != kind.body or set(found["kind"].to_pylist()) - {kind.kind}:
        came = "none" if found is None else "others"
        raise DataError(f"findings of kind {kind.kind!r} are expected in the model's bundle, but it has {came}")
    splits, rows = np.asarray(assign(dataset, table)), table.read(list(dataset.example_columns))
    return confirm(
        kind, found["body"].combine_chunks(), {each: rows.filter(pa.array(splits == each)) for each in SPLITS}
    )


def confirm(kind: FindingKind, bodies: pa.Array, rows: Mapping[str, pa.Table]) -> pa.Table:
    """Return the findings table: `id`, `kind`, `body`, figures by split, adjusted p-values, `confirmed`.

    Args:
        kind: of the findings.
        bodies: what they say; each one once.
        rows: raw rows of each of `SPLITS`, with inputs and targets.
    """
    measured = {split: kind.measure(bodies, rows[split]) for split in SPLITS}
    decided = stats.false_discovery_control(measured["validation"].p_values) if len(bodies) else np.zeros(0)
    selected = decided <= kind.alpha
    tested = np.full(len(bodies), np.nan)
    tested[selected] = holm(measured["test"].p_values[selected].tolist())
    columns = {
        "id": kind.identify(bodies),
        "kind": pa.array([kind.kind] * len(bodies), pa.string()),
        "body": bodies,
        **{split: each.columns() for split, each in measured.items()},
        "p_validation": pa.array(decided, pa.float64()),
        "p_test": pa.array(tested, pa.float64(), mask=~selected),
        "confirmed": pa.array(selected & (np.nan_to_num(tested, nan=1.0) <= kind.alpha), pa.bool_()),
    }
    return pa.table(columns)


def confirmed_share(findings: pa.Table) -> float:
    """Return the share of findings that are confirmed; 0 where there are none."""
    return pc.mean(findings["confirmed"]).as_py() or 0.0


def strongest(findings: pa.Table) -> pa.Table:
    """Return findings in the order of their p-values on test rows, then on validation rows."""
    order = pc.sort_indices(findings, [("p_test", "ascending"), ("p_validation", "ascending"), ("id", "ascending")])
    return findings.take(order)


def summarise(findings: pa.Table, kind: FindingKind) -> str:
    """Return in a few sentences how many findings there are and how many are confirmed."""
    confirmed = pc.sum(findings["confirmed"]).as_py() or 0
    tested = findings.num_rows - findings["p_test"].null_count
    return (
        f"{findings.num_rows:,} findings of kind {kind.kind}; validation rows selected {tested:,} (Benjamini and "
        f"Hochberg), and test rows confirmed {confirmed:,} of these (Holm, alpha {kind.alpha:g})."
    )


def tabulate(findings: pa.Table, kind: FindingKind, most: int = 20) -> PageTable:
    """Return the findings with the smallest p-values on test rows as a table for people, with figures on these rows."""
    shown = kind.figures[:SHOWN]
    rows = [
        [
            kind.describe(each["body"]),
            *(_figure(each["test"][name]) for name in shown),
            number(each["p_test"]) if each["p_test"] is not None else "",
            "yes" if each["confirmed"] else "no",
        ]
        for each in strongest(findings).slice(0, most).to_pylist()
    ]
    return PageTable(["finding", *shown, "#p", "confirmed"], rows)


def _figure(interval: dict[str, float | None]) -> str:
    if interval["value"] is None:
        return ""
    value, low, high = ("" if part is None else number(part) for part in interval.values())
    return f"{value} ({low} to {high})"


def compare_findings(own: pa.Table, other: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Return which findings of two tables are in one alone, and which in both but confirmed in one alone, by change."""
    mine, theirs = ({row["id"]: row for row in each.to_pylist()} for each in (own, other))
    both = [(row, theirs[name]) for name, row in mine.items() if name in theirs]
    return {
        "added": [row for name, row in mine.items() if name not in theirs],
        "removed": [row for name, row in theirs.items() if name not in mine],
        "newly confirmed": [row for row, was in both if row["confirmed"] and not was["confirmed"]],
        "no longer confirmed": [row for row, was in both if was["confirmed"] and not row["confirmed"]],
    }
