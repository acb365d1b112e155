"""The packaged model predicts as the trained one did, in every column of the answer."""

import math
from dataclasses import dataclass

from headframe.config.ranges import NotNegative
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers
from headframe.prediction.answers import compare_answers


@dataclass(frozen=True)
class Parity(Gate):
    """Load the package and predict all test rows again.

    Attributes:
        tolerance: largest difference of a number, relative to the largest score where that exceeds 1.
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
        names = context.records.task.prediction_schema.names
        difference = compare_answers(context.rows.predictions.select(names), packaged.select(names))
        allowed = self.tolerance * difference.scale
        numbers: Numbers = {
            "largest_difference": difference.largest if math.isfinite(difference.largest) else None,
            "allowed": allowed,
            "rows": context.rows.count,
            "changed_predictions": max(difference.changed.values(), default=0),
        }
        reason = (
            f"the package differs from the trained model {difference}, on {context.rows.count:,} test rows, "
            f"and {allowed:.2g} is allowed"
        )
        if difference.within(self.tolerance):
            return GateResult.accept("equal", reason, numbers)
        return GateResult.refuse("different", reason, numbers)
