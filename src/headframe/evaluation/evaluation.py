"""Measure a trained model on its test rows, and write down what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headframe.config.build import build
from headframe.config.plan.plan import VersionPlan
from headframe.datasets.table import open_record
from headframe.digests import canonical, file_digest, write_atomically, write_record
from headframe.errors import DataError, HeadframeError
from headframe.evaluation.curves import learning_curves
from headframe.evaluation.intervals import (
    CONTENT,
    Resampling,
    block_length,
    confidence_interval,
    number_contents,
    resample,
)
from headframe.evaluation.layout import CARD, METRICS, PLAN, PLOTS, REPORT, SLICES
from headframe.evaluation.paired import compare_with_baseline
from headframe.evaluation.report import card, report
from headframe.evaluation.results import EvaluationResults, as_json, slices_as_json
from headframe.evaluation.slices import row_positions, slice_metrics
from headframe.pages.plot_style import png
from headframe.prediction.layout import BUNDLE, HISTORY, MEMBERS, PREDICTIONS, task_state
from headframe.records import Evaluated, TableRecord, Trained
from headframe.tasks.base import Task


def evaluate_model(  # noqa: PLR0917 - one call a stage, each argument another record
    plan: VersionPlan, table: TableRecord, trained: Trained, baseline: Trained | None, root: Path, folder: Path
) -> Evaluated:
    """Measure a model's test rows and write metrics, slices, plots, the model card and the report.

    Args:
        plan: what was run.
        table: the version of the data.
        trained: the model.
        baseline: the model to compare with; it must have been measured on the same rows.
        root: the project's folder.
        folder: where the files shall stand, below `root`. Equal arguments give equal bytes.

    Raises:
        DataError: the predictions are not those that training left, the baseline's are of other rows, or another
            version of the data lies there now.
        HeadframeError: a file is missing or the folder cannot be written.
    """
    task = _task(plan, root / trained.folder)
    predictions = _rows(root, trained, "test", table, task)
    block = block_length(task.horizon, predictions.num_rows) if task.horizon else 1
    how = Resampling(plan.evaluation.confidence, plan.evaluation.resamples, plan.seed, block)
    columns = plan.evaluation.slices
    compared = None
    if baseline is not None:
        compared = compare_with_baseline(task, predictions, _rows(root, baseline, "test", table, task), how)
        metrics, resamples = compared.model, compared.resamples
    else:
        resampled = resample(task, predictions, how)
        metrics = {name: confidence_interval(each, how.confidence) for name, each in resampled.items()}
        resamples = {name: len(each.values) for name, each in resampled.items()}
    results = EvaluationResults(
        plan=plan,
        table=table,
        trained=trained,
        baseline=baseline,
        primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better,
        rows=predictions.num_rows,
        different=int(number_contents(predictions, how).max(initial=-1)) + 1,
        block=block,
        metrics=metrics,
        resamples=resamples,
        interval_note=task.interval_note,
        caveats=task.caveats,
        comparison=compared,
        slices=slice_metrics(task, predictions, open_record(table, root).read(["row_id", *columns]), columns, how)
        if columns
        else {},
        legend=task.legend(),
        history=_history(root / trained.folder),
    )
    validation = _rows(root, trained, "validation", table, task)
    drawn = {"learning_curves": learning_curves(results.history, task.primary_metric)} if results.history else {}
    plots = {name: png(figure) for name, figure in {**drawn, **task.plots(predictions, validation)}.items()}
    try:
        _write(results, plots, folder)
    except OSError as error:
        msg = f"the evaluation cannot be written to {folder}: {error.strerror}; free space or make the folder writable"
        raise HeadframeError(msg) from error
    return Evaluated(
        folder=folder.relative_to(root).as_posix(),
        rows=results.rows,
        primary_metric=results.primary_metric,
        higher_is_better=results.higher_is_better,
        metrics=results.metrics,
        baseline=compared.baseline if compared is not None else {},
        digest=file_digest(folder / METRICS),
    )


def _rows(root: Path, trained: Trained, split: str, table: TableRecord, task: Task) -> pa.Table:
    """Read the predicted rows of a split, with their content where a row stands for itself."""
    path = root / trained.folder / PREDICTIONS
    if not path.is_file():
        msg = f"{path} is missing; train again to write the predictions"
        raise HeadframeError(msg)
    if file_digest(path) != trained.predictions:
        msg = f"{path} was changed since training wrote it; train again"
        raise DataError(msg)
    predictions = pq.read_table(path)
    rows = predictions.filter(pc.equal(predictions["split"], split))
    if task.horizon:
        return rows
    known = open_record(table, root).read(["row_id", CONTENT])
    return rows.append_column(CONTENT, known[CONTENT].take(row_positions(rows, known)))


def _task(plan: VersionPlan, folder: Path) -> Task:
    """Build the plan's task with what training learned."""
    task: Task = build(plan.task)
    task.restore(task_state(folder / BUNDLE))
    return task


def _history(folder: Path) -> dict[str, list[dict[str, float | None]]]:
    """Read the epochs of a network, or of each network among an ensemble's members; estimators have none."""
    found = {}
    for path in (folder / HISTORY, *sorted(folder.glob(f"{MEMBERS}/**/{HISTORY}"))):
        name = "/".join(part for part in path.relative_to(folder).parts[:-1] if part != MEMBERS)
        epochs = json.loads(path.read_bytes()) if path.is_file() else []
        if epochs:
            found[name] = epochs
    return found


def _write(results: EvaluationResults, plots: Mapping[str, bytes], folder: Path) -> None:
    for name, content in plots.items():
        write_atomically(folder / PLOTS / f"{name}.png", content)
    write_record(folder / PLAN, results.plan)
    write_atomically(folder / SLICES, _json(slices_as_json(results)))
    write_atomically(folder / CARD, card(results, list(plots)))
    write_atomically(folder / REPORT, report(results, plots))
    write_atomically(folder / METRICS, _json(as_json(results)))


def _json(value: Any) -> str:
    canonical(value)  # refuses NaN, which is no JSON
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
