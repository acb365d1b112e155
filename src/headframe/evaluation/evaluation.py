"""Measure a trained model on its test rows, and write down what was found."""

import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headframe.config.build import build
from headframe.config.members import with_member
from headframe.config.plan.data import ROW_ID
from headframe.config.plan.evaluation import NaturalBaselineConfig
from headframe.config.plan.plan import VersionPlan
from headframe.datasets.table import Table, open_record
from headframe.digests import file_digest, write_atomically, write_record
from headframe.errors import DataError, HeadframeError
from headframe.evaluation.baselines import absent_baselines, natural_predictions
from headframe.evaluation.errors import errors_table, worst_rows
from headframe.evaluation.findings import confirm_in_table, summarise, tabulate
from headframe.evaluation.intervals import Resampling, block_length
from headframe.evaluation.layout import CARD, METRICS, PLAN, PLOTS, REPORT, SLICES
from headframe.evaluation.metrics import EvaluationMetrics, compute_metrics, validation_test
from headframe.evaluation.report import EvaluationResults, SlicesByColumn, card, describe, report
from headframe.evaluation.slices import Slice, append_contents, slice_metrics
from headframe.examples.storage import AT_ONCE, Storage
from headframe.pages.plot_style import BLUE, GREY, LABEL, legend, new_figure, png, style
from headframe.prediction.layout import (
    BUNDLE,
    FINDINGS,
    HISTORY,
    JOB,
    MEMBERS,
    PREDICTIONS,
    copies_left_out,
    task_state,
)
from headframe.records import PLANNED, Evaluated, TableRecord, Trained
from headframe.tasks.base import Task
from headframe.validation.validate import find_series

log = logging.getLogger("headframe")

_LOSSES = {"train_loss": (GREY, "training"), "val_loss": (BLUE, "validation")}
_FEW_EPOCHS = 12  # up to so many epochs each gets a mark, so that a single one can be seen

Epochs = Sequence[Mapping[str, float | None]]


def evaluate_model(  # noqa: PLR0917 - one call a stage, each argument another record
    plan: VersionPlan,
    table: TableRecord,
    trained: Trained,
    baseline: Trained | None,
    natural: Sequence[NaturalBaselineConfig],
    root: Path,
    folder: Path,
) -> Evaluated:
    """Measure a model's test rows and write metrics, slices, plots, the model card and the report.

    Args:
        plan: what was run.
        table: the version of the data.
        trained: the model.
        baseline: the model to compare with; it must have been measured on the same rows.
        natural: the natural baselines of the task, which are fitted here.
        root: the project's folder.
        folder: where the files shall stand, below `root`. Equal arguments give equal bytes.

    Raises:
        DataError: the predictions are not those that training left, the baseline's are of other rows, or another
            version of the data lies there now.
        HeadframeError: a file is missing or the folder cannot be written.
    """
    task: Task = build(plan.task)
    bundle = root / trained.folder / BUNDLE
    task.restore(task_state(bundle))
    opened = open_record(table, root)
    together = ((), ()) if task.horizon else (plan.dataset.repeated_columns, plan.dataset.group)
    predictions, validated = (_rows(root, trained, part, opened, together) for part in ("test", "validation"))
    others = {} if baseline is None else {PLANNED: _rows(root, baseline, "test", opened, together)}
    measured, slices = measure(plan, task, opened, predictions, others, natural, copies_left_out(bundle))
    absent = absent_baselines(natural, measured.baselines)
    for sentence in absent:
        log.info("evaluate     %s", sentence)
    if baseline is not None:
        planned = _rows(root, baseline, "validation", opened, together)
        shown = validation_test(task, validated, planned, _resampling(plan, task, validated.num_rows))
        compared = measured.baselines[PLANNED].model_copy(update={"validation": shown})
        measured = measured.model_copy(update={"baselines": measured.baselines | {PLANNED: compared}})
    kind = task.findings(plan.dataset.example_columns)
    worst = worst_rows(task, predictions, opened, plan.dataset.inputs)
    findings = None if kind is None else confirm_in_table(kind, bundle, plan.dataset, opened)
    time = plan.dataset.time
    series = None if time is None else find_series(opened, time, plan.dataset.every)
    results = EvaluationResults(
        plan=plan,
        table=table,
        trained=trained,
        baseline=baseline,
        measured=measured,
        slices=slices,
        legend=task.legend(),
        captions=task.captions,
        purpose=task.describe_purpose(plan.dataset.inputs, plan.dataset.target),
        absent=absent,
        series=f"{plan.dataset.time}: {series}" if series is not None and not series.fault else "",
        findings="" if kind is None or findings is None else summarise(findings, kind),
        findings_table=None if kind is None or findings is None else tabulate(findings, kind),
        errors_table=None if worst is None else errors_table(task, *worst),
    )
    history = _history(root / trained.folder)
    figures = {"learning_curves": learning_curves(history, task.primary_metric)} if history else {}
    figures |= task.plots(predictions, validated)
    if worst is not None:
        figures |= task.pictures(*worst)
    if kind is not None and findings is not None and findings.num_rows:
        figures |= kind.plots(findings)
    try:
        if findings is not None:
            raw = io.BytesIO()
            pq.write_table(findings, raw, compression="zstd")
            write_atomically(folder / FINDINGS, raw.getvalue())
        _write(results, {name: png(figure) for name, figure in figures.items()}, folder)
    except OSError as error:
        msg = f"the evaluation cannot be written to {folder}: {error.strerror}; free space or make the folder writable"
        raise HeadframeError(msg) from error
    return Evaluated(
        folder=folder.relative_to(root).as_posix(),
        rows=measured.rows,
        primary_metric=measured.primary_metric,
        higher_is_better=measured.higher_is_better,
        metrics=measured.metrics,
        baselines=measured.baselines,
        digest=file_digest(folder / METRICS),
    )


