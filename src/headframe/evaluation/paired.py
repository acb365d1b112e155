"""Paired tests of two models' predictions for the same rows: the test that fits the metric, and its verdict."""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from pydantic import Field

from headframe.config.ranges import Positive
from headframe.errors import ConfigurationError
from headframe.evaluation.intervals import Resampling, holds_groups, number_contents
from headframe.evaluation.significance import (
    DiscordantPairs,
    GainEstimate,
    autocovariance_gain,
    diebold_mariano,
    mcnemar,
    mcnemar_power,
    mcnemar_rows,
    paired_bootstrap,
)
from headframe.tasks.base import Task

Test = Literal["auto", "mcnemar", "bootstrap", "diebold_mariano"]
TestName = Literal["mcnemar", "bootstrap", "diebold_mariano"]
TESTS: dict[str, str] = {
    "mcnemar": "McNemar's exact test",
    "bootstrap": "the paired bootstrap",
    "diebold_mariano": "the test of Diebold and Mariano",
}
TestNumbers = dict[str, float | int | str | None]
LOSSES = {"mse": np.square, "mae": np.abs}
FEWEST = 20  # independent units below which no test is believed: its errors are known for many, not for few


@runtime_checkable
class HasErrors(Protocol):
    """A task of windows, whose errors follow each other in time."""

    horizon: int
    primary_metric: str

    def errors(self, predictions: pa.Table) -> np.ndarray:
        """Return the errors of forecasts: (windows, horizon, variables)."""


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
    numbers: TestNumbers


@dataclass(frozen=True)
class PairedComparison:
    """Compare two models on the same rows.

    The verdict is `better` or `worse` where a one-sided test at the alpha given finds so; else `not better` where the
    test would have found the smallest effect that matters with the power required, and `not enough rows` where it would
    not, where fewer than 20 rows are independent of each other, or where nothing shows how much of a gain is chance.

    Attributes:
        effect: smallest gain that matters, in units of the primary metric.
        power: how often a gain of `effect` must be found before a version counts as not better.
        test: `mcnemar` for accuracy, `diebold_mariano` for forecasts, `bootstrap` for anything but accuracy; `auto`
            chooses in this order. Accuracy on groups of different rows is resampled, too: which of two models wins
            more groups says little of which is right on more rows.
        resamples: of the bootstrap.
    """

    effect: Positive = 0.01
    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    test: Test = "auto"
    resamples: Annotated[int, Field(ge=200, le=100_000)] = 2000

    def compare(self, task: Task, mine: pa.Table, other: pa.Table, how: Resampling, alpha: float) -> PairedTest:
        """Test a model's predictions against those of another model for the same rows, in the same order.

        Raises:
            ConfigurationError: `test` is not for this task and metric.
        """
        test = self.chosen(task)
        if test == "mcnemar" and not holds_groups(mine):
            return self.pairs(count(task, mine, other, number_contents(mine, how)), mine.num_rows, alpha)
        if test == "diebold_mariano" and isinstance(task, HasErrors):
            return self.windows(losses(task, other) - losses(task, mine), task.horizon, alpha)
        metric, higher = task.primary_metric, task.higher_is_better
        gain = paired_bootstrap(task, mine, other, how, metric=metric, higher_is_better=higher)
        units = len(np.unique(number_contents(mine, how))) / how.block
        return self.gain(
            "bootstrap", gain, units, mine.num_rows, alpha, {"resamples": self.resamples, "block": how.block}
        )

    def pairs(self, pairs: DiscordantPairs, rows: int, alpha: float) -> PairedTest:
        """Compute McNemar's test; it counts contents, so rows are those of a table with as many repetitions."""
        repeated = max(1, rows) / max(1, pairs.contents)
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
            estimate = GainEstimate(float(gains.sum()) / max(1, len(gains)), 0.0, 1)
            return PairedTest("diebold_mariano", 1.0, 1.0, 0.0, None, units, estimate, {"horizon": horizon})
        corrected = autocovariance_gain(gains, horizon)
        numbers: TestNumbers = {
            "horizon": horizon,
            "degrees_of_freedom": gain.degrees_of_freedom,
            "p_harvey_leybourne_newbold": None if corrected is None else corrected.p_better(),
        }
        return self.gain("diebold_mariano", gain, units, len(gains), alpha, numbers)

    def gain(  # noqa: PLR0917 - each is another number that the test rests on
        self, test: TestName, gain: GainEstimate, units: float, rows: int, alpha: float, numbers: TestNumbers
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

    def can_tell(self, tested: PairedTest) -> bool:
        """Return whether the p-values may be believed: enough rows are independent, and the gain has a spread."""
        return tested.units >= FEWEST and not tested.gain.has_unknown_error

    def verdict(self, tested: PairedTest, alpha: float) -> str:
        """Return the verdict of a test."""
        if not self.can_tell(tested):
            return "not enough rows"
        if tested.p_better <= alpha and tested.gain.value > 0:
            return "better"
        if tested.p_worse <= alpha and tested.gain.value < 0:
            return "worse"
        return "not better" if tested.power >= self.power else "not enough rows"

    def chosen(self, task: Task) -> TestName:
        """Return the test that fits a task and its primary metric.

        Raises:
            ConfigurationError: the one that is set does not.
        """
        is_accuracy = task.primary_metric == task.hit_rate
        fits: dict[TestName, bool] = {
            "mcnemar": is_accuracy,
            "diebold_mariano": isinstance(task, HasErrors) and task.primary_metric in LOSSES,
            "bootstrap": not is_accuracy,
        }
        if self.test == "auto":
            return next(name for name, fit in fits.items() if fit)
        if not fits[self.test]:
            instead = " or ".join(name for name, fit in fits.items() if fit)
            metric = f"{task.kind} with metric {task.primary_metric}"
            raise ConfigurationError(f"gate test {self.test} is not for {metric}; choose {instead}, or auto")
        return self.test

    def too_few(self, tested: PairedTest) -> str:
        """Return why a test's rows are too few, and how many would do."""
        if tested.gain.has_unknown_error:
            return "the gain is the same on all resamples, so nothing shows how much of it is chance"
        needed = "no number of rows would do" if tested.rows_needed is None else f"{tested.rows_needed:,} are needed"
        if tested.units < FEWEST:
            return f"only {tested.units:.3g} of them are independent, and a test takes at least {FEWEST}: {needed}"
        return f"too few rows to find a gain of {self.effect:g} with power {self.power:g}: {needed}"


def count(task: Task, mine: pa.Table, other: pa.Table, contents: np.ndarray) -> DiscordantPairs:
    """Count on which contents one of two models is right more often."""
    return DiscordantPairs.count(task.hits(mine), task.hits(other), contents)


def losses(task: HasErrors, predictions: pa.Table) -> np.ndarray:
    """Return one loss per window, float64 (windows,), whose mean is the primary metric."""
    per_window: np.ndarray = LOSSES[task.primary_metric](task.errors(predictions)).mean(axis=(1, 2))
    return per_window
