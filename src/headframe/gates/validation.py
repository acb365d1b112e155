"""Shown to be better than the champion, or a baseline, on validation rows, before any test row is consulted."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from headframe.evaluation.paired import TESTS, PairedComparison
from headframe.gates.base import Gate
from headframe.gates.baseline_tests import baseline_tests, corrected_test
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers


@dataclass(frozen=True)
class ShownOnValidation(PairedComparison, Gate):
    """Let only those versions consult the test rows that are better than the champion on validation rows.

    Where there is no champion, a version has to be better than at least one baseline of its task and worse than none:
    who predicts with tf-idf is no better than the baseline tf-idf, but than the prior. The gate `baselines` asks on
    test rows for the second alone.

    Validation rows may be read as often as one likes: what passes here is tested on test rows all the same. A version
    that is refused here spends nothing of the allowed error, so exploring does not wear out the test rows. Where
    validation rows cannot decide, as they are too few or the champion cannot predict them, the test rows do.

    Attributes:
        alpha: largest p-value that counts as better, or as worse; how many versions no better than the champion go on
            to the test.
    """

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version.

        Raises:
            ConfigurationError: `test` is not for this task and metric.
        """
        comparison = context.validation
        rows, champion = comparison.rows, comparison.champion
        metric = rows.reference_task.primary_metric
        if context.request.champion is None:
            return self._first(context)
        if champion.table is None or metric not in rows.metrics or metric not in comparison.champion_metrics:
            why = champion.source if champion.table is None else f"these rows define no {metric}"
            return GateResult.accept("not decided", f"validation rows cannot decide ({why}), so the test rows do")
        how = rows.resampling(self.resamples)
        tested = self.compare(rows.reference_task, rows.predictions, champion.table, how, self.alpha)
        value, other = rows.metrics[metric], comparison.champion_metrics[metric]
        numbers: Numbers = {
            "test": tested.test,
            "metric": metric,
            "value": value,
            "champion": other,
            "p": tested.p_better,
            "alpha": self.alpha,
            "rows": rows.count,
            "independent": tested.units,
            **tested.numbers,
            "champion_predictions": champion.source,
            "champion_may_have_seen_rows": "yes" if champion.seen else "no",
        }
        if not self.can_tell(tested):
            why = f"validation rows cannot decide ({self.too_few(tested)}), so the test rows do"
            return GateResult.accept("not decided", why, numbers)
        measured = f"{metric} {value:.4f} {{}} {other:.4f} of the champion on the same {rows.count:,} validation rows"
        measured += f" (p {tested.p_better:.2g} by {TESTS[tested.test]}, {self.alpha:.2g} allowed)"
        if champion.seen:
            measured += ", on some of which it may have been trained"
        if tested.p_better <= self.alpha and tested.gain.value > 0:
            return GateResult.accept("better", f"{measured.format('is better than')}, so test rows decide", numbers)
        return _refuse("not better", measured.format("is not shown to be better than"), numbers)

    def _first(self, context: GateContext) -> GateResult:
        """Judge a version without a champion before it: by its baselines."""
        rows, metric = context.validation.rows, context.validation.rows.reference_task.primary_metric
        value = rows.metrics.get(metric)
        if value is None:
            reason = f"validation rows cannot decide (these rows define no {metric}), so the test rows do"
            return GateResult.accept("not decided", reason)
        tested = baseline_tests(self, context, rows, self.alpha)
        numbers: Numbers = {"value": value, "alpha": self.alpha, "rows": rows.count}
        for each in tested:
            numbers |= each.numbers(metric)
        known = [each for each in tested if each.decides]
        if not known:
            why = "too few of them are independent for a test" if tested else "the task has no baseline"
            reason = f"validation rows cannot decide ({why}), and there was no champion before, so the test rows do"
            return GateResult.accept("not decided", reason, numbers)
        worse = [each for each in known if each.p_worse <= self.alpha]
        better = [each for each in known if each.p_better <= self.alpha]
        shown = ", ".join(each.described(each.p_worse if worse else each.p_better) for each in worse or better or known)
        measured = f"{metric} {value:.4f} {{}} {shown} on the same {rows.count:,} validation rows, by "
        measured += f"{corrected_test(self, rows, tested)}, {self.alpha:.2g} allowed"
        if worse:
            return _refuse("worse", measured.format("is worse than"), numbers)
        if not better:
            return _refuse("not better", measured.format("is not shown to be better than"), numbers)
        return GateResult.accept("better", f"{measured.format('is better than')}, so test rows decide", numbers)


def _refuse(verdict: str, measured: str, numbers: Numbers) -> GateResult:
    reason = f"{measured}, so no test row was consulted and nothing spent"
    return GateResult.refuse(verdict, reason, numbers).model_copy(update={"is_final": True})
