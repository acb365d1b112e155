"""Paired tests of a version against the baselines of its task on the same rows, corrected for their number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from headframe.config.natural import natural_baselines
from headframe.config.plan.task import TaskConfig
from headframe.evaluation.baselines import natural_predictions
from headframe.evaluation.paired import TESTS, PairedComparison
from headframe.evaluation.significance import holm
from headframe.gates.context import GateContext
from headframe.gates.report import Numbers
from headframe.gates.rows import VersionRows
from headframe.prediction.layout import copies_left_out
from headframe.records import PLANNED
from headframe.registry.layout import bundle_in


@dataclass(frozen=True)
class BaselineTest:
    """One baseline: its primary metric, and the paired test of the version against it.

    Attributes:
        title: as people read it.
        value: primary metric of the baseline.
        p_better: p-value of the version being better.
        p_worse: p-value of its being worse.
        decides: whether the rows suffice for a test; both p-values are 1 where they do not.
    """

    title: str
    value: float
    p_better: float
    p_worse: float
    decides: bool

    def described(self, p: float) -> str:
        """Return its name, its value and a p-value, or that too few rows are independent for one."""
        return f"{self.title} ({self.value:.4f}, {f'p {p:.2g}' if self.decides else 'too few rows'})"

    def numbers(self, metric: str) -> Numbers:
        """Return its value of a metric and the p-values, as a gate's result names them."""
        return {
            f"{self.title}: {metric}": self.value,
            f"{self.title}: p": self.p_better,
            f"{self.title}: p_worse": self.p_worse,
        }


def baseline_tests(
    tests: PairedComparison, context: GateContext, rows: VersionRows, alpha: float
) -> list[BaselineTest]:
    """Fit the natural baselines of a version's task, and test the version against each on its rows of one split.

    The comparison with the plan's own baseline is the one that the version's author signed. All p-values are corrected
    together (Holm 1979).

    Args:
        tests: how two models are compared.
        context: what is judged.
        rows: of the split, with the version's predictions.
        alpha: level that the caller compares the p-values with.
    """
    found = [*_natural(tests, context, rows, alpha), *_planned(context, rows)]
    better, worse = holm([each.p_better for each in found]), holm([each.p_worse for each in found])
    return [
        replace(each, p_better=p_better, p_worse=p_worse)
        for each, p_better, p_worse in zip(found, better, worse, strict=True)
    ]


def corrected_test(tests: PairedComparison, rows: VersionRows, tested: Sequence[BaselineTest]) -> str:
    """Return which test of a version on these rows the p-values are of, and how they were corrected."""
    return TESTS[tests.chosen(rows.reference_task)] + (" with Holm's correction" if len(tested) > 1 else "")


def _natural(tests: PairedComparison, context: GateContext, rows: VersionRows, alpha: float) -> Iterator[BaselineTest]:
    task, how = rows.reference_task, rows.resampling(tests.resamples)
    kind = TaskConfig.model_construct(target=f"{type(task).__module__}.{type(task).__name__}", kind=task.kind)
    natural, dataset = natural_baselines(kind, context.request.root / "src"), context.records.plan.dataset
    left_out = copies_left_out(bundle_in(context.records.model))
    others = natural_predictions(natural, task, dataset, rows.table, rows.predictions, left_out=left_out)
    for name, other in others.items():
        value = task.measure(other, [task.primary_metric]).get(task.primary_metric)
        if value is not None:
            tested = tests.compare(task, rows.predictions, other, how, alpha)
            # A version that is the baseline itself is no better, though no resample shows how much is chance.
            decides = tests.can_tell(tested) or other.equals(rows.predictions)
            p_better, p_worse = (tested.p_better, tested.p_worse) if tests.can_tell(tested) else (1.0, 1.0)
            yield BaselineTest(name.replace("_", " "), value, p_better, p_worse, decides)


def _planned(context: GateContext, rows: VersionRows) -> Iterator[BaselineTest]:
    """Yield the signed comparison with the plan's baseline, if it was by the metric that counts here."""
    evaluated, metric = context.records.provenance.evaluated, rows.reference_task.primary_metric
    found = evaluated.baselines.get(PLANNED)
    if found is None or evaluated.primary_metric != metric:
        return
    if rows.split == "validation":
        if found.validation is not None:
            yield BaselineTest(found.title, **found.validation.model_dump(), decides=True)
    elif metric in found.metrics:
        decides = found.verdict != "too few rows"
        yield BaselineTest(found.title, found.metrics[metric].value, found.p_better, found.p_worse, decides)
