"""No baseline predicts the same rows better: what a version without a champion before it has to show, too."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from headframe.config.natural import natural_baselines
from headframe.config.plan.task import TaskConfig
from headframe.evaluation.baselines import natural_predictions
from headframe.evaluation.paired import TESTS, PairedComparison
from headframe.evaluation.significance import holm
from headframe.gates.context import GateContext
from headframe.gates.report import BASELINE, GateResult, Numbers
from headframe.records import PLANNED


@dataclass(frozen=True)
class BaselineTest:
    """One baseline: its primary metric, and the paired test of the version against it, corrected for their number."""

    title: str
    value: float
    p_better: float
    p_worse: float

    def described(self, p: float) -> str:
        """Return its name, its value and a p-value, or that too few rows are independent for one."""
        known = "too few rows" if self.p_better == self.p_worse == 1 else f"p {p:.2g}"
        return f"{self.title} ({self.value:.4f}, {known})"


@dataclass(frozen=True)
class Baselines(PairedComparison):
    """Refuse a version that is worse than a baseline on the same test rows by a paired test.

    The natural baselines of the task are fitted and compared here; the comparison with the plan's own baseline is the
    one that the version's author signed. All are tested together at `alpha` (Holm 1979). A version that the rows do
    not tell apart from a baseline passes, and the reason says so.

    Attributes:
        alpha: how often a version that is as good as its baselines may be refused.
    """

    topic: ClassVar[str] = BASELINE
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version."""
        rows, metric = context.rows, context.rows.reference_task.primary_metric
        tested = self._corrected([*self._natural(context), *self._planned(context)])
        numbers: Numbers = {"value": rows.value, "rows": rows.count, "alpha": self.alpha}
        if not tested:
            return GateResult.accept(
                "no baseline", "the task has no natural baseline, and the plan names none", numbers
            )
        for each in tested:
            numbers |= {
                f"{each.title}: {metric}": each.value,
                f"{each.title}: p": each.p_better,
                f"{each.title}: p_worse": each.p_worse,
            }
        worse = [each for each in tested if each.p_worse <= self.alpha]
        alike = [each for each in tested if each.p_worse > self.alpha and each.p_better > self.alpha]
        test = TESTS[self.chosen(rows.reference_task)] + (" with Holm's correction" if len(tested) > 1 else "")
        how = f"on the same {rows.count:,} test rows, by {test}"
        if worse:
            lost = ", ".join(each.described(each.p_worse) for each in worse)
            reason = f"{metric} {rows.value:.4f} is worse than {lost} {how}"
            return GateResult.refuse("worse", reason, numbers)
        compared = alike or tested
        values = ", ".join(each.described(each.p_better) for each in compared)
        if alike:
            reason = f"{metric} {rows.value:.4f} is not significantly different from {values} {how}"
            return GateResult.accept("no significant difference", reason, numbers)
        reason = f"{metric} {rows.value:.4f} is better than {values} {how}"
        return GateResult.accept("better", reason, numbers)

    def _natural(self, context: GateContext) -> Iterator[BaselineTest]:
        rows, plan = context.rows, context.records.plan
        task, how = rows.reference_task, rows.resampling(self.resamples)
        kind = TaskConfig.model_construct(target=f"{type(task).__module__}.{type(task).__name__}", kind=task.kind)
        natural = natural_baselines(kind, context.request.root / "src")
        for name, other in natural_predictions(natural, task, plan.dataset, rows.table, rows.predictions).items():
            value = task.measure(other, [task.primary_metric]).get(task.primary_metric)
            if value is not None:
                found = self.compare(task, rows.predictions, other, how, self.alpha)
                p_better, p_worse = (found.p_better, found.p_worse) if self.can_tell(found) else (1.0, 1.0)
                yield BaselineTest(name.replace("_", " "), value, p_better, p_worse)

    def _planned(self, context: GateContext) -> Iterator[BaselineTest]:
        """Yield the signed comparison with the plan's baseline, if it was by the metric that counts here."""
        evaluated, metric = context.records.provenance.evaluated, context.rows.reference_task.primary_metric
        found = evaluated.baselines.get(PLANNED)
        if found is not None and evaluated.primary_metric == metric and metric in found.metrics:
            yield BaselineTest(found.title, found.metrics[metric].value, found.p_better, found.p_worse)

    def _corrected(self, tested: list[BaselineTest]) -> list[BaselineTest]:
        better, worse = holm([each.p_better for each in tested]), holm([each.p_worse for each in tested])
        return [
            BaselineTest(each.title, each.value, p_better, p_worse)
            for each, p_better, p_worse in zip(tested, better, worse, strict=True)
        ]