def measure(  # noqa: PLR0917 - all that the figures are computed from
    plan: VersionPlan,
    task: Task,
    table: Table,
    predictions: pa.Table,
    others: Mapping[str, pa.Table],
    natural: Sequence[NaturalBaselineConfig],
    left_out: Sequence[int],
) -> tuple[EvaluationMetrics, dict[str, list[Slice]]]:
    """Measure predictions of test rows, as a whole and by slices, beside the natural baselines and others.

    Args:
        plan: what was run.
        task: fitted.
        table: the version of the data.
        predictions: the model's, with the contents of rows that may be repetitions.
        others: predictions of other baselines.
        natural: the natural baselines of the task, which are fitted here.
        left_out: rows that the model did not learn from.
    """
    how = _resampling(plan, task, predictions.num_rows)
    fitted = natural_predictions(natural, task, plan.dataset, table, predictions, left_out=left_out)
    titles = {PLANNED: describe(with_member(plan.learner, plan.baseline))} if plan.baseline is not None else {}
    measured = compute_metrics(task, predictions, {**others, **fitted}, how, titles)
    columns = plan.evaluation.slices
    if not columns:
        return measured, {}
    return measured, slice_metrics(task, predictions, table.read([ROW_ID, *columns]), columns, how)


def _resampling(plan: VersionPlan, task: Task, rows: int) -> Resampling:
    block = block_length(task.horizon, rows) if task.horizon else 1
    return Resampling(plan.evaluation.confidence, plan.evaluation.resamples, plan.seed, block)


def _rows(
    root: Path, trained: Trained, split: str, table: Table, together: tuple[Sequence[str], Sequence[str]]
) -> pa.Table:
    """Read the predicted rows of a split, with a content by the columns of repetitions and of groups."""
    path = root / trained.folder / PREDICTIONS
    if not path.is_file():
        raise HeadframeError(f"{path} is missing; train again to write the predictions")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != trained.predictions:
            raise DataError(f"{path} was changed since training wrote it; train again")
        stored = pq.ParquetFile(file)
        batches = (batch.filter(pc.equal(batch["split"], split)) for batch in stored.iter_batches(AT_ONCE))
        rows = Storage(path.parent).rows(stored.schema_arrow, batches)
    return append_contents(rows, table, *together)


def _history(folder: Path) -> dict[str, Epochs]:
    """Read the epochs of a network, or of each network among an ensemble's members; estimators have none."""
    found = {}
    for path in (folder / HISTORY, *sorted(folder.glob(f"{MEMBERS}/**/{HISTORY}"))):
        name = "/".join(part for part in path.relative_to(folder).parts[:-1] if part != MEMBERS)
        epochs = json.loads(path.read_bytes()) if path.is_file() else []
        if epochs:
            found[name] = epochs
    return found


def learning_curves(history: Mapping[str, Epochs], primary_metric: str) -> Figure:
    """Draw losses and the primary metric of each network, one below the other.

    Args:
        history: epochs by network, each with `epoch`, `train_loss`, `val_loss` and `primary_metric`, which may be None.
        primary_metric: its name.
    """
    figure, panels = new_figure(2.8 * 2 * len(history), rows=2 * len(history))
    for (upper, lower), (name, epochs) in zip(panels.reshape(-1, 2), history.items(), strict=True):
        numbers = [each["epoch"] for each in epochs]
        look = {"marker": "o" if len(numbers) <= _FEW_EPOCHS else "", "markersize": 4}
        for key, (colour, text) in _LOSSES.items():
            upper.plot(numbers, [each[key] for each in epochs], color=colour, label=text, **look)
        style(upper, title=f"Loss {name}".strip(), x="epoch", y="loss")
        legend(upper)
        measured = [(each["epoch"], each["primary_metric"]) for each in epochs if each["primary_metric"] is not None]
        lower.plot([number for number, _ in measured], [value for _, value in measured], color=BLUE, **look)
        style(lower, title=f"{primary_metric} on validation rows", x="epoch", y=primary_metric)
        if not measured:
            lower.set(xlim=(0, len(epochs)), yticks=[])
            lower.text(0.5, 0.5, "not measured in training", transform=lower.transAxes, ha="center", fontsize=LABEL)
        for axes in (upper, lower):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _write(results: EvaluationResults, plots: Mapping[str, bytes], folder: Path) -> None:
    for name, content in plots.items():
        write_atomically(folder / PLOTS / f"{name}.png", content)
    write_record(folder / PLAN, results.plan)
    write_record(folder / JOB, results.plan.training_job(results.table.digest))
    write_atomically(folder / SLICES, SlicesByColumn.dump_json(results.slices, indent=2) + b"\n")
    write_atomically(folder / CARD, card(results, list(plots)))
    write_atomically(folder / REPORT, report(results, plots))
    write_record(folder / METRICS, results.measured)
