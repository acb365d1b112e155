"""The primary metric reaches a bound."""

import math
from dataclasses import dataclass

from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers


@dataclass(frozen=True)
class Minimum(Gate):
    """Require that the primary metric reaches a value, or stays at or below it where less is better.

    Attributes:
        value: the bound; None requires only that the metric is a number.
    """

    value: float | None = None

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version; a metric that is not a number never passes."""
        task, rows, value = context.rows.reference_task, context.rows.count, context.rows.value
        measured = f"{task.primary_metric} {value:.4f} on {rows:,} test rows"
        numbers: Numbers = {"value": value if math.isfinite(value) else None, "bound": self.value, "rows": rows}
        if not math.isfinite(value):
            return GateResult.refuse("missed", f"{task.primary_metric} is {value}", numbers)
        if self.value is None:
            return GateResult.accept("no bound", measured, numbers)
        bound = f"the {'minimum' if task.higher_is_better else 'maximum'} of {self.value:g}"
        if value >= self.value if task.higher_is_better else value <= self.value:
            return GateResult.accept("reached", f"{measured} reaches {bound}", numbers)
        return GateResult.refuse("missed", f"{measured} misses {bound}", numbers)
