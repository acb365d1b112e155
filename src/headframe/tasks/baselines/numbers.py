"""The numeric inputs of a table, for baselines that look at nothing else."""

import numpy as np
import pyarrow as pa

from headframe.features.columns import number_column
from headframe.tasks.baselines.base import BaselineData


def input_numbers(data: BaselineData) -> np.ndarray | None:
    """Return all numeric inputs of all rows as float64 (rows, numbers), arrays laid out flat; None without any.

    An empty cell becomes the mean of its column in training rows, or 0 where they have no number in it.
    """
    rows = data.table.read(list(data.dataset.inputs))
    found = []
    for field in rows.schema:
        if isinstance(field.type, pa.FixedShapeTensorType):
            cells = rows[field.name].combine_chunks().to_numpy_ndarray()
            found.append(cells.reshape(len(cells), -1).astype(np.float64))
        elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type):
            cells = number_column(rows, field.name)
            known = cells[data.training & ~np.isnan(cells)]
            found.append(np.nan_to_num(cells, nan=known.mean() if len(known) else 0.0)[:, np.newaxis])
    return np.concatenate(found, axis=1) if found else None
