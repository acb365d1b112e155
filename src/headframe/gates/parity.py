"""The packaged model predicts as the trained one did."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headframe.config.ranges import NotNegative
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers


@dataclass(frozen=True)
class Parity:
    """Load the package and predict all test rows again.

    Attributes:
        tolerance: largest difference of a score, relative to the largest score where that exceeds 1.
    """

    tolerance: NotNegative = 1e-5

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version."""
        try:
            packaged = context.rows.predict(context.records.model)
        except (Unavailable, Refused):
            raise
        except HeadframeError as error:
            return GateResult.refuse("different", f"the package does not predict: {error}")
        trained = context.rows.predictions
        largest, scale, changed = 0.0, 1.0, 0
        for name in packaged.column_names:
            if name in ("row_id", "split", "content", "target"):
                continue
            before, after = trained[name], packaged[name]
            if not _is_number(before.type):
                changed = int(np.sum(np.array(before.to_pylist()) != np.array(after.to_pylist())))
                continue
            mine, other = _flat(before), _flat(after)
            largest = max(largest, float(np.abs(mine - other).max(initial=0.0)))
            scale = max(scale, float(np.abs(mine).max(initial=0.0)))
        allowed = self.tolerance * scale
        numbers: Numbers = {
            "largest_difference": largest,
            "allowed": allowed,
            "rows": context.rows.count,
            "changed_predictions": changed,
        }
        reason = (
            f"the package differs from the trained model by {largest:.2g} at most on {context.rows.count:,} test rows, "
            f"and {allowed:.2g} is allowed"
        )
        if largest <= allowed:
            return GateResult.accept("equal", reason, numbers)
        return GateResult.refuse("different", reason, numbers)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or isinstance(kind, pa.FixedShapeTensorType)


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    whole = column.combine_chunks()
    flat = whole.storage.flatten() if isinstance(column.type, pa.FixedShapeTensorType) else whole
    values: np.ndarray = flat.to_numpy(zero_copy_only=False)
    return values
