"""Better than the champion on the same rows, by a paired test."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headframe.config.ranges import Positive
from headframe.errors import ConfigurationError
from headframe.evaluation.intervals import number_contents
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    autocovariance_gain,
    diebold_mariano,
    mcnemar,
    mcnemar_power,
    mcnemar_rows,
    paired_bootstrap,
    spend_alpha,
)
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers
from headframe.tasks.base import Task
from headframe.tasks.forecasting import Forecasting

Test = Literal["auto", "mcnemar", "bootstrap", "diebold_mariano"]
TestName = Literal["mcnemar", "bootstrap", "diebold_mariano"]
TESTS: dict[str, str] = {
    "mcnemar": "McNemar's exact test",
    "bootstrap": "the paired bootstrap",
    "diebold_mariano": "the test of Diebold and Mariano",
}
LOSSES = {"mse": np.square, "mae": np.abs}
FEWEST = 20  # independent units below which no test is believed: its errors are known for many, not for few


@dataclass(frozen=True)
class PairedTest:
    """Result of a paired test of two models.

    Attributes:
        test: which one.
        p_better: p-value of the version being better.
        p_worse: p-value of its being worse.
        power: the probability of finding the smallest effect that matters on these rows.
        rows_needed: how many give the power required; None where no number would.
        units: how many rows are independent of each other: repetitions count once, windows that overlap as one.
        gain: in units of the primary metric, positive where the version is better, with its standard error.
        numbers: what else the test rests on.
    """

    test: TestName
    p_better: float
    p_worse: float
    power: float
    rows_needed: int | None
    units: float
    gain: GainEstimate
    numbers: Numbers


@dataclass(frozen=True)
class Better:
    """Require that the version is better than the champion by more than chance.

    The verdict is `better` or `worse` where a one-sided test at `alpha` finds so; else `not better` where the test
    would have found the smallest effect that matters with the power required, and `not enough rows` where it would
    not, where fewer than 20 rows are independent of each other, or where nothing shows how much of a gain is chance.
    Only `better` passes. Versions are compared by the champion's primary metric. Where several challengers are tried
    against one champion each is tested at less than `alpha`, so that all of them together pass by chance at most that
    often: each further try at less, and where one of several candidates may have been picked by its test score, at
    that share of it (Bonferroni).

    Attributes:
        alpha: how often an equally good version may pass.
        effect: smallest gain that matters, in units of the primary metric.
        power: how often a gain of `effect` must be found before a version counts as not better.
        test: `mcnemar` for accuracy, `diebold_mariano` for forecasts, `bootstrap` for anything but accuracy; `auto`
            chooses in this order.
        resamples: of the bootstrap.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    effect: Positive = 0.01
    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    test: Test = "auto"
    resamples: Annotated[int, Field(ge=200, le=100_000)] = 2000

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
        alpha = spend_alpha(self.alpha, request.tries) / request.candidates
        tested = self.compare(champion.table, alpha, context)
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
            "alpha": self.alpha,
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
        return result(verdict, self._reason(context, tested, verdict, alpha), numbers)

    def compare(self, champion: pa.Table, alpha: float, context: GateContext) -> PairedTest:
        """Test the version against the champion's predictions of the same rows."""
        task, predictions = context.rows.reference_task, context.rows.predictions
        test = self._chosen(task)
        how = context.rows.resampling(self.resamples)
        if test == "mcnemar":
            return self.pairs(
                count(predictions, champion, number_contents(predictions, how)), predictions.num_rows, alpha
            )
        if test == "diebold_mariano" and isinstance(task, Forecasting):
            return self.windows(losses(task, champion) - losses(task, predictions), task.horizon, alpha)
        metric, higher = task.primary_metric, task.higher_is_better
        gain = paired_bootstrap(task, predictions, champion, how, metric=metric, higher_is_better=higher)
        units = len(np.unique(number_contents(predictions, how))) / how.block
        return self.gain(
            "bootstrap", gain, units, predictions.num_rows, alpha, {"resamples": self.resamples, "block": how.block}
        )

    def pairs(self, pairs: DiscordantPairs, rows: int, alpha: float) -> PairedTest:
        """Compute McNemar's test; it counts contents, so rows are those of a table with as many repetitions."""
        repeated = rows / pairs.contents
        needed = mcnemar_rows(pairs.discordance, self.effect, alpha, self.power)
        return PairedTest(
            test="mcnemar",
            p_better=mcnemar(pairs.wins, pairs.losses, "greater"),
            p_worse=mcnemar(pairs.wins, pairs.losses, "less"),
            power=mcnemar_power(pairs.contents, pairs.discordance, self.effect, alpha),
            rows_needed=None if needed is None else int(np.ceil(max(needed, FEWEST) * repeated)),
            units=pairs.contents,
            gain=pairs.gain,
            numbers={"won": pairs.wins, "lost": pairs.losses, "contents": pairs.contents},
        )

    def windows(self, gains: np.ndarray, horizon: int, alpha: float) -> PairedTest:
        """Compute the test of Diebold and Mariano from the gain of each window."""
        gain, units = diebold_mariano(gains, horizon, alpha), len(gains) / horizon
        if gain is None:
            estimate = GainEstimate(float(gains.mean()), 0.0, 1)
            return PairedTest("diebold_mariano", 1.0, 1.0, 0.0, None, units, estimate, {"horizon": horizon})
        corrected = autocovariance_gain(gains, horizon)
        numbers: Numbers = {
            "horizon": horizon,
            "degrees_of_freedom": gain.degrees_of_freedom,
            "p_harvey_leybourne_newbold": None if corrected is None else corrected.p_better(),
        }
        return self.gain("diebold_mariano", gain, units, len(gains), alpha, numbers)

    def gain(  # noqa: PLR0917 - each is another number that the test rests on
        self, test: TestName, gain: GainEstimate, units: float, rows: int, alpha: float, numbers: Numbers
    ) -> PairedTest:
        """Compute the test of a gain with its standard error."""
        needed = None if gain.has_unknown_error else gain.rows(rows, self.effect, alpha, self.power)
        return PairedTest(
            test=test,
            p_better=gain.p_better(),
            p_worse=gain.p_worse(),
            power=gain.power(self.effect, alpha),
            rows_needed=None if needed is None else max(needed, int(np.ceil(FEWEST * rows / units))),
            units=units,
            gain=gain,
            numbers=numbers,
        )

    def verdict(self, tested: PairedTest, alpha: float) -> str:
        """Return the verdict of a test."""
        if tested.units < FEWEST or tested.gain.has_unknown_error:
            return "not enough rows"
        if tested.p_better <= alpha and tested.gain.value > 0:
            return "better"
        if tested.p_worse <= alpha and tested.gain.value < 0:
            return "worse"
        return "not better" if tested.power >= self.power else "not enough rows"

    def _chosen(self, task: Task) -> TestName:
        is_accuracy = task.primary_metric == task.hit_rate
        fits: dict[TestName, bool] = {
            "mcnemar": is_accuracy,
            "diebold_mariano": isinstance(task, Forecasting) and task.primary_metric in LOSSES,
            "bootstrap": not is_accuracy,
        }
        if self.test == "auto":
            return next(name for name, fit in fits.items() if fit)
        if not fits[self.test]:
            instead = " or ".join(name for name, fit in fits.items() if fit)
            metric = f"{task.kind} with metric {task.primary_metric}"
            raise ConfigurationError(f"gate test {self.test} is not for {metric}; choose {instead}, or auto")
        return self.test

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
            reason += f"; {self._too_few(tested)}"
        if metric != own_metric:
            reason += f"; the champion is judged by {metric}, though this version's primary metric is {own_metric}"
        if comparison.champion.seen:
            reason += "; the champion's table or split differs, so it may have been trained on some of these rows"
        return reason

    def _too_few(self, tested: PairedTest) -> str:
        if tested.gain.has_unknown_error:
            return "the gain is the same on all resamples, so nothing shows how much of it is chance"
        needed = "no number of rows would do" if tested.rows_needed is None else f"{tested.rows_needed:,} are needed"
        if tested.units < FEWEST:
            return f"only {tested.units:.3g} of them are independent, and a test takes at least {FEWEST}: {needed}"
        return f"too few rows to find a gain of {self.effect:g} with power {self.power:g}: {needed}"


def count(predictions: pa.Table, champion: pa.Table, contents: np.ndarray) -> DiscordantPairs:
    """Count on which contents one of two classifiers is right more often."""
    right = [pc.equal(each["prediction"], each["target"]).to_numpy().astype(bool) for each in (predictions, champion)]
    return DiscordantPairs.count(right[0], right[1], contents)


def losses(task: Forecasting, predictions: pa.Table) -> np.ndarray:
    """Return one loss per window, float64 (windows,), whose mean is the primary metric."""
    per_window: np.ndarray = LOSSES[task.primary_metric](task.errors(predictions)).mean(axis=(1, 2))
    return per_window
