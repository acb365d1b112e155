"""Holding a table to its contract, beside Great Expectations on one pandas frame of all rows."""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measurement import Measurement, process
from headframe.config.plan.data import DatasetConfig
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.table_writer import write_table

ROWS, MANY, AT_ONCE = 1_000_000, 10_000_000, 100_000
REPEATS = 3
GOALS = {ROWS: 1.0, MANY: 2.0}  # times as fast as Great Expectations, with so many rows
PEAK_MB = 1200
MAKE = """
import sys; from pathlib import Path
from benchmarks.validation import make_table
make_table(Path(sys.argv[1]), int(sys.argv[2]))
"""
OURS = """
import sys, time, json, resource; from pathlib import Path
from benchmarks.validation import dataset
import great_expectations, great_expectations.expectations, headframe.validation.checks  # as theirs: before the clock
from headframe.datasets.table import Table
from headframe.places import Places
from headframe.validation.validate import validate
root = Path(sys.argv[1]); record = Table.open(root / "data" / "numbers").record()
started = time.perf_counter(); validate(dataset(), record, Places(root).of_step(root))
print(json.dumps({"seconds": time.perf_counter() - started,
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
THEIRS = """
import sys, time, json, os, resource; from pathlib import Path
os.environ["GX_ANALYTICS_ENABLED"] = "false"
import great_expectations as gx, great_expectations.expectations as gxe, pyarrow.parquet as pq
root = Path(sys.argv[1])
started = time.perf_counter()
frame = pq.read_table(root / "data" / "numbers" / "table.parquet", columns=["a", "b", "c", "d"]).to_pandas()
context = gx.get_context(mode="ephemeral")
batch = context.data_sources.add_pandas("p").add_dataframe_asset("t").add_batch_definition_whole_dataframe("b")
suite = gx.ExpectationSuite("numbers", expectations=[
    *[gxe.ExpectColumnValuesToNotBeNull(column=name) for name in "abcd"],
    *[gxe.ExpectColumnValuesToBeBetween(column=name, min_value=-10, max_value=10) for name in "abc"],
    gxe.ExpectColumnValuesToBeInSet(column="d", value_set=list(range(10)))])
result = batch.get_batch({"dataframe": frame}).validate(suite)
assert result.success
print(json.dumps({"seconds": time.perf_counter() - started,
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def dataset() -> DatasetConfig:
    """A data set of three float columns and one of ten categories."""
    number = {"dtype": "float", "min": -10, "max": 10}
    return DatasetConfig.model_validate(
        {
            "name": "numbers", "title": "numbers", "licence": "none", "citation": "none", "tasks": ["classification"],
            "sources": {"rows": {"uri": "file:numbers.csv"}}, "inputs": ["a", "b", "c"], "target": "d",
            "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
            "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2},
            "contract": {"columns": {"a": number, "b": number, "c": number,
                                     "d": {"dtype": "int", "one_of": list(range(10))}}},
        }
    )  # fmt: skip


def make_table(root: Path, rows: int) -> None:
    """Write the table of `dataset` with normal numbers, far within their bounds, to `root`."""
    draw = np.random.default_rng(0)
    folder = root / "data" / "numbers"
    folder.mkdir(parents=True)
    write_table(folder, dataset(), {}, (_drawn(draw, min(AT_ONCE, rows - start)) for start in range(0, rows, AT_ONCE)))


def _drawn(draw: np.random.Generator, rows: int) -> ReadBatch:
    columns = {name: draw.standard_normal(rows) for name in "abc"} | {"d": draw.integers(0, 10, rows)}
    return ReadBatch(pa.RecordBatch.from_pydict(columns))


def measure() -> list[Measurement]:
    """Wall seconds at one and at ten million rows, and peak memory at ten."""
    rows = []
    for count in (ROWS, MANY):
        with tempfile.TemporaryDirectory() as name:
            process([sys.executable, "-c", MAKE, name, str(count)], Path.cwd())
            runs = [(_measured(OURS, name), _measured(THEIRS, name)) for _ in range(REPEATS)]
        ours, theirs = (statistics.median(run[side]["seconds"] for run in runs) for side in (0, 1))
        what = f"validation, {count / 1e6:.0f} million rows"
        figure = f"{ours:.2f} s, {theirs / ours:.2f} x as fast"
        against = f"{theirs:.2f} s, GX on pandas"
        rows.append(Measurement(what, figure, against, f">= {GOALS[count]} x", theirs / ours >= GOALS[count]))
        if count == MANY:
            peak, others = (max(run[side]["peak_mb"] for run in runs) for side in (0, 1))
            rows.append(
                Measurement(what, f"{peak:,.0f} MB peak", f"{others:,.0f} MB", f"< {PEAK_MB:,} MB", peak < PEAK_MB)
            )
    return rows


def _measured(script: str, root: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(process([sys.executable, "-c", script, root], Path.cwd()).output)
    return found
