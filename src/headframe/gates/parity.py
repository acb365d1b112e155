"""The packaged model answers as the trained one did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headframe.config.ranges import NotNegative
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.context import Case
from headframe.gates.report import GateResult


@dataclass(frozen=True)
class Parity:
    """Load the package back and ask it about all test rows again.

    Attributes:
        tolerance: largest difference of a score, relative to the largest score where that exceeds 1.
    """

    tolerance: NotNegative = 1e-5

    def judge(self, case: Case) -> GateResult:
        """Judge a version."""
        try:
            again = case.answers(case.model)
        except (Unavailable, Refused):
            raise
        except HeadframeError as error:
            return GateResult(
                gate="parity", passed=False, verdict="different", reason=f"the package does not answer: {error}"
            )
        largest, scale, turned = 0.0, 1.0, 0
        for name in again.column_names:
            if name in ("row_id", "split", "content", "target"):
                continue
            before, after = case.predictions[name], again[name]
            if not _is_number(before.type):
                turned = int(np.sum(np.array(before.to_pylist()) != np.array(after.to_pylist())))
                continue
            mine, other = _numbers(before), _numbers(after)
            largest = max(largest, float(np.abs(mine - other).max(initial=0.0)))
            scale = max(scale, float(np.abs(mine).max(initial=0.0)))
        allowed = self.tolerance * scale
        passed = largest <= allowed
        numbers: dict[str, float | int | str | None] = {
            "largest_difference": largest,
            "allowed": allowed,
            "rows": case.rows,
            "answers_turned": turned,
        }
        reason = (
            f"the package differs from the trained model by {largest:.2g} at most on {case.rows:,} test rows, and "
            f"{allowed:.2g} is allowed"
        )
        return GateResult(
            gate="parity", passed=passed, verdict="equal" if passed else "different", reason=reason, numbers=numbers
        )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or isinstance(kind, pa.FixedShapeTensorType)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    whole = column.combine_chunks()
    flat = whole.storage.flatten() if isinstance(column.type, pa.FixedShapeTensorType) else whole
    found: np.ndarray = flat.to_numpy(zero_copy_only=False)
    return found
