"""Series that tests make: a CSV, its data set, and the table that is collected from it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.places import Places

FORECASTING = {"_target_": "headframe.tasks.forecasting.Forecasting", "kind": "forecasting", "examples": "window"}
INTERPOLATE = "headframe.series.gaps.Interpolate"
FORWARD_FILL = "headframe.series.gaps.ForwardFill"
ADJACENT = "headframe.series.gaps.Adjacent"


def hours(count: int, start: str = "2024-01-01", every: str = "h") -> pd.DatetimeIndex:
    """So many moments, each one step after the other."""
    return pd.date_range(start, periods=count, freq=every)


def loads(times: pd.DatetimeIndex) -> list[float]:
    """A value that is a function of the hour: 100 at midnight, 10 more each hour."""
    return [100.0 + 10 * moment.hour for moment in times]


def dataset_of(split: Sequence[int] = (60, 20, 20), column: dict[str, Any] | None = None, **more: Any) -> DatasetConfig:
    """A data set of `t` and `load`; `column` adds to the contract of `t`, `more` to the data set."""
    train, validation, test = split
    return DatasetConfig.model_validate({
        "name": "load", "title": "Load", "licence": "CC0", "citation": "nobody, 2024",
        "sources": {"rows": {"uri": "file:load.csv"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "inputs": ["load"], "time": "t", "tasks": ["forecasting"],
        "split": {"_target_": "headframe.datasets.splits.TimeSplitter",
                  "train": train, "validation": validation, "test": test},
        "contract": {"columns": {"t": {"dtype": "timestamp", **(column or {})}, "load": {"dtype": "float"}}},
        **more,
    })  # fmt: skip


def collected(root: Path, times: Iterable[Any], values: Iterable[float], dataset: DatasetConfig) -> Table:
    """Write a CSV and collect it."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [f"{time},{value}\n" for time, value in zip(times, values, strict=True)]
    (root / "load.csv").write_text("t,load\n" + "".join(rows), encoding="utf-8")
    record = ingest(dataset, Places(root, root))
    return Table.open(root / record.folder)


def forecasting(horizon: int) -> TaskConfig:
    """A forecast of so many rows."""
    return TaskConfig.model_validate({**FORECASTING, "horizon": horizon})
