"""A series from its file to a forecast, by the command line: gaps are named and left out, histories are sorted."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from runs import ForkedRuns, forking_project

from headframe.config.project import Project

LOAD = """
# Hourly load.
name: load
title: Load
licence: CC0
citation: made up
sources: {rows: {uri: "file:load.csv"}}
reader: {_target_: headframe.datasets.readers.delimited.Delimited}
inputs: [load]
time: t
tasks: [forecasting]
split: {_target_: headframe.datasets.splits.TimeSplitter, train: 700, validation: 150, test: 190}
contract:
  columns:
    t: {dtype: timestamp, unique: true}
    load: {dtype: float}
"""
PLAN = (
    "dataset=load", "features=windows", "features.encoder.lookback=24", "task=forecasting", "task.horizon=6",
    "model=channel_linear", "trainer.max_epochs=80", "optimizer.lr=0.05", "optimizer.weight_decay=0.0",
    "evaluation.resamples=100",
)  # fmt: skip
TIMES = pd.date_range("2024-01-01", periods=1100, freq="h")


def written(times: pd.DatetimeIndex) -> str:
    """A load that is a function of the hour, which a linear map of a day predicts without error."""
    return "t,load\n" + "".join(f"{moment},{100 + 10 * moment.hour}\n" for moment in times)


def project_of(root: Path, times: pd.DatetimeIndex, contract: str = "") -> Project:
    project = forking_project(root)
    text = LOAD.replace("unique: true}", f"unique: true{contract}}}")
    (project.conf / "dataset" / "load.yaml").write_text(text)
    (project.root / "load.csv").write_text(written(times))
    return project


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "contract", "said"),
    [
        ((), "", "without gaps"),
        (range(400, 412), "", "12 missing: 12 rows between 2024-01-17 15:00:00 and 2024-01-18 04:00:00"),
        ([5, 300, 301, 760, 900], "", "5 missing: 1 row between"),
        ((), ", zone: Europe/Berlin", "without gaps"),
    ],
    ids=["no gap", "half a day", "several gaps", "across the end of daylight saving"],
)
def test_a_gap_costs_windows_and_no_accuracy(
    forked_runs: ForkedRuns, tmp_path: Path, missing: range, contract: str, said: str
) -> None:
    times = TIMES
    if contract:
        times = pd.date_range("2024-10-01", periods=1100, freq="h", tz="Europe/Berlin").tz_localize(None)
    project = project_of(tmp_path / "project", times.delete([*missing]), contract)
    result, stderr = forked_runs.headframe(project, "train", *PLAN)
    assert said in result["data"]["validated"]["series"]
    assert said in stderr
    error = result["evaluated"]["metrics"]["mse"]["value"]
    assert error < (0.2 if contract else 1e-4)  # where clocks change, the hour before is not the hour of yesterday
    report = (project.root / result["evaluated"]["folder"] / "report.html").read_text()
    _, card, _ = forked_runs.printed(project, "models", "card", "load/1")
    assert said in report
    assert said in card

    history = times[-40:]
    (project.root / "sorted.csv").write_text(written(history))
    (project.root / "newest_first.csv").write_text(written(history[::-1]))
    found = []
    for name in ("sorted", "newest_first"):
        forked_runs.headframe(project, "predict", "load/1", f"{name}.csv", f"{name}.parquet")
        found.append(pq.read_table(project.root / f"{name}.parquet"))
    assert found[0].select(["step", "load"]).equals(found[1].select(["step", "load"]))
    truth = [100 + 10 * ((history[-1].hour + step) % 24) for step in range(1, 7)]
    assert found[0]["load"].to_pylist() == pytest.approx(truth, abs=15 if contract else 0.1)

    (project.root / "gapped.csv").write_text(written(history.delete(30)))
    code, document, _ = forked_runs.run(project, "predict", "load/1", "gapped.csv", "gapped.parquet")
    assert code == 3
    assert "the history has a gap of 1 row between" in document["error"]
