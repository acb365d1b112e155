"""Predictions of the natural baselines of a task for the rows of a model."""

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa

from headframe.config.build import build
from headframe.config.plan.data import ROW_ID, TrainingDataConfig
from headframe.config.plan.evaluation import NaturalBaselineConfig
from headframe.datasets.table import Table
from headframe.evaluation.slices import row_positions
from headframe.tasks.base import Task
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline


def natural_predictions(
    natural: Iterable[NaturalBaselineConfig],
    task: Task,
    dataset: TrainingDataConfig,
    table: Table,
    predictions: pa.Table,
    *,
    left_out: Sequence[int],
) -> dict[str, pa.Table]:
    """Return the predictions of each baseline that applies, by its name, in the rows and columns of the model's.

    Args:
        natural: what the task declares.
        task: fitted.
        dataset: the data set of the plan.
        table: the version of the data that the model was trained on.
        predictions: the model's, `row_id` and the truth among the columns.
        left_out: rows that the model did not learn from; see `BaselineData`.

    Raises:
        ConfigurationError: a baseline cannot be built.
        DataError: the table lacks a predicted row.
    """
    positions = row_positions(predictions, table.read([ROW_ID])).to_numpy().astype("int64")
    data = BaselineData(task, dataset, table, positions, left_out)
    found = {}
    for component in natural:
        baseline: NaturalBaseline = build(component)
        columns = baseline.predictions(data)
        if columns is not None:
            own = columns.column_names
            found[baseline.name] = pa.table(
                {name: (columns if name in own else predictions)[name] for name in predictions.column_names}
            )
    return found


def absent_baselines(natural: Iterable[NaturalBaselineConfig], found: Collection[str]) -> list[str]:
    """Return a sentence for each baseline that a reader may miss among those that were `found` to apply."""
    built: list[NaturalBaseline] = [build(component) for component in natural]
    return [each.absence for each in built if each.name not in found and each.absence]
