"""The test rows that a model predicts worst, with what they hold."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.plan.data import ROW_ID
from headframe.datasets.table import Table
from headframe.evaluation.slices import row_positions
from headframe.pages.numbers import number
from headframe.pages.parts import PageTable
from headframe.tasks.base import Task

SHOWN_ERRORS = 12
_INPUTS = 4  # columns of inputs that a page has room for
_PREDICTED = 3  # columns of a prediction
_LONGEST = 160  # characters of a cell


def worst_rows(
    task: Task, predictions: pa.Table, table: Table, columns: Sequence[str]
) -> tuple[pa.Table, pa.Table] | None:
    """Return the rows of a predictions table that are predicted worst, and the same rows of the data set.

    Args:
        task: fitted.
        predictions: of test rows.
        table: the version of the data that they are of.
        columns: of it that are read.

    Returns:
        None where no prediction is wrong, or an example is a window of rows.
    """
    chosen = task.worst(predictions)[:SHOWN_ERRORS]
    if task.horizon or not len(chosen):
        return None
    worst = predictions.take(pa.array(chosen))
    names = worst["row_id"].combine_chunks()
    blocks = (pa.Table.from_batches([block]) for block in table.batches([ROW_ID, *columns]))
    rows = pa.concat_tables([block.filter(pc.is_in(block[ROW_ID], value_set=names)) for block in blocks])
    return worst, rows.take(row_positions(worst, rows)).select(list(columns))


def errors_table(task: Task, predictions: pa.Table, rows: pa.Table) -> PageTable:
    """Return the rows that `worst_rows` returns for a page; images, lists and the like are left out.

    The table is empty where all inputs, the truth or the prediction is one of these.
    """
    inputs = [name for name in rows.column_names if _is_plain(rows.schema.field(name).type)]
    truth = [name for name in task.truth_columns if _is_plain(predictions.schema.field(name).type)]
    answer = task.answer(predictions.select(task.prediction_schema.names))
    predicted = [name for name in answer.column_names if _is_plain(answer.schema.field(name).type)]
    predicted = predicted[: len(predicted) if len(predicted) <= _PREDICTED else 1]
    shown = [rows[name] for name in inputs[:_INPUTS]]
    shown += [*(predictions[name] for name in truth), *(answer[name] for name in predicted)]
    headings = [*inputs[:_INPUTS], *truth, *predicted]
    cells = [[_text(cell) for cell in column.to_pylist()] for column in shown]
    complete = inputs and truth and predicted
    return PageTable(headings, [list(row) for row in zip(*cells, strict=True)] if complete else [])


def _is_plain(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType))


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return number(cell)
    text = "" if cell is None else str(cell)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
