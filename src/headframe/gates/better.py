"""Better than the champion on the same rows, by a paired test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headframe.config.ranges import Positive
from headframe.errors import ConfigurationError
from headframe.evaluation.intervals import contents_of
from headframe.evaluation.significance import (
    Gain,
    Pairs,
    bootstrap,
    diebold_mariano,
    harvey,
    mcnemar,
    mcnemar_power,
    mcnemar_rows,
    spent,
)
from headframe.gates.context import Case
from headframe.gates.report import GateResult
from headframe.tasks.base import Task
from headframe.tasks.forecasting import Forecasting

Test = Literal["auto", "mcnemar", "bootstrap", "diebold_mariano"]
Named = Literal["mcnemar", "bootstrap", "diebold_mariano"]
TESTS: dict[str, str] = {
    "mcnemar": "McNemar's exact test",
    "bootstrap": "the paired bootstrap",
    "diebold_mariano": "the test of Diebold and Mariano",
}
RIGHT = "accuracy"  # the metric that McNemar's test is about
FEWEST = 20  # independent units below which no test is believed: its errors are known for many, not for few


@dataclass(frozen=True)
class Found:
    """What a test says of two models.

    Attributes:
        test: which one.
        p_better: that the version is better, by chance.
        p_worse: that it is worse, by chance.
        power: the chance that the smallest effect that matters would have been found on these rows.
        rows_needed: how many give the power asked for; None where no number would.
        units: how many rows are independent of each other: repetitions count once, windows that overlap as one.
        gain: in units of the leading metric, positive where the version is better, with its standard error.
        numbers: what else the test rests on.
    """

    test: Named
    p_better: float
    p_worse: float
    power: float
    rows_needed: int | None
    units: float
    gain: Gain
    numbers: dict[str, float | int | str | None]


@dataclass(frozen=True)
class Better:
    """Ask that the version is better than the champion by more than chance.

    The word is `better` or `worse` where a one-sided test at `alpha` says so; else `not better` where the test would
    have found the smallest effect that matters with the power asked for, and `not enough rows` where it would not,
    where fewer than 20 rows are independent of each other, or where nothing tells how much of a gain is chance. Only
    `better` passes. Versions are compared by the champion's leading metric. Where several challengers are tried
    against one champion each is tested at less than `alpha`, so that all of them together pass by chance at most that
    often: each further try at less, and where one of several candidates may have been picked by its test score, at
    that share of it (Bonferroni).

    Attributes:
        alpha: how often an equally good version may pass.
        effect: smallest gain that matters, in units of the leading metric.
        power: how often a gain of `effect` shall be found before a version counts as not better.
        test: `mcnemar` for accuracy, `diebold_mariano` for forecasts, `bootstrap` for anything but accuracy; `auto`
            chooses in this order.
        resamples: of the bootstrap.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    effect: Positive = 0.01
    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    test: Test = "auto"
    resamples: Annotated[int, Field(ge=200, le=100_000)] = 2000

    def judge(self, case: Case) -> GateResult:
        """Judge a version.

        Raises:
            ConfigurationError: `test` is not for this task and metric.
        """
        task, value = case.yardstick, case.value
        if case.champion is None:
            reason = f"{task.lead} {value:.4f} on {case.rows:,} test rows, and there was no champion before"
            return self._verdict(True, "no champion", reason, {"value": value, "rows": case.rows})
        rival = case.rival
        if rival.predictions is None:
            return self._verdict(False, "not comparable", rival.origin, {"value": value, "rows": case.rows})
        if task.lead not in case.rival_metrics:
            reason = f"the champion's answers for these {case.rows:,} test rows define no {task.lead}"
            return self._verdict(False, "not comparable", reason, {"value": value, "rows": case.rows})
        alpha = spent(self.alpha, case.tries) / case.candidates
        found = self.compare(task, case.predictions, rival.predictions, alpha, case)
        word = self.word(found, alpha)
        other = case.rival_metrics[task.lead]
        sign = 1.0 if task.higher_is_better else -1.0
        limits = sorted(sign * each for each in found.gain.limits(1 - 2 * alpha))
        numbers: dict[str, float | int | str | None] = {
            "test": found.test,
            "metric": task.lead,
            "value": value,
            "champion": other,
            "difference": value - other,
            "low": limits[0],
            "high": limits[1],
            "confidence": 1 - 2 * alpha,
            "p": found.p_better,
            "p_worse": found.p_worse,
            "alpha": self.alpha,
            "alpha_used": alpha,
            "tries": case.tries,
            "candidates": case.candidates,
            "effect": self.effect,
            "power": found.power,
            "rows": case.rows,
            "independent": found.units,
            "rows_needed": found.rows_needed,
            **found.numbers,
            "origin": rival.origin,
            "champion_may_have_seen_rows": "yes" if rival.seen else "no",
        }
        return self._verdict(word == "better", word, self._reason(case, found, word, alpha), numbers)

    def compare(self, task: Task, predictions: pa.Table, champion: pa.Table, alpha: float, case: Case) -> Found:
        """Test two models on the same rows."""
        test = self._chosen(task)
        how = case.resampling(self.resamples)
        if test == "mcnemar":
            return self.pairs(count(predictions, champion, contents_of(predictions, how)), predictions.num_rows, alpha)
        if test == "diebold_mariano" and isinstance(task, Forecasting):
            return self.windows(losses(task, predictions), losses(task, champion), task.horizon, alpha)
        gain = bootstrap(task, predictions, champion, how, metric=task.lead, higher_is_better=task.higher_is_better)
        units = len(np.unique(contents_of(predictions, how))) / how.block
        return self.gain(
            "bootstrap", gain, units, predictions.num_rows, alpha, {"resamples": self.resamples, "block": how.block}
        )

    def pairs(self, pairs: Pairs, rows: int, alpha: float) -> Found:
        """Say what McNemar's test says; it counts contents, so rows are those of a table with as many repetitions."""
        repeated = rows / pairs.contents
        needed = mcnemar_rows(pairs.discordance, self.effect, alpha, self.power)
        return Found(
            test="mcnemar",
            p_better=mcnemar(pairs.wins, pairs.losses, "greater"),
            p_worse=mcnemar(pairs.wins, pairs.losses, "less"),
            power=mcnemar_power(pairs.contents, pairs.discordance, self.effect, alpha),
            rows_needed=None if needed is None else int(np.ceil(max(needed, FEWEST) * repeated)),
            units=pairs.contents,
            gain=Gain(pairs.gain, pairs.error, max(1, pairs.contents - 1)),
            numbers={"won": pairs.wins, "lost": pairs.losses, "contents": pairs.contents},
        )

    def windows(self, mine: np.ndarray, other: np.ndarray, horizon: int, alpha: float) -> Found:
        """Say what the test of Diebold and Mariano says of one loss a window."""
        gain, units = diebold_mariano(mine, other, horizon, alpha), len(mine) / horizon
        if gain is None:
            value = float((other - mine).mean())
            nothing = Gain(value, 0.0, 1)
            return Found("diebold_mariano", 1.0, 1.0, 0.0, None, units, nothing, {"horizon": horizon})
        corrected = harvey(mine, other, horizon)
        numbers: dict[str, float | int | str | None] = {
            "horizon": horizon,
            "degrees_of_freedom": gain.freedom,
            "p_harvey_leybourne_newbold": None if corrected is None else corrected.p_better(),
        }
        return self.gain("diebold_mariano", gain, units, len(mine), alpha, numbers)

    def gain(  # noqa: PLR0917 - each is another number that the test rests on
        self,
        test: Named,
        gain: Gain,
        units: float,
        rows: int,
        alpha: float,
        numbers: dict[str, float | int | str | None],
    ) -> Found:
        """Say what a gain with its standard error says."""
        needed = None if gain.unspread else gain.rows(rows, self.effect, alpha, self.power)
        return Found(
            test=test,
            p_better=gain.p_better(),
            p_worse=gain.p_worse(),
            power=gain.power(self.effect, alpha),
            rows_needed=None if needed is None else max(needed, int(np.ceil(FEWEST * rows / units))),
            units=units,
            gain=gain,
            numbers=numbers,
        )

    def word(self, found: Found, alpha: float) -> str:
        """Give the verdict in a word."""
        if found.units < FEWEST or found.gain.unspread:
            return "not enough rows"
        if found.p_better <= alpha and found.gain.value > 0:
            return "better"
        if found.p_worse <= alpha and found.gain.value < 0:
            return "worse"
        return "not better" if found.power >= self.power else "not enough rows"

    def _chosen(self, task: Task) -> Named:
        fits: dict[Named, bool] = {
            "mcnemar": task.kind == "classification" and task.lead == RIGHT,
            "diebold_mariano": isinstance(task, Forecasting) and task.lead in LOSSES,
            "bootstrap": not (task.kind == "classification" and task.lead == RIGHT),
        }
        if self.test == "auto":
            return next(name for name, fit in fits.items() if fit)
        if not fits[self.test]:
            instead = " or ".join(name for name, fit in fits.items() if fit)
            msg = f"gate test {self.test} is not for {task.kind} led by {task.lead}; take {instead}, or auto"
            raise ConfigurationError(msg)
        return self.test

    def _reason(self, case: Case, found: Found, word: str, alpha: float) -> str:
        lead, value, other = case.yardstick.lead, case.value, case.rival_metrics[case.yardstick.lead]
        how = {"better": "is better than", "worse": "is worse than"}.get(word, "is not proven better than")
        p = min(found.p_better, found.p_worse) if word == "worse" else found.p_better
        reason = f"{lead} {value:.4f} {how} {other:.4f} of the champion on the same {case.rows:,} test rows"
        reason += f" (p {p:.2g} by {TESTS[found.test]}, {alpha:.2g} allowed"
        reason += f" at try {case.tries}" if case.tries > 1 else ""
        reason += f" among {case.candidates} candidates" if case.candidates > 1 else ""
        reason += ")"
        if word == "not enough rows":
            reason += f"; {self._too_few(found)}"
        if lead != case.task.lead:
            reason += f"; {lead} is what the champion is judged by, though this version leads by {case.task.lead}"
        if case.rival.seen:
            reason += "; the champion's table or split differs, so it may have been trained on some of these rows"
        return reason

    def _too_few(self, found: Found) -> str:
        if found.gain.unspread:
            return "the gain is the same on all resamples, so that nothing tells how much of it is chance"
        needed = "no number of rows would do" if found.rows_needed is None else f"{found.rows_needed:,} are needed"
        if found.units < FEWEST:
            return f"only {found.units:.3g} of them are independent, where {FEWEST} are the fewest to tell by: {needed}"
        return f"too few rows to find a gain of {self.effect:g} with power {self.power:g}: {needed}"

    def _verdict(
        self, passed: bool, word: str, reason: str, numbers: dict[str, float | int | str | None]
    ) -> GateResult:
        return GateResult(gate="better", passed=passed, verdict=word, reason=reason, numbers=numbers)


def count(predictions: pa.Table, champion: pa.Table, contents: np.ndarray) -> Pairs:
    """Count on which contents one of two classifiers is right more often."""
    right = [pc.equal(each["prediction"], each["target"]).to_numpy().astype(bool) for each in (predictions, champion)]
    return Pairs.count(right[0], right[1], contents)


LOSSES = {"mse": np.square, "mae": np.abs}


def losses(task: Forecasting, predictions: pa.Table) -> np.ndarray:
    """Give one loss a window, float64 (windows,), whose mean is the leading metric."""
    found: np.ndarray = LOSSES[task.lead](task.errors(predictions)).mean(axis=(1, 2))
    return found
