"""What a contract says of single cells, checked on the rows of a request."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import column_type
from headframe.errors import RowError, shown


class RowConstraints:
    """The constraints that every row keeps: bounds, values, lengths and patterns of its cells.

    Args:
        contract: by column; whether a cell may be missing is known from the schema, and repetitions only from a table.
    """

    def __init__(self, contract: Mapping[str, ColumnContract]) -> None:
        self.contract = dict(contract)
        self._constraints = {name: [*column_type(column).checks(column)] for name, column in contract.items()}

    def require(self, rows: pa.Table) -> None:
        """Check each cell of rows in the types of the contract.

        Raises:
            RowError: a cell does not keep a constraint.
        """
        for name, constraints in self._constraints.items():
            cells = rows.column(name).combine_chunks()
            valued = cells.drop_null() if cells.null_count else cells
            for constraint in constraints:
                wrong, value = constraint.wrong(valued)
                if len(wrong):
                    row = int(np.flatnonzero(np.asarray(cells.is_valid()))[wrong[0]]) + 1
                    after = f", but by the data set's contract it {constraint.text}"
                    raise RowError(f"column {name!r} holds {shown(value)}", row, after)
