"""Better than the champion on the same rows, by a paired test."""

from dataclasses import dataclass
from typing import ClassVar

from headframe.evaluation.paired import TESTS, PairedComparison, PairedTest
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import CHAMPION, GateResult, Numbers


@dataclass(frozen=True)
class Better(PairedComparison, Gate):
    """Require that the version is better than the champion by more than chance.

    Only the verdict `better` passes; for the others see `PairedComparison`. Versions are compared by the champion's
    primary metric. The p-value that is allowed follows from the tests before by the policy's rule
    (`promotion.error_control`); where one of several candidates may have been picked by its test score, it is that
    share of it (Bonferroni).
    """

    topic: ClassVar[str] = CHAMPION

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version.

        Raises:
            ConfigurationError: `test` is not for this task and metric.
        """
        request, rows, comparison = context.request, context.rows, context.comparison
        task, value = rows.reference_task, rows.value
        numbers: Numbers = {"value": value, "rows": rows.count}
        if request.champion is None:
            reason = f"{task.primary_metric} {value:.4f} on {rows.count:,} test rows, and there was no champion before"
            return GateResult.accept("no champion", reason, numbers)
        champion = comparison.champion
        if champion.table is None:
            return GateResult.refuse("not comparable", champion.source, numbers)
        if task.primary_metric not in comparison.champion_metrics:
            reason = f"the champion's predictions for these {rows.count:,} test rows define no {task.primary_metric}"
            return GateResult.refuse("not comparable", reason, numbers)
        alpha = request.level / request.candidates
        tested = self.compare(task, rows.predictions, champion.table, rows.resampling(self.resamples), alpha)
        verdict = self.verdict(tested, alpha)
        other = comparison.champion_metrics[task.primary_metric]
        sign = 1.0 if task.higher_is_better else -1.0
        limits = sorted(sign * each for each in tested.gain.limits(1 - 2 * alpha))
        numbers = {
            "test": tested.test,
            "metric": task.primary_metric,
            "value": value,
            "champion": other,
            "difference": value - other,
            "low": limits[0],
            "high": limits[1],
            "confidence": 1 - 2 * alpha,
            "p": tested.p_better,
            "p_worse": tested.p_worse,
            "level": request.level,
            "alpha_used": alpha,
            "tries": request.tries,
            "candidates": request.candidates,
            "effect": self.effect,
            "power": tested.power,
            "rows": rows.count,
            "independent": tested.units,
            "rows_needed": tested.rows_needed,
            **tested.numbers,
            "champion_predictions": champion.source,
            "champion_may_have_seen_rows": "yes" if champion.seen else "no",
        }
        result = GateResult.accept if verdict == "better" else GateResult.refuse
        found = result(verdict, self._reason(context, tested, verdict, alpha), numbers)
        return found.model_copy(update={"p": tested.p_better})

    def _reason(self, context: GateContext, tested: PairedTest, verdict: str, alpha: float) -> str:
        request, rows, comparison = context.request, context.rows, context.comparison
        metric, own_metric = rows.reference_task.primary_metric, context.records.task.primary_metric
        how = {"better": "is better than", "worse": "is worse than"}.get(verdict, "is not proven better than")
        p = min(tested.p_better, tested.p_worse) if verdict == "worse" else tested.p_better
        reason = f"{metric} {rows.value:.4f} {how} {comparison.champion_metrics[metric]:.4f} of the champion on the "
        reason += f"same {rows.count:,} test rows (p {p:.2g} by {TESTS[tested.test]}, {alpha:.2g} allowed"
        reason += f" at try {request.tries}" if request.tries > 1 else ""
        reason += f" among {request.candidates} candidates" if request.candidates > 1 else ""
        reason += ")"
        if verdict == "not enough rows":
            reason += f"; {self.too_few(tested)}"
        if verdict != "better" and request.candidates > 1:
            reason += (
                "; gating the other candidates costs nothing where validation rows refuse them, and none counts then"
            )
        if metric != own_metric:
            reason += f"; the champion is judged by {metric}, though this version's primary metric is {own_metric}"
        if comparison.champion.seen:
            reason += "; the champion's table or split differs, so it may have been trained on some of these rows"
        return reason
